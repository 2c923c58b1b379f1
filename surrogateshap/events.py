"""What a run tells its watchers. Typed, small, and free of any user interface.

The executor emits these; the store keeps them; the terminal, `--display json` and the TUI read them. An event that
`coalesces` may be dropped when a newer one of its kind and stage has come; the others never are.
"""

from collections.abc import Callable
from functools import cache
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Event(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")
    coalesces: ClassVar[bool] = False
    at: float = 0.0
    """Seconds since the epoch, set by the store when the event is written."""


class StageInfo(BaseModel):
    """One line of the plan, as a watcher needs it."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")
    id: str
    title: str
    unit: str
    total: int
    cached: int


class GameInfo(BaseModel):
    """Names one game: grouping × utility × proxy."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")
    grouping: str
    utility: str
    proxy: str

    def __str__(self) -> str:
        return f"{self.grouping} / {self.utility} / {self.proxy}"


class RankedContributor(BaseModel):
    """One row of a ranking."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")
    name: str
    value: float
    low: float
    high: float
    rank: int


class RunStarted(_Event):
    """The first event of every attempt at a run, resumed ones too."""

    kind: Literal["run_started"] = "run_started"
    run: str
    name: str
    resumed: bool
    stages: tuple[StageInfo, ...]
    games: tuple[GameInfo, ...]


class StageStarted(_Event):
    """A stage has work to do and begins it."""

    kind: Literal["stage_started"] = "stage_started"
    stage: str


class StageProgress(_Event):
    """How far a stage is; `done` counts what was cached too."""

    coalesces: ClassVar[bool] = True
    kind: Literal["stage_progress"] = "stage_progress"
    stage: str
    done: int
    total: int
    rate: float = 0.0
    """Units per second of the stage's own time, in this attempt."""
    left: float | None = None
    """Seconds until the whole run is done; None where unknown."""


class StageFinished(_Event):
    """A stage is complete; `cached` says that nothing had to be done."""

    kind: Literal["stage_finished"] = "stage_finished"
    stage: str
    seconds: float
    cached: bool


class DeviceProgress(_Event):
    """How one worker's device is used; the newest of a worker says it all."""

    coalesces: ClassVar[bool] = True
    kind: Literal["device_progress"] = "device_progress"
    device: str
    """Such as `cuda:0 NVIDIA H100`; of several workers on one, followed by ` (2)`."""
    images: int
    """Generated in this attempt."""
    rate: float
    """Images per second, generated and encoded, since the worker's first."""
    seconds: float
    """That it has worked."""
    utilisation: float | None = None
    """Share of the time, 0 to 1, that the device computed lately; None where nothing says so."""
    memory_bytes: int | None = None
    """In use on the device, or by the process on a CPU."""
    memory_total: int | None = None


class RankingUpdated(_Event):
    """A game's ranking: provisional while the pool is filling, final once its estimate is done."""

    kind: Literal["ranking_updated"] = "ranking_updated"
    game: GameInfo
    contributors: tuple[RankedContributor, ...]
    provisional: bool
    images: int
    """Pool images that the ranking rests on."""


class Warned(_Event):
    """Something the user should know and that stops nothing."""

    kind: Literal["warned"] = "warned"
    message: str


class RunFinished(_Event):
    """The results are there."""

    kind: Literal["run_finished"] = "run_finished"
    run: str
    seconds: float
    cached: bool


class RunFailed(_Event):
    """The run stopped on an error; what it finished is kept."""

    kind: Literal["run_failed"] = "run_failed"
    run: str
    message: str
    remedy: str


class RunInterrupted(_Event):
    """The user stopped the run; what it finished is kept."""

    kind: Literal["run_interrupted"] = "run_interrupted"
    run: str


Event = Annotated[
    RunStarted
    | StageStarted
    | StageProgress
    | StageFinished
    | DeviceProgress
    | RankingUpdated
    | Warned
    | RunFinished
    | RunFailed
    | RunInterrupted,
    Field(discriminator="kind"),
]
Emit = Callable[[Event], None]


@cache
def _adapter() -> TypeAdapter[Event]:
    return TypeAdapter(Event)


def event_from_json(text: str | bytes) -> Event:
    """Reads back what `event.model_dump_json()` wrote. Raises pydantic's ValidationError on anything else."""
    return _adapter().validate_json(text)
