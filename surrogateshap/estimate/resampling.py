"""Where Shapley values are unsure: draws from the bootstrap over images, and from that over coalitions."""

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np

from surrogateshap.estimate.coalitions import coalition_values, pair_groups
from surrogateshap.estimate.exact import exact_shapley
from surrogateshap.estimate.fit import TreeSettings, share_gap
from surrogateshap.estimate.quadratic import fit_quadratic
from surrogateshap.estimate.shares import linear_shapley, ridge, share_features
from surrogateshap.estimate.surrogate import train, with_full
from surrogateshap.games.coalitions import all_masks, draw_pairs
from surrogateshap.games.encoded import Bools, Floats, Ints

MOST_RESAMPLED = 2_000
"""Coalitions that one refit of `coalition_draws` sees."""


class ResampledGame(Protocol):
    """A game whose images can be resampled."""

    n: int
    v_empty: float
    v_full: float
    rows: Ints
    """(n,): the contributors' training rows."""
    step: float
    """How far from the pool's own weights resamples go, as a share of the bootstrap's way."""

    @property
    def masks(self) -> Bools | None:
        """The only coalitions (M, n) that have a value; None where all have."""
        ...

    def __call__(self, masks: Bools) -> Floats:
        """Values (M,) of coalitions (M, n)."""
        ...

    def resample(self, rng: np.random.Generator) -> Floats:
        """Bootstrap weights (N,) of the images."""
        ...

    def resampled(self, image_weights: Floats) -> Self:
        """The same game with the images weighted by (N,), and no finite pool's bias taken off."""
        ...


def image_draws(game: ResampledGame, resamples: int, seed: int, pairs: int = 64) -> Floats:
    """Deviations (R, n) of Shapley values when the pool's images are resampled, cell by cell."""
    rng = np.random.default_rng(seed)
    return weighted_draws(game, [game.resample(rng) for _ in range(resamples)], seed, pairs)


def weighted_draws(game: ResampledGame, weights: Sequence[Floats], seed: int, pairs: int = 64) -> Floats:
    """Deviations (R, n) of Shapley values when the images weigh otherwise: R weightings (N,), on average 1.

    Shapley values are linear in v, so a deviation is the Shapley value of the difference game v_r − v. Its values are
    taken on all coalitions where these are at most 2 · `pairs`, else on at least that many drawn ones, and regressed on
    shares and membership, whose Shapley values are known: a mean's difference game lies in their span, others' nearly.
    What the regression misses adds a little to the deviations and takes nothing away. A game with coalitions of its
    own is evaluated on these.
    """
    if game.masks is None:
        design = all_masks(game.n) if 2**game.n <= 2 * pairs else draw_pairs(game.n, max(pairs, 3 * game.n), seed)
    else:
        design = game.masks
    inner = design[design.any(axis=1) & ~design.all(axis=1)]
    with_ends = np.vstack([np.zeros((1, game.n)), inner, np.ones((1, game.n))]).astype(np.bool_)
    moved = differences(game, weights, with_ends)
    if coalition_values(inner, moved[0, 1:-1], 0.0, 0.0) is not None:
        every = [coalition_values(inner, row[1:-1], row[0], row[-1]) for row in moved]
        return exact_shapley(np.array(every), game.n)
    _, coefficients = ridge(share_features(with_ends[1:], game.rows), moved[:, 1:].T)
    shapley = linear_shapley(coefficients, game.rows).T
    gap = moved[:, -1] - moved[:, 0] - shapley.sum(axis=1)
    return np.asarray(shapley + gap[:, None] / game.n)


def differences(game: ResampledGame, weights: Sequence[Floats], masks: Bools) -> Floats:
    """(R, M): how far coalitions' values move when the images weigh otherwise: R weightings (N,), on average 1.

    Where the game's `step` is below 1, weights stay that near to the pool's own and differences are scaled up: the
    infinitesimal jackknife (Efron 1982, section 6), drawn at random.
    """
    even = np.ones_like(weights[0])
    before = game.resampled(even)(masks)
    moved = [game.resampled(even + game.step * (each - even))(masks) - before for each in weights]
    return np.array(moved) / game.step


def coalition_draws(
    masks: Bools,
    values: Floats,
    v_empty: float,
    v_full: float,
    settings: TreeSettings,
    seed: int,
    refits: int = 20,
    rows: Ints | None = None,
) -> Floats:
    """Shapley values (Q, n) when coalition pairs are resampled and the surrogate is refitted; as in `fit_surrogate`.

    Of more than MOST_RESAMPLED coalitions M each refit sees m = MOST_RESAMPLED, and deviations shrink by √(m/M): the
    m out of n bootstrap (Bickel, Götze & van Zwet 1997) at the slowest rate that sampling allows. Zero spread where
    the coalitions are all there are.
    """
    n = masks.shape[1]
    if coalition_values(masks, values, v_empty, v_full) is not None:
        return np.zeros((refits, n))
    held = np.ones(n, dtype=np.int64) if rows is None else rows
    groups = pair_groups(masks)
    members = np.split(np.arange(len(masks)), np.flatnonzero(np.diff(groups)) + 1)
    rng = np.random.default_rng(seed)
    draws = np.empty((refits, n))
    taken = max(1, round(len(members) * min(1.0, MOST_RESAMPLED / len(masks))))
    some = np.concatenate([members[group] for group in np.sort(rng.permutation(len(members))[:taken])])
    tuning = fit_quadratic(*with_full(masks[some], values[some], v_full), held).tuning
    for refit in range(refits):
        drawn = np.concatenate([members[group] for group in rng.integers(len(members), size=taken)])
        surrogate = train(*with_full(masks[drawn], values[drawn], v_full), held, settings, seed + refit, tuning)
        draws[refit], _ = share_gap(surrogate.shapley(), v_full - v_empty)
    centre = draws.mean(axis=0)
    return np.asarray(centre + (draws - centre) * np.sqrt(taken / len(members)))
