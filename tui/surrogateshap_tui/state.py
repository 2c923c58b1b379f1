"""What the UI knows of a run, and how every event changes it. Pure: no Textual, no clock, no input or output."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal, assert_never

from surrogateshap.events import (
    DeviceProgress,
    Event,
    GameInfo,
    RankingUpdated,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
    StageFinished,
    StageInfo,
    StageProgress,
    StageStarted,
    Warned,
)
from surrogateshap.plan.model import Plan
from surrogateshap.record.fidelity import closed_game
from surrogateshap.record.results import GameResult, Results, Stopped

Status = Literal["planned", "running", "finished", "failed", "interrupted"]
StageStatus = Literal["waiting", "running", "done", "cached", "stopped"]


class Grade(IntEnum):
    """How settled a ranking is. A settled one is never replaced by one that is less so."""

    PROVISIONAL = 0
    FINAL = 1
    RESULT = 2
    """Final, and with the details that only the results hold."""


@dataclass(frozen=True)
class StageState:
    """One stage of the run, in units of its own."""

    id: str
    title: str
    unit: str
    done: int
    total: int
    status: StageStatus
    rate: float = 0.0
    """Units per second of this attempt; 0 where unknown."""
    seconds: float | None = None
    """What it took, once it is done."""

    @property
    def fraction(self) -> float:
        """Share that is done, from 0 to 1; a stage without units is done when its status says so."""
        if self.total <= 0:
            return 1.0 if self.status in ("done", "cached") else 0.0
        return min(1.0, max(0.0, self.done / self.total))

    @property
    def left(self) -> float | None:
        """Seconds until it is done, at the present rate; None where that is unknown."""
        if self.status in ("done", "cached"):
            return 0.0
        if self.status != "running" or not self.rate > 0:  # NaN is not
            return None
        return max(0, self.total - self.done) / self.rate


@dataclass(frozen=True)
class DeviceState:
    """What one worker's device told last."""

    device: str
    images: int
    rate: float
    """Images per second, generated and encoded."""
    seconds: float
    utilisation: float | None = None
    """From 0 to 1; None where nothing says so."""
    memory_bytes: int | None = None
    memory_total: int | None = None


@dataclass(frozen=True)
class Place:
    """One contributor's place in a ranking; what only the results tell is None before them."""

    rank: int
    name: str
    value: float
    low: float
    high: float
    rank_low: int | None = None
    rank_high: int | None = None
    rows: int | None = None
    share: float | None = None
    in_top: float | None = None
    flags: tuple[str, ...] = ()
    """What stands out of the contributor's own images, in words."""


@dataclass(frozen=True)
class Ranking:
    """One game's contributors, best first."""

    game: GameInfo
    grade: Grade
    images: int
    places: tuple[Place, ...]
    result: GameResult | None = None
    widths: tuple[tuple[int, float], ...] = ()
    """Images, and the mean width of the intervals that rested on them: how the ranking settled, this update last."""


@dataclass(frozen=True)
class Look:
    """How wide a game's intervals were when it was looked at."""

    game: GameInfo
    images: int
    median: float
    widest: float


