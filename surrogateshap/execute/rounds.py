"""Fills pools round by round until a rule of `budget.stop_when` holds: images go where they lower the uncertainty most.

Every decision is a function of the spec and of the images that are there, and is kept before anything is done about it:
a run that was killed goes on with the same rounds. What `gpu_hours` depends on, time, is kept with the images.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from statistics import NormalDist

import numpy as np

from surrogateshap.estimate.neyman import Need, combined, spreads, top_probability, unit_draws, units_of
from surrogateshap.events import RankedContributor, RankingUpdated
from surrogateshap.execute.evaluate import Features, NotFiniteError, make_game
from surrogateshap.execute.fill import Filler, Found
from surrogateshap.execute.progress import Progress
from surrogateshap.games.encoded import Floats, Ints
from surrogateshap.plan import keys
from surrogateshap.plan.allocation import extend
from surrogateshap.plan.build import game_key
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.pool import Pool
from surrogateshap.plan.rounds import GROWTH, Course, course, courses, remember, words
from surrogateshap.record.results import GameResult, Stopped
from surrogateshap.spec.model import StopRule
from surrogateshap.store import Store

Estimate = Callable[[GameDesign, str, Found], tuple[GameResult, tuple[str, ...]]]
"""A game, its key and the images that are there, to its result and the stages that had to work for it."""


@dataclass(frozen=True)
class _Look:
    """One game as it stands after a round."""

    design: GameDesign
    result: GameResult | None
    """None where a value is not finite."""
    features: Features
    found: Mapping[str, tuple[str, int]]
    seed: int

    def column(self, name: str) -> Floats:
        """(n,): one number of each contributor, in the grouping's order."""
        rows = {row.name: row for row in self.result.contributors} if self.result is not None else {}
        return np.array([getattr(rows[contributor], name) for contributor in self.design.grouping.contributors])

    @property
    def sd(self) -> Floats:
        """(n,): standard errors, images and coalitions together."""
        return np.asarray(np.hypot(self.column("sd_images"), self.column("sd_coalitions")))

    @cached_property
    def draws(self) -> Floats:
        """(U, r, n): deviations from one unit of cells at a time."""
        pool = self.design.pool
        unit_of_cell = units_of(_owners(pool))
        game = make_game(self.features, self.design, dict(self.found))
        return unit_draws(game, unit_of_cell[pool.cell_of_image], int(unit_of_cell.max()) + 1, self.seed)

    def probability_of_top(self, k: int) -> Floats:
        """(n,): how probable it is that each contributor is among the k highest."""
        if self.result is not None and self.result.top == k:
            return self.column("in_top")
        deviations = combined(self.draws, self.column("sd_images"), self.column("sd_coalitions"))
        return top_probability(self.column("value"), deviations, k)


class Rounds:
    """The rounds of one attempt at a run."""

    def __init__(
        self,
        compiled: Compiled,
        store: Store,
        filler: Filler,
        features: Features,
        progress: Progress,
        estimate: Estimate,
    ) -> None:
        self._compiled, self._store, self._filler, self._features = compiled, store, filler, features
        self._progress, self._estimate = progress, estimate
        self._rules = compiled.spec.budget.rules
        self._courses = courses(compiled, store)

    def fill(self) -> tuple[Compiled, tuple[Stopped, ...]]:
        """Fills all pools, and returns what was compiled with the pools that came of it, and how each ended."""
        for one in self._courses.values():
            if one.stopped:
                self._filler.fill_round(one.pool)
        while open_ := {name: one for name, one in self._courses.items() if not one.stopped}:
            # Pools take turns, also after a kill: they share unconditional images, whose batches must be the same.
            now = min(len(one.rounds) for one in open_.values())
            turn = [name for name, one in open_.items() if len(one.rounds) == now]
            cut = {name: rule for name in turn if (rule := self._fill(name)) is not None}
            for name in turn:
                after = self._decide(name, cut.get(name))
                remember(self._compiled, self._store, name, now, after)
                self._courses[name] = after
        pools = [one.pool for one in self._courses.values()]
        for pool in pools:
            self._filler.finish(pool)
        stopped = (
            Stopped(
                proxy=pool.proxy,
                images=self._courses[pool.id].images,
                at_most=len(pool.keys),
                rounds=len(self._courses[pool.id].rounds),
                rule=self._courses[pool.id].rule,
            )
            for pool in self._compiled.pools
        )
        return self._compiled.with_pools(pools), tuple(stopped)

    def _fill(self, name: str) -> StopRule | None:
        """Fills a pool's round; returns the rule that cut it short, once its time was spent. A pilot is never cut."""
        one = self._courses[name]
        pools = [other.pool for other in self._courses.values()]
        limits = [rule for rule in self._rules if rule.model_dump(exclude_none=True).keys() == {"gpu_hours"}]
        rule = min(limits, key=lambda each: each.gpu_hours or 0.0, default=None)
        before, mark = self._filler.seconds(pools) if rule else 0.0, self._filler.took

        def go_on() -> bool:
            spent = before + self._filler.took - mark
            return rule is None or rule.gpu_hours is None or len(one.rounds) == 1 or spent < 3600 * rule.gpu_hours

        if self._filler.fill_round(one.pool, go_on):
            return None
        there = np.array([key in self._filler.found for key in one.pool.keys])
        rounds = (*one.rounds[:-1], _unbroken(one.pool, there))
        self._courses[name] = course(self._compiled, one.pool, rounds)
        return rule

    def _decide(self, name: str, cut: StopRule | None) -> Course:
        """What follows the round that a pool has just been filled for."""
        one = self._courses[name]
        pool = next(pool for pool in self._compiled.pools if pool.id == name)
        if cut is not None:
            return Course(one.pool, one.rounds, True, words(cut))
        looks, computed = self._look(one.pool)
        hours = self._filler.seconds(other.pool for other in self._courses.values()) / 3600
        rule = next((rule for rule in self._rules if _holds(rule, looks, hours)), None)
        if rule is not None or one.images >= len(pool.keys):
            for stage in computed:
                self._progress.advance(stage, 1)
            return Course(one.pool, one.rounds, True, words(rule) if rule else None)
        self._tell(looks, one.images)
        with self._progress.working("fit"):
            more = min(len(pool.keys), ceil(one.images * GROWTH)) - one.images
            counts = extend(one.rounds[-1], _spreads(self._rules, looks, one.pool, one.rounds[-1]), more)
        return course(self._compiled, pool, (*one.rounds, counts))

    def _look(self, pool: Pool) -> tuple[list[_Look], list[str]]:
        """All games on a pool as it is, and the stages that had to work for them."""
        pixels = keys.features(pool.keys, self._filler.found)
        looks: list[_Look] = []
        computed: list[str] = []
        for stage in ("evaluate", "fit"):
            self._progress.start(stage, 0)
        for design in self._compiled.with_pools([pool]).games:
            if design.pool is not pool:
                continue
            self._progress.check()
            look = _Look(design, None, self._features, self._filler.found, self._compiled.spec.seed)
            try:
                key = game_key(self._compiled, design, pixels)
                result, worked = self._estimate(design, key, self._filler.found)
                look = _Look(design, result, self._features, self._filler.found, self._compiled.spec.seed)
                computed += worked
            except NotFiniteError:
                pass  # more images may help; where they don't, the final estimate says so
            looks.append(look)
        return looks, computed

    def _tell(self, looks: Sequence[_Look], images: int) -> None:
        for look in looks:
            rows = tuple(
                RankedContributor(name=row.name, value=row.value, low=row.low, high=row.high, rank=row.rank)
                for row in (look.result.contributors if look.result is not None else ())
            )
            if rows:
                self._progress.tell(
                    RankingUpdated(game=look.design.info, contributors=rows, provisional=True, images=images)
                )


