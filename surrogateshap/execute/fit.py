"""From coalition values to Shapley values with intervals: one game at a time."""

from dataclasses import dataclass

import numpy as np

from surrogateshap.estimate import (
    ESTIMATORS,
    Options,
    Sample,
    image_draws,
    intervals,
    kernel_shapley,
)
from surrogateshap.estimate import ranks as ranks_of
from surrogateshap.estimate.bootstrap import sample_draws
from surrogateshap.estimate.leave_one_out import loss_draws
from surrogateshap.events import RankedContributor
from surrogateshap.execute.evaluate import Game, not_finite
from surrogateshap.games.coalitions import draw_pairs
from surrogateshap.plan.compile import GameDesign
from surrogateshap.record.caveats import strongest_pairs, warnings_of
from surrogateshap.record.payment import with_payout
from surrogateshap.record.ranking import ranked_contributors
from surrogateshap.record.results import GameResult, SurrogateDiagnostics
from surrogateshap.record.settings import tree_settings
from surrogateshap.spec.model import Spec

_PROVISIONAL_PAIRS = 128
MOST_PAIRS = 1_000
"""Interactions that a run's results keep of each game."""


@dataclass(frozen=True)
class Values:
    """A game's values of the coalitions that its estimator works on."""

    masks: np.ndarray
    """(M, n) bool, ∅ and N left out."""
    values: np.ndarray
    """(M,)."""
    v_empty: float
    v_full: float


def coalitions_of(design: GameDesign, seed: int) -> np.ndarray:
    """The coalitions that a game is evaluated on, ∅ and N left out: (M, n) bool."""
    return ESTIMATORS[design.estimator].draw(len(design.grouping.contributors), design.coalitions - 1, seed)


def evaluate(design: GameDesign, game: Game, seed: int) -> Values:
    """Raises NotFiniteError where a value is not a finite number."""
    masks = coalitions_of(design, seed)
    none = np.zeros((1, game.n), bool)
    # ∅ and N in the same batch: what it is computed with can move a value's last digits.
    values = game(np.vstack([none, masks, ~none]))
    if not np.isfinite(values).all():
        raise not_finite(design)
    return Values(masks, values[1:-1], float(values[0]), float(values[-1]))


def estimate(design: GameDesign, game: Game, values: Values, spec: Spec) -> GameResult:
    """Contributors' values, their intervals and ranks, and what was asked for beside them."""
    section, rows = spec.estimator, design.grouping.rows
    settings = tree_settings(section)
    sample = Sample(values.masks, values.values, values.v_empty, values.v_full, rows)
    options = Options(settings=settings, seed=spec.seed, interactions=section.interactions)
    fit = ESTIMATORS[design.estimator].fit(sample, options)
    between = sample_draws(fit, sample, options, noise=0.0)
    draw_images = loss_draws if design.estimator == "leave_one_out" else image_draws
    within = draw_images(game, spec.intervals.resamples, spec.seed)
    top = min(spec.intervals.top, game.n)
    sure = intervals(fit.values, within, between, spec.intervals.level, top)
    names, sizes = design.grouping.contributors, [int(size) for size in rows]
    warnings = warnings_of(fit.estimator, fit.efficiency_gap)
    pairs = None
    if fit.interactions is not None:
        pairs = strongest_pairs(names, fit.interactions, MOST_PAIRS)
        there = game.n * (game.n - 1) // 2
        if there > len(pairs):
            warnings.append(f"Of {there:,} interactions the {len(pairs):,} strongest are kept.")
    result = GameResult(
        grouping=design.info.grouping,
        utility=design.info.utility,
        proxy=design.info.proxy,
        v_empty=values.v_empty,
        v_full=values.v_full,
        efficiency_gap=fit.efficiency_gap,
        estimator=fit.estimator,
        coalitions=design.coalitions,
        images=len(design.pool.keys),
        level=spec.intervals.level,
        surrogate=SurrogateDiagnostics.of(fit.cv_r2, section.trees, fit.held_out),
        indistinguishable=design.indistinguishable,
        contributors=ranked_contributors(names, sizes, fit.values, sure, values.v_full - values.v_empty),
        top=top,
        interactions=pairs,
        warnings=tuple(warnings),
    )
    return result if spec.payout is None else with_payout(result, spec.payout, spec.seed, names, within, between)


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
