"""From coalition values to Shapley values with intervals: one game at a time."""

from dataclasses import dataclass

import numpy as np

from surrogateshap.estimate import (
    TreeSettings,
    coalition_draws,
    fit_exact,
    fit_surrogate,
    image_draws,
    intervals,
    kernel_shapley,
)
from surrogateshap.estimate import ranks as ranks_of
from surrogateshap.events import RankedContributor
from surrogateshap.execute.evaluate import Game, not_finite
from surrogateshap.games.coalitions import all_masks, draw_pairs
from surrogateshap.plan.compile import GameDesign
from surrogateshap.record.ranking import ranked_contributors
from surrogateshap.record.results import GameResult, SurrogateDiagnostics
from surrogateshap.spec.model import Spec

_PROVISIONAL_PAIRS = 128


@dataclass(frozen=True)
class Values:
    """A game's values of the coalitions that its estimator works on."""

    masks: np.ndarray
    """(M, n) bool; all 2^n of them where the estimator is exact."""
    values: np.ndarray
    """(M,)."""
    v_empty: float
    v_full: float


def coalitions_of(design: GameDesign, seed: int) -> np.ndarray:
    """The coalitions that a game is evaluated on: (M, n) bool."""
    n = len(design.grouping.contributors)
    if design.estimator == "exact":
        return all_masks(n)
    if n == 1:
        return np.zeros((0, 1), bool)
    return draw_pairs(n, (design.coalitions - 1) // 2, seed)


def evaluate(design: GameDesign, game: Game, seed: int) -> Values:
    """Raises NotFiniteError where a value is not a finite number."""
    masks = coalitions_of(design, seed)
    values = game(masks) if len(masks) else np.zeros(0)
    if not np.isfinite(values).all():
        raise not_finite(design)
    if design.estimator == "exact":  # the same numbers to the last digit, whose batch they were computed in
        return Values(masks, values, float(values[0]), float(values[-1]))
    return Values(masks, values, game.v_empty, game.v_full)


def estimate(design: GameDesign, game: Game, values: Values, spec: Spec) -> GameResult:
    """Shapley values, their intervals and ranks."""
    section = spec.estimator
    settings = TreeSettings(
        trees=section.trees,
        learning_rate=section.learning_rate,
        leaves=section.leaves,
        min_child_samples=section.min_child_samples,
        subsample=section.subsample,
    )
    ends, rows = (values.v_empty, values.v_full), design.grouping.rows
    if design.estimator == "exact":
        fit = fit_exact(values.values, game.n)
        between = None
    else:
        fit = fit_surrogate(values.masks, values.values, *ends, settings, spec.seed, rows)
        between = coalition_draws(values.masks, values.values, *ends, settings, spec.seed, rows=rows)
    within = image_draws(game, spec.intervals.resamples, spec.seed)
    top = min(spec.intervals.top, game.n)
    sure = intervals(fit.values, within, between, spec.intervals.level, top)
    names, sizes = design.grouping.contributors, [int(size) for size in rows]
    return GameResult(
        grouping=design.info.grouping,
        utility=design.info.utility,
        proxy=design.info.proxy,
        v_empty=values.v_empty,
        v_full=values.v_full,
        efficiency_gap=fit.efficiency_gap,
        estimator="exact" if fit.estimator == "exact" else "surrogate",
        coalitions=design.coalitions,
        images=len(design.pool.keys),
        level=spec.intervals.level,
        surrogate=None if fit.cv_r2 is None else SurrogateDiagnostics(cv_r2=fit.cv_r2, trees=section.trees),
        indistinguishable=design.indistinguishable,
        contributors=ranked_contributors(names, sizes, fit.values, sure, values.v_full - values.v_empty),
        top=top,
    )


def ranked(names: tuple[str, ...], values: np.ndarray) -> tuple[RankedContributor, ...]:
    """A ranking without intervals yet."""
    ranks = ranks_of(values)
    order = sorted(range(len(names)), key=lambda i: (ranks[i], names[i]))
    return tuple(
        RankedContributor(
            name=names[i], value=float(values[i]), low=float(values[i]), high=float(values[i]), rank=int(ranks[i])
        )
        for i in order
    )


def provisional(game: Game, seed: int) -> np.ndarray | None:
    """Quick Shapley values (n,) for a ranking that is still forming: kernel regression on a few coalitions.

    None where a value is not finite: more images may help, and the final ranking tells where they don't.
    """
    if not np.isfinite([game.v_empty, game.v_full]).all():
        return None
    if game.n == 1:
        return np.array([game.v_full - game.v_empty])
    masks = draw_pairs(game.n, _PROVISIONAL_PAIRS, seed)
    values = game(masks)
    return kernel_shapley(masks, values, game.v_empty, game.v_full) if np.isfinite(values).all() else None