def _holds(rule: StopRule, looks: Sequence[_Look], hours: float) -> bool:
    if rule.gpu_hours is not None and hours < rule.gpu_hours:
        return False
    if rule.interval_width is None and rule.stable_top is None:
        return True
    return all(look.result is not None and _sure(rule, look, look.result.level) for look in looks)


def _sure(rule: StopRule, look: _Look, level: float) -> bool:
    if rule.interval_width is not None:
        widest = (look.column("high") - look.column("low")).max()
        if widest > rule.interval_width * np.abs(look.column("value")).max():
            return False
    if rule.stable_top is None:
        return True
    highest = look.column("rank") <= rule.stable_top
    return bool((look.probability_of_top(rule.stable_top)[highest] >= level).all())


def _wanted(rule: StopRule, look: _Look, level: float) -> Iterable[Floats]:
    """Standard errors (n,) with which each key of a rule would hold."""
    values = look.column("value")
    scale, sd = max(float(np.abs(values).max()), 1e-300), look.sd
    both, one = NormalDist().inv_cdf((1 + level) / 2), NormalDist().inv_cdf(max(level, 0.6))
    if rule.interval_width is not None:
        yield np.full(len(values), rule.interval_width * scale / (2 * both))
    if rule.stable_top is not None and rule.stable_top < len(values):
        ordered = np.sort(values)[::-1]
        boundary = (ordered[rule.stable_top - 1] + ordered[rule.stable_top]) / 2
        # Who stands at the boundary can't be told apart from it by any number of images: half a standard error will do.
        yield np.maximum(np.maximum(np.abs(values - boundary), sd / 2) / one, 1e-9 * scale)
    if rule.interval_width is None and rule.stable_top is None:
        yield np.full(len(values), scale)


def _spreads(rules: Sequence[StopRule], looks: Sequence[_Look], pool: Pool, counts: Ints) -> Floats:
    needs = [
        Need(look.draws, look.sd, wanted)
        for look in looks
        if look.result is not None
        for rule in rules
        for wanted in _wanted(rule, look, look.result.level)
    ]
    return spreads(needs, counts, _sizes(pool), units_of(_owners(pool)))


def _sizes(pool: Pool) -> Floats:
    """(C + 1,): mean share of each cell in the first grouping's contributors; ∅ counts as one of them."""
    shares = next(iter(pool.memberships.values())).shares
    sizes = np.asarray(shares.mean(axis=0)).ravel()
    sizes[pool.empty_cell] = 1 / shares.shape[0]
    return sizes


def _owners(pool: Pool) -> Ints:
    """(C + 1,): the first grouping's contributor with the largest share of each cell; ∅ is its own."""
    shares = next(iter(pool.memberships.values())).shares
    owners = np.asarray(shares.argmax(axis=0)).ravel().astype(np.int64)
    owners[pool.empty_cell] = shares.shape[0]
    return owners


def _unbroken(pool: Pool, there: np.ndarray) -> Ints:
    """(C + 1,): how many of each cell's images are there, counted up to the first that isn't."""
    counts = np.zeros(pool.empty_cell + 1, np.int64)
    broken = np.zeros(pool.empty_cell + 1, bool)
    for cell, found in zip(pool.cell_of_image.tolist(), there.tolist(), strict=True):
        broken[cell] |= not found
        counts[cell] += not broken[cell]
    return counts