@dataclass(frozen=True)
class RunState:
    """All that the run and ranking views show."""

    run: str = ""
    name: str = ""
    status: Status = "planned"
    resumed: bool = False
    left: float | None = None
    """Seconds until the run is done, as it told last; None where it can't know."""
    cached: bool = False
    """The run finished without computing anything."""
    seconds: float | None = None
    stages: tuple[StageState, ...] = ()
    devices: tuple[DeviceState, ...] = ()
    """In the order in which they were first heard of, in this attempt."""
    games: tuple[GameInfo, ...] = ()
    rankings: tuple[Ranking, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""
    remedy: str = ""
    looks: tuple[Look, ...] = ()
    """In the order of the images that they rested on, of rankings with intervals."""
    stopped: tuple[Stopped, ...] = ()
    """How each pool ended, where the spec has a stopping rule."""

    def ranking(self, game: GameInfo) -> Ranking | None:
        """The game's ranking so far."""
        return next((ranking for ranking in self.rankings if ranking.game == game), None)


def planned(plan: Plan) -> RunState:
    """The state of a run that nothing has been heard of: its stages as the plan sees them."""
    return RunState(
        run=plan.run,
        name=plan.name,
        stages=_waiting(
            StageInfo(id=stage.id, title=stage.title, unit=stage.unit, total=stage.total, cached=stage.cached)
            for stage in plan.stages
        ),
        games=tuple(game.info for game in plan.games),
        warnings=plan.warnings,
    )


def reduce(state: RunState, event: Event) -> RunState:
    """The state after an event. Any event is accepted in any state; one that says nothing new changes nothing."""
    match event:
        case RunStarted():
            return _begun(state, event)
        case StageStarted():
            return _with_stage(state, event.stage, _stage_started)
        case StageProgress():
            told = replace(state, left=event.left)
            return _with_stage(told, event.stage, lambda stage: _stage_progressed(stage, event))
        case StageFinished():
            return _with_stage(state, event.stage, lambda stage: _stage_finished(stage, event))
        case DeviceProgress():
            return _with_device(state, event)
        case RankingUpdated():
            return _with_ranking(state, _ranking_of(event))
        case Warned():
            known = event.message in state.warnings
            return state if known else replace(state, warnings=(*state.warnings, event.message))
        case RunFinished():
            return replace(state, status="finished", cached=event.cached, seconds=event.seconds, error="", remedy="")
        case RunFailed():
            return replace(_halted(state), status="failed", error=event.message, remedy=event.remedy)
        case RunInterrupted():
            return replace(_halted(state), status="interrupted")
        case _:
            assert_never(event)


def reduce_all(state: RunState, events: Iterable[Event]) -> RunState:
    """The state after several events, in order."""
    for event in events:
        state = reduce(state, event)
    return state


def with_results(state: RunState, results: Results) -> RunState:
    """The state once the results are there; what was shown of another run is dropped."""
    if state.run != results.run:
        state = RunState(run=results.run)
    games = tuple(_game_of(game) for game in results.games)
    state = replace(
        state, name=results.name, status="finished", games=games, error="", remedy="", stopped=results.stopped
    )
    for game in results.games:
        flags = {one.name: one.flags for one in results.flags if one.grouping == game.grouping}
        state = _with_ranking(state, _settled(game, flags))
    return state


def closed(ranking: Ranking | None) -> Ranking | None:
    """The ranking of the retraining game, as estimated from anchors; None where there is none."""
    game = closed_game(ranking.result) if ranking and ranking.result else None
    if ranking is None or game is None:
        return None
    return _settled(game, {place.name: place.flags for place in ranking.places})


def abandoned(state: RunState) -> RunState:
    """The state when the store says that nobody executes the run, whatever its last event was."""
    return replace(_halted(state), status="interrupted") if state.status == "running" else state


def time_left(state: RunState, plan: Plan | None) -> float | None:
    """Seconds until the run is done: what it tells; else measured rates for what runs and the plan's estimates."""
    if state.left is not None:
        return state.left
    estimates: dict[str, float | None] = (
        {stage.id: stage.seconds for stage in plan.stages} if plan and plan.run == state.run else {}
    )
    total = 0.0
    for stage in state.stages:
        left = estimates.get(stage.id) if stage.status == "waiting" else stage.left
        if left is None:
            return None
        total += left
    return total


def _waiting(stages: Iterable[StageInfo]) -> tuple[StageState, ...]:
    return tuple(
        StageState(
            stage.id,
            stage.title,
            stage.unit,
            done=stage.cached,
            total=stage.total,
            status="cached" if 0 < stage.total <= stage.cached else "waiting",
        )
        for stage in stages
    )


def _begun(state: RunState, event: RunStarted) -> RunState:
    # A new attempt at the same run counts its stages anew, but what was ranked before still holds.
    rankings = state.rankings if event.run == state.run else ()
    return RunState(
        run=event.run,
        name=event.name,
        status="running",
        resumed=event.resumed,
        stages=_waiting(event.stages),
        games=event.games,
        rankings=rankings,
        looks=state.looks if event.run == state.run else (),
    )


def _with_stage(state: RunState, stage_id: str, change: Callable[[StageState], StageState]) -> RunState:
    return replace(state, stages=tuple(change(stage) if stage.id == stage_id else stage for stage in state.stages))


def _stage_started(stage: StageState) -> StageState:
    return replace(stage, status="running") if stage.status in ("waiting", "stopped") else stage


def _stage_progressed(stage: StageState, event: StageProgress) -> StageState:
    if stage.status in ("done", "cached"):
        return stage
    # The total may fall: a stage with a stopping rule is done before its budget is spent.
    done = max(stage.done, event.done)
    return replace(stage, status="running", done=done, total=max(done, event.total), rate=event.rate)


def _stage_finished(stage: StageState, event: StageFinished) -> StageState:
    status: StageStatus = "cached" if event.cached else "done"
    return replace(stage, status=status, done=max(stage.done, stage.total), seconds=event.seconds)


def _with_device(state: RunState, event: DeviceProgress) -> RunState:
    told = DeviceState(
        event.device,
        event.images,
        event.rate,
        event.seconds,
        event.utilisation,
        event.memory_bytes,
        event.memory_total,
    )
    if all(device.device != told.device for device in state.devices):
        return replace(state, devices=(*state.devices, told))
    return replace(state, devices=tuple(told if one.device == told.device else one for one in state.devices))


def _halted(state: RunState) -> RunState:
    stages = (replace(stage, status="stopped") if stage.status == "running" else stage for stage in state.stages)
    return replace(state, stages=tuple(stages))


def _with_ranking(state: RunState, ranking: Ranking) -> RunState:
    state = _with_look(state, ranking)
    old = state.ranking(ranking.game)
    if old is not None and old.grade > ranking.grade:
        return state
    if ranking.grade is not Grade.RESULT and ranking.places:
        mean = sum(place.high - place.low for place in ranking.places) / len(ranking.places)
        ranking = replace(ranking, widths=((*old.widths, (ranking.images, mean)) if old else ((ranking.images, mean),)))
    elif old is not None:
        ranking = replace(ranking, widths=old.widths)
    others = tuple(other for other in state.rankings if other.game != ranking.game)
    games = state.games if ranking.game in state.games else (*state.games, ranking.game)
    return replace(state, games=games, rankings=(*others, ranking))


def _with_look(state: RunState, ranking: Ranking) -> RunState:
    widths = sorted(place.high - place.low for place in ranking.places)
    if not widths or not widths[-1] > 0:
        return state
    look = Look(ranking.game, ranking.images, widths[len(widths) // 2], widths[-1])
    others = (one for one in state.looks if (one.game, one.images) != (look.game, look.images))
    return replace(state, looks=tuple(sorted((*others, look), key=lambda one: one.images)))


def _ranking_of(event: RankingUpdated) -> Ranking:
    return Ranking(
        event.game,
        Grade.PROVISIONAL if event.provisional else Grade.FINAL,
        event.images,
        tuple(Place(row.rank, row.name, row.value, row.low, row.high) for row in event.contributors),
    )


def _game_of(game: GameResult) -> GameInfo:
    return GameInfo(grouping=game.grouping, utility=game.utility, proxy=game.proxy)


def _settled(game: GameResult, flags: Mapping[str, tuple[str, ...]]) -> Ranking:
    places = (
        Place(
            row.rank,
            row.name,
            row.value,
            row.low,
            row.high,
            row.rank_low,
            row.rank_high,
            row.rows,
            row.share,
            row.in_top,
            flags.get(row.name, ()),
        )
        for row in game.contributors
    )
    return Ranking(_game_of(game), Grade.RESULT, game.images, tuple(places), game)
