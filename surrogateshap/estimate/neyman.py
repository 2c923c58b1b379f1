"""Which cells of a pool make Shapley values unsure, and so where its next images lower the uncertainty most."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surrogateshap.estimate.intervals import ranks
from surrogateshap.estimate.resampling import ResampledGame, weighted_draws
from surrogateshap.games.encoded import Floats, Ints

MOST_UNITS = 64
"""Units whose images are resampled one unit at a time; where there are more cells, several make a unit."""
RESAMPLES = 192
"""About how many resamples of one unit or another, but at least LEAST of each."""
LEAST = 4
FOCUS = 2.0
"""How much more the widest intervals count: 0 lowers the sum of the variances, ∞ the largest alone."""
_PRIOR = 4.0
"""Resamples that the pooled variance is worth beside a unit's own: a pilot's few images tell it but roughly."""
_COMBINED = 2_000


def unit_draws(game: ResampledGame, unit_of_image: Ints, units: int, seed: int) -> Floats:
    """Deviations (U, r, n) of Shapley values when the images (N,) of one unit at a time are resampled.

    To first order the units' deviations add up to those of `image_draws`, and so do their variances.
    """
    resamples, rng = max(LEAST, -(-RESAMPLES // units)), np.random.default_rng(seed)
    drawn = [game.resample(rng) for _ in range(resamples)]
    weights = [np.where(unit_of_image == unit, each, 1.0) for unit in range(units) for each in drawn]
    return weighted_draws(game, weights, seed).reshape(units, resamples, game.n)


@dataclass(frozen=True)
class Need:
    """How unsure one game's values are, and how sure they have to be."""

    draws: Floats
    """(U, r, n), of `unit_draws`."""
    sd: Floats
    """(n,): standard errors of the values."""
    wanted: Floats
    """(n,), positive: standard errors with which a stopping rule would hold."""


def spreads(needs: Sequence[Need], counts: Ints, sizes: Floats, unit_of_cell: Ints) -> Floats:
    """(C,): how much one image of each cell moves what the `needs` ask for, as `plan.allocation.extend` takes it.

    What is lowered is Σ_gi (sd_gi / wanted_gi)^(2 + 2 · FOCUS) over all contributors i of all games g: games and
    contributors that are sure enough hardly count, the widest intervals count most. A cell's part in it is the first
    order of Σ_gi weight_gi · variance_gi, and an image's spread the root of that part times the cell's images, Neyman's
    (1934) standard deviation times stratum size. `sizes` (C,) are the cells' shares of contributors' rows: cells of one
    unit differ by them alone, and units are shrunk to what they would be if they differed by nothing else.
    """
    units = int(unit_of_cell.max()) + 1
    parts = np.zeros(units)
    for need in needs:
        weight = (need.sd / need.wanted) ** (2 * FOCUS) / need.wanted**2
        parts += (need.draws**2).mean(axis=1) @ weight
    held = np.bincount(unit_of_cell, weights=sizes**2 / np.maximum(counts, 1) * (counts > 0), minlength=units)
    there = held > 0
    if not parts[there].sum() > 0:
        return np.where(counts > 0, sizes, 0.0)
    pooled = parts[there].sum() / held[there].sum()
    resamples = max((need.draws.shape[1] for need in needs), default=1)
    own = np.divide(parts, held, out=np.zeros(units), where=there)
    worth = np.minimum(resamples, np.bincount(unit_of_cell, weights=np.maximum(counts - 1, 0), minlength=units))
    variance = (worth * own + _PRIOR * pooled) / (worth + _PRIOR)
    return np.where(counts > 0, sizes * np.sqrt(variance[unit_of_cell]), 0.0)


def units_of(owner_of_cell: Ints) -> Ints:
    """(C,): which cells are resampled together: each alone where they are few, else those of one owner."""
    if len(owner_of_cell) <= MOST_UNITS:
        return np.arange(len(owner_of_cell))
    owners, unit = np.unique(owner_of_cell, return_inverse=True)
    return np.asarray(unit % (4 * MOST_UNITS) if len(owners) > 4 * MOST_UNITS else unit, np.int64)


def top_probability(values: Floats, deviations: Floats, k: int) -> Floats:
    """(n,): how probable it is that each of the values (n,) is among the k highest, from deviations (R, n)."""
    return np.asarray((ranks(values + deviations) <= k).mean(axis=0))


def combined(draws: Floats, sd_images: Floats, sd_coalitions: Floats) -> Floats:
    """Deviations (R, n) from all units together, with these standard errors; coalitions' are normal and independent."""
    rng = np.random.default_rng(0)
    centred = draws - draws.mean(axis=1, keepdims=True)
    total = np.zeros((_COMBINED, draws.shape[2]))
    for unit in centred:
        total += unit[rng.integers(len(unit), size=_COMBINED)]
    spread = total.std(axis=0)
    total *= np.divide(sd_images, spread, out=np.zeros_like(spread), where=spread > 0)
    return np.asarray(total + sd_coalitions * rng.normal(size=total.shape))
