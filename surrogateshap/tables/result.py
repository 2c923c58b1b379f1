"""From a table of coalitions to one game's result."""

import numpy as np

from surrogateshap.errors import SpecError
from surrogateshap.estimate import ESTIMATORS, CoalitionsError, Options, Sample, intervals
from surrogateshap.estimate.bootstrap import sample_draws
from surrogateshap.estimate.coalitions import coalition_values
from surrogateshap.games.encoded import Floats
from surrogateshap.record.caveats import strongest_pairs, warnings_of
from surrogateshap.record.payment import with_payout
from surrogateshap.record.ranking import ranked_contributors
from surrogateshap.record.results import EstimatorName, GameResult, SurrogateDiagnostics
from surrogateshap.spec.model import PayoutSection
from surrogateshap.tables.coalitions import CoalitionTable
from surrogateshap.tables.read import wrong
from surrogateshap.units import listed, plural, significant

TOP = 5
"""k of the probability of being among the k highest."""
KNOWS_INTERACTIONS = ("exact", "surrogate")


def estimate_table(
    table: CoalitionTable,
    estimator: EstimatorName,
    level: float,
    interactions: bool,
    seed: int,
    payout: PayoutSection | None = None,
) -> GameResult:
    """Contributors' values with intervals from coalitions and noise, and what to know about them.

    Contributors that are always together share equally what they are worth together. Raises SpecError where the
    estimator can't work on these coalitions, MissingExtraError where its package isn't installed.
    """
    if interactions and estimator not in KNOWS_INTERACTIONS:
        raise wrong(table.file, f"`{estimator}` knows no interactions", "Take `surrogate` or `exact`.", "estimator")
    sample = Sample(table.masks, table.values, table.v_empty, table.v_full, table.rows)
    options = Options(seed=seed, interactions=interactions)
    try:
        fit = ESTIMATORS[estimator].fit(sample, options)
    except CoalitionsError as error:
        raise _named(table, error) from None
    noise, repeated, distinct = _noise(table)
    together = always_together(table)
    values, within = _even(fit.values, together), np.zeros((2, len(table.names)))
    draws = sample_draws(fit, sample, options, noise)
    moved = None if draws is None else _even(draws, together)
    top = None if draws is None else min(TOP, len(table.names))
    sure = intervals(values, within, moved, level, top)
    pairs = None if fit.interactions is None else strongest_pairs(table.names, fit.interactions)
    rows = [None] * len(table.names) if table.rows is None else [int(count) for count in table.rows]
    trees = SurrogateDiagnostics.of(fit.cv_r2, options.settings.trees, fit.held_out)
    result = GameResult(
        grouping="table",
        utility=table.value,
        proxy="table",
        v_empty=table.v_empty,
        v_full=table.v_full,
        efficiency_gap=fit.efficiency_gap,
        estimator=fit.estimator,
        coalitions=len(table.values),
        images=0,
        level=level,
        surrogate=trees,
        indistinguishable=tuple(tuple(table.names[i] for i in group) for group in together),
        contributors=ranked_contributors(table.names, rows, values, sure, table.v_full - table.v_empty),
        distinct=distinct,
        interactions=pairs,
        top=top,
        warnings=(
            *_warnings(table, together, noise, repeated, distinct),
            *warnings_of(fit.estimator, fit.efficiency_gap),
        ),
    )
    return result if payout is None else with_payout(result, payout, seed, table.names, None, moved)


def always_together(table: CoalitionTable) -> list[list[int]]:
    """Sets of contributors that no coalition tells apart."""
    groups: dict[bytes, list[int]] = {}
    for i, column in enumerate(table.masks.T):
        groups.setdefault(np.packbits(column).tobytes(), []).append(i)
    return [group for group in groups.values() if len(group) > 1] if len(table.masks) else []


def _even(values: Floats, together: list[list[int]]) -> Floats:
    """Values (…, n) with those of each set replaced by their mean."""
    even = values.copy()
    for group in together:
        even[..., group] = values[..., group].mean(axis=-1, keepdims=True)
    return even


def _noise(table: CoalitionTable) -> tuple[float, int, int]:
    """Standard deviation of a coalition's values around their mean, pooled over those that differ from each other.

    And how many coalitions do, and how many distinct ones there are.
    """
    _, inverse = np.unique(np.packbits(table.masks, axis=1), axis=0, return_inverse=True)
    of_row = inverse.reshape(-1)
    times = np.bincount(of_row)
    means = np.bincount(of_row, weights=table.values) / np.maximum(times, 1)
    off = np.bincount(of_row, weights=(table.values - means[of_row]) ** 2) if len(of_row) else np.zeros(0)
    scale = np.abs(table.values).max(initial=0.0)
    differ = np.sqrt(off) > 1e-12 * scale
    freedom = int((times - 1).sum()) if len(times) else 0
    return float(np.sqrt(off.sum() / freedom)) if differ.any() else 0.0, int(differ.sum()), len(times)


def _warnings(
    table: CoalitionTable, together: list[list[int]], noise: float, repeated: int, distinct: int
) -> list[str]:
    n, names = len(table.names), table.names
    said = []
    if n == 1:
        said.append("There is one contributor: its value is v(N) − v(∅).")
    elif n == 2:
        said.append(
            "There are two contributors: each one's value is half of what it is worth alone and of what it adds."
        )
    if repeated:
        said.append(
            f"{plural(repeated, 'coalition')} have several values that differ: they count as measurements with noise "
            f"of standard deviation {significant(noise)}."
        )
    if n > 1 and np.ptp(table.values) == 0:
        said.append(f"All coalitions have the same value, {significant(float(table.values[0]))}.")
    if n > 1 and distinct < n and coalition_values(table.masks, table.values, 0.0, 0.0) is None:
        said.append(f"There are fewer coalitions ({distinct:,}) than contributors ({n:,}).")
    if n > 1:
        always, never = table.masks.all(axis=0), ~table.masks.any(axis=0)
        for which, where in (("every", always), ("no", never)):
            if where.any():
                listing = listed([names[i] for i in np.flatnonzero(where)])
                said.append(f"In {which} coalition, so that their values are not identified: {listing}.")
    said += [
        f"Always together, so that each gets an equal part of what they are worth: {listed([names[i] for i in group])}."
        for group in together
    ]
    return said


def _named(table: CoalitionTable, error: CoalitionsError) -> SpecError:
    about = f": {listed([table.names[i] for i in error.contributors])}" if error.contributors else ""
    return wrong(table.file, error.message + about, error.remedy, "estimator")
