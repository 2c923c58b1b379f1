"""A finished game beside anchors: its fidelity, and the retraining game as the anchors let it be estimated."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import numpy as np
from threadpoolctl import threadpool_limits

from surrogateshap.estimate import image_draws, intervals
from surrogateshap.estimate.fidelity import Correlation, UndefinedError, agreement
from surrogateshap.estimate.gap import close_gap
from surrogateshap.execute.damage import DamagedError
from surrogateshap.execute.evaluate import Features, Game, make_game
from surrogateshap.execute.fit import Values, coalitions_of
from surrogateshap.plan import keys
from surrogateshap.plan.anchors import Anchors
from surrogateshap.plan.build import game_key
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.rounds import courses
from surrogateshap.record.fidelity import described
from surrogateshap.record.ranking import ranked_contributors
from surrogateshap.record.results import (
    UNCORRECTED,
    AnchorKind,
    AnchorPoint,
    CalibrationBin,
    ClosedGap,
    Fidelity,
    GameResult,
    Measured,
    Results,
)
from surrogateshap.spec.model import Spec
from surrogateshap.store import Store

MOST_POINTS = 500
"""Anchors that results keep one by one."""
_UNKNOWN = "Fidelity could not be measured: "


def measure(
    design: GameDesign,
    game: Callable[[], Game],
    values: Values,
    result: GameResult,
    anchors: tuple[np.ndarray, np.ndarray],
    kind: AnchorKind,
    notes: Sequence[str],
    spec: Spec,
) -> tuple[Fidelity | None, str]:
    """Fidelity of a game on `anchors`, coalitions (m, n) and retrained values (m,); or None, and why.

    The proxy's values come from the table of all coalitions where there is one, else from `game`.
    """
    masks, proxy, retrained, said = *_proxy_values(design, game, values, *anchors), list(notes)
    if len(masks) < len(anchors[0]):
        said.append(f"Only {len(masks)} of {len(anchors[0])} anchors are among the coalitions that have fresh images.")
    of_name = {row.name: row.value for row in result.contributors}
    shapley = np.array([of_name[name] for name in design.grouping.contributors])
    try:
        found = agreement(masks, proxy, retrained, shapley, result.level, spec.seed)
    except UndefinedError as error:
        return None, f"{_UNKNOWN}{error}."
    fidelity = Fidelity(
        kind=kind,
        anchors=len(masks),
        spearman=_measured(found.spearman),
        lds=_measured(found.lds),
        intercept=found.intercept,
        slope=found.slope,
        calibration=tuple(CalibrationBin(anchors=m, proxy=x, retrained=y) for m, x, y in found.bins),
        closed=_closed(design, game, result, (masks, proxy, retrained), shapley, spec),
        notes=tuple(said),
        points=tuple(
            AnchorPoint(proxy=x, retrained=y)
            for x, y in zip(proxy[:MOST_POINTS].tolist(), retrained[:MOST_POINTS].tolist(), strict=True)
        ),
    )
    return fidelity, ""


def with_fidelity(result: GameResult, fidelity: Fidelity | None, why: str) -> GameResult:
    """The game's result with this fidelity, or with a warning that says why there is none."""
    warnings = tuple(warning for warning in result.warnings if not warning.startswith(_UNKNOWN))
    return result.model_copy(
        update={"fidelity": fidelity, "warnings": warnings if fidelity is not None else (*warnings, why)}
    )


