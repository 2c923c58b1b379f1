"""Progress bars on stderr, one per stage."""

from types import TracebackType
from typing import Self, assert_never

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from surrogateshap.cli.display import Display, how_far, left, speed, usage
from surrogateshap.events import (
    DeviceProgress,
    Event,
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
from surrogateshap.text import harmless
from surrogateshap.units import duration


class _Stderr(Console):
    """A console whose reader may leave: rich would end the program then."""

    def __init__(self) -> None:
        super().__init__(stderr=True, markup=False, highlight=False, emoji=False)

    def on_broken_pipe(self) -> None:
        self.quiet = True


class BarsDisplay(Display):
    """A bar per stage with how far it is, its speed and the time left; warnings above them."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(overflow="ellipsis", no_wrap=True)),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[far]}", markup=False, table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[pace]}", markup=False, table_column=Column(no_wrap=True)),
            console=console or _Stderr(),
        )
        self._tasks: dict[str, tuple[TaskID, StageInfo]] = {}
        self._devices: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guarded(self._progress.stop)

    def line(self, message: str) -> None:
        self._progress.console.print(Text(message))

    def show(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._begin(event.stages)
            case StageStarted():
                self._update(event.stage, pace="started")
            case StageProgress():
                self._advance(event)
            case StageFinished():
                self._update(event.stage, done=True, pace="cached" if event.cached else f"in {duration(event.seconds)}")
            case DeviceProgress():
                self._use(event)
            case Warned():
                self.line(f"Warning: {harmless(event.message, 1000)}")
            case RankingUpdated() | RunFinished() | RunFailed() | RunInterrupted():
                pass  # the command itself tells these
            case _:
                assert_never(event)

    def _begin(self, stages: tuple[StageInfo, ...]) -> None:
        for task in (*(task for task, _ in self._tasks.values()), *self._devices.values()):
            self._progress.remove_task(task)
        self._tasks, self._devices = {}, {}
        for stage in stages:
            cached = stage.cached >= stage.total
            task = self._progress.add_task(
                harmless(stage.title, 40),
                total=max(1, stage.total),
                completed=max(1, stage.total) if cached else stage.cached,
                far=how_far(stage.cached, stage.total, stage.unit),
                pace="cached" if cached else "",
            )
            self._tasks[stage.id] = (task, stage)

    def _use(self, event: DeviceProgress) -> None:
        """A row for each device, whose bar is the share of the time that it computes."""
        images, *more = usage(event)
        if event.device not in self._devices:
            self._devices[event.device] = self._progress.add_task(
                harmless(event.device, 40), total=1.0, far="", pace=""
            )
        busy = event.utilisation or 0.0
        self._progress.update(self._devices[event.device], completed=busy, far=images, pace=", ".join(more))

    def _advance(self, event: StageProgress) -> None:
        if event.stage in self._tasks:
            task, stage = self._tasks[event.stage]
            pace = ", ".join(part for part in (speed(event, ""), left(event)) if part)
            far = how_far(event.done, event.total, stage.unit)
            self._progress.update(task, completed=event.done, total=max(1, event.total), far=far, pace=pace)
            self._tasks[event.stage] = (task, stage.model_copy(update={"total": event.total}))

    def _update(self, id: str, *, pace: str, done: bool = False) -> None:
        if id in self._tasks:
            task, stage = self._tasks[id]
            self._progress.update(task, pace=pace)
            if done:
                far = how_far(stage.total, stage.total, stage.unit)
                self._progress.update(task, completed=max(1, stage.total), total=max(1, stage.total), far=far)
