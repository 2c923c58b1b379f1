"""Estimators by name: which coalitions each draws, and how it gets from their values to contributors' values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import numpy as np

from surrogateshap.estimate.coalitions import ValueFunction, coalition_values
from surrogateshap.estimate.exact import fit_exact
from surrogateshap.estimate.fit import CoalitionsError, Fit, TreeSettings
from surrogateshap.estimate.kernel import fit_kernel
from surrogateshap.estimate.leave_one_out import fit_leave_one_out
from surrogateshap.estimate.paper import fit_paper
from surrogateshap.estimate.permutation import fit_permutation
from surrogateshap.estimate.surrogate import fit_surrogate
from surrogateshap.games.coalitions import MOST_EXACT, draw_coalitions
from surrogateshap.games.encoded import Bools, Floats, Ints
from surrogateshap.spec.model import EstimatorName


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


_FITS: dict[EstimatorName, Callable[[Sample, Options], Fit]] = {
    "surrogate": _surrogate,
    "exact": _exact,
    "kernel": lambda s, o: fit_kernel(s.masks, s.values, s.v_empty, s.v_full),
    "permutation": lambda s, o: fit_permutation(s.masks, s.values, s.v_empty, s.v_full),
    "leave_one_out": lambda s, o: fit_leave_one_out(s.masks, s.values, s.v_empty, s.v_full),
    "surrogateshap_paper": lambda s, o: fit_paper(s.masks, s.values, s.v_empty, s.v_full, o.seed),
}
ESTIMATORS: Mapping[str, Estimator] = MappingProxyType(
    {name: Estimator(partial(draw_coalitions, name), fit) for name, fit in _FITS.items()}
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
    masks = estimator.draw(n, coalitions, chosen.seed)
    ends = game(np.array([[False] * n, [True] * n]))
    values = game(masks) if len(masks) else np.zeros(0)
    return estimator.fit(Sample(masks, values, float(ends[0]), float(ends[1]), rows), chosen)