def _proxy_values(
    design: GameDesign, game: Callable[[], Game], values: Values, masks: np.ndarray, retrained: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Anchors that have a value in the game, and their values in it and retrained."""
    if design.estimator == "exact":  # in the order of all_masks
        every = np.concatenate([[values.v_empty], values.values, [values.v_full]])
        return masks, every[masks @ (1 << np.arange(masks.shape[1]))], retrained
    made = game()
    if made.masks is not None:
        there = {mask.tobytes() for mask in made.masks}
        known = np.array([mask.tobytes() in there for mask in masks])
        masks, retrained = masks[known], retrained[known]
    return masks, made(masks) if len(masks) else np.zeros(0), retrained


def _closed(
    design: GameDesign,
    game: Callable[[], Game],
    result: GameResult,
    anchors: tuple[np.ndarray, np.ndarray, np.ndarray],
    shapley: np.ndarray,
    spec: Spec,
) -> ClosedGap | None:
    """The ranking of proxy + correction; its intervals cover images, anchors and the proxy's own coalitions."""
    rows, names = design.grouping.rows, design.grouping.contributors
    if design.estimator in UNCORRECTED:  # no Shapley values of the proxy to begin with
        return None
    closing = close_gap(*anchors, shapley, result.v_empty, rows, spec.seed)
    if closing is None:
        return None
    within = image_draws(game(), spec.intervals.resamples, spec.seed)
    spread = {row.name: row.sd_coalitions for row in result.contributors}
    sampled = np.array([spread[name] for name in names])
    noise = np.random.default_rng(spec.seed).normal(size=closing.draws.shape) * sampled
    sure = intervals(closing.values, within, closing.draws + noise, result.level)
    low, high = np.quantile(closing.r2_draws, [(1 - result.level) / 2, (1 + result.level) / 2])
    gain = float(closing.values.sum())
    return ClosedGap(
        anchors=len(anchors[0]),
        r2=Measured(value=closing.r2, low=min(float(low), closing.r2), high=max(float(high), closing.r2)),
        proxy_r2=closing.proxy_r2,
        contributors=ranked_contributors(names, [int(size) for size in rows], closing.values, sure, gain),
    )


def _measured(found: Correlation) -> Measured:
    return Measured(value=found.value, low=found.low, high=found.high)


def evaluate_run(
    compiled: Compiled, store: Store, results: Results, grouping: str, anchors: Anchors, kind: AnchorKind
) -> Results:
    """The games of a finished run that anchors of one grouping say something of, each beside them. Writes nothing.

    Raises RunError where an object of the store is missing.
    """
    if compiled.spec.budget.rules:  # pools as large as the run decided
        compiled = compiled.with_pools([course.pool for course in courses(compiled, store).values()])
    found = store.find_images({key for pool in compiled.pools for key in pool.keys})
    features, spec = Features(compiled, store), compiled.spec
    by_info = {(game.grouping, game.utility, game.proxy): game for game in results.games}
    games = []
    with threadpool_limits(spec.execution.threads, user_api="blas"):
        for design in compiled.games:
            info = design.info
            if info.grouping != grouping or info.utility not in anchors.values:
                continue
            game = cache(partial(make_game, features, design, found))
            values = _stored_values(compiled, store, design, found)
            result = by_info[info.grouping, info.utility, info.proxy]
            pair = anchors.masks, anchors.values[info.utility]
            games.append(with_fidelity(result, *measure(design, game, values, result, pair, kind, anchors.notes, spec)))
    rest: list[Fidelity | None] = [None] * (len(results.games) - len(games))
    said = described([*rest, *(game.fidelity for game in games)])
    return results.model_copy(update={"fidelity": said, "games": tuple(games)})


def _stored_values(
    compiled: Compiled, store: Store, design: GameDesign, found: Mapping[str, tuple[str, int]]
) -> Values:
    """A game's coalition values, as the run left them. Raises RunError where they are gone."""
    for missing in (key for key in design.pool.keys if key not in found):
        raise DamagedError(missing)
    key = game_key(compiled, design, keys.features(design.pool.keys, found))
    name = store.lookup([key]).get(key)
    arrays = store.get_arrays(name) if name is not None else None
    if arrays is None:
        raise DamagedError(key)
    return Values(coalitions_of(design, compiled.spec.seed), arrays["values"], *arrays["ends"].tolist())
