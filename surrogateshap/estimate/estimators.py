"""Estimators by name: which coalitions each draws, and how it gets from their values to contributors' values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from surrogateshap.estimate.coalitions import ValueFunction, coalition_values
from surrogateshap.estimate.exact import fit_exact
from surrogateshap.estimate.fit import CoalitionsError, Fit, TreeSettings
from surrogateshap.estimate.kernel import fit_kernel
from surrogateshap.estimate.leave_one_out import all_but_one, fit_leave_one_out
from surrogateshap.estimate.paper import fit_paper
from surrogateshap.estimate.permutation import draw_orderings, fit_permutation
from surrogateshap.estimate.surrogate import fit_surrogate
from surrogateshap.games.coalitions import MOST_EXACT, all_masks, draw_pairs
from surrogateshap.games.encoded import Bools, Floats, Ints


@dataclass(frozen=True)
class Sample:
    """Coalitions with their values."""

    masks: Bools
    """(M, n), without ∅ and N."""
    values: Floats
    """(M,)."""
    v_empty: float
    v_full: float
    rows: Ints | None = None
    """(n,): the contributors' training rows; None where they are not known."""


@dataclass(frozen=True)
class Options:
    """What an estimator may be told."""

    settings: TreeSettings = field(default_factory=TreeSettings)
    seed: int = 0
    interactions: bool = False
    """Whether `exact` and `surrogate` give pairwise interactions too; others don't know any."""
    cross_validate: bool = True


@dataclass(frozen=True)
class Estimator:
    """One way from coalitions to contributors' values."""

    draw: Callable[[int, int, int], Bools]
    """Given n, how many coalitions about, and a seed: the coalitions (M, n) to evaluate, ∅ and N left out."""
    fit: Callable[[Sample, Options], Fit]
    """Raises CoalitionsError where it can't work on the sample's coalitions."""


def _surrogate(sample: Sample, options: Options) -> Fit:
    return fit_surrogate(
        sample.masks,
        sample.values,
        sample.v_empty,
        sample.v_full,
        options.settings,
        options.seed,
        sample.rows,
        cross_validate=options.cross_validate,
        interactions=options.interactions,
    )


def _exact(sample: Sample, options: Options) -> Fit:
    n = sample.masks.shape[1]
    every = coalition_values(sample.masks, sample.values, sample.v_empty, sample.v_full)
    if every is None:
        there = len(np.unique(sample.masks, axis=0))
        needed = f"needs all {2**n - 2:,} coalitions but ∅ and N; {there:,} are there"
        most = f"lists all coalitions of at most {MOST_EXACT} contributors; here are {n}"
        raise CoalitionsError(
            f"`exact` {needed if n <= MOST_EXACT else most}",
            "Use `surrogate` or `kernel`, which take any coalitions.",
        )
    return fit_exact(every, n, interactions=options.interactions)


ESTIMATORS: Mapping[str, Estimator] = MappingProxyType(
    {
        "surrogate": Estimator(lambda n, coalitions, seed: draw_pairs(n, coalitions // 2, seed), _surrogate),
        "exact": Estimator(lambda n, coalitions, seed: all_masks(n)[1:-1], _exact),
        "kernel": Estimator(
            lambda n, coalitions, seed: draw_pairs(n, coalitions // 2, seed),
            lambda s, o: fit_kernel(s.masks, s.values, s.v_empty, s.v_full),
        ),
        "permutation": Estimator(draw_orderings, lambda s, o: fit_permutation(s.masks, s.values, s.v_empty, s.v_full)),
        "leave_one_out": Estimator(
            lambda n, coalitions, seed: all_but_one(n),
            lambda s, o: fit_leave_one_out(s.masks, s.values, s.v_empty, s.v_full),
        ),
        "surrogateshap_paper": Estimator(
            lambda n, coalitions, seed: draw_pairs(n, coalitions // 2, seed),
            lambda s, o: fit_paper(s.masks, s.values, s.v_empty, s.v_full, o.seed),
        ),
    }
)
"""Every estimator there is."""


def estimate_game(
    name: str,
    game: ValueFunction,
    n: int,
    coalitions: int,
    options: Options | None = None,
    rows: Ints | None = None,
) -> Fit:
    """Contributors' values in a game that can be evaluated anywhere, on coalitions that the estimator draws.

    `coalitions` is at most about how many; `exact` takes all, `leave_one_out` n. Raises KeyError for another name.
    """
    estimator, chosen = ESTIMATORS[name], options or Options()
    masks = estimator.draw(n, coalitions, chosen.seed) if n > 1 else np.zeros((0, 1), dtype=np.bool_)
    ends = game(np.array([[False] * n, [True] * n]))
    values = game(masks) if len(masks) else np.zeros(0)
    return estimator.fit(Sample(masks, values, float(ends[0]), float(ends[1]), rows), chosen)
