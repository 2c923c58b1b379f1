"""What a run's events look like while it works: nothing, plain lines, JSON lines, or the bars of `bars.py`."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Self, assert_never

import click

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
from surrogateshap.units import count, duration, percent, plural, rate, size

PROGRESS_EVERY = 5.0
"""Seconds between two plain progress lines of a stage."""
DEVICE_EVERY = 60.0
"""The same of a device."""


class Display:
    """Shows nothing, and is the base of those that do. `emit` never raises, and any thread may call it."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        """What went wrong in showing; nothing is shown after it, and the run goes on."""
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def emit(self, event: Event) -> None:
        """Takes one event of the run."""
        self._guarded(lambda: self.show(event))

    def say(self, message: str) -> None:
        """One line of narration on stderr, from any thread."""
        self._guarded(lambda: self.line(message))

    def show(self, event: Event) -> None:
        """Shows one event; may raise."""

    def line(self, message: str) -> None:
        """Shows one line; may raise."""
        click.echo(message, err=True)

    def _guarded(self, show: Callable[[], None]) -> None:
        with self._lock:
            if self.failure is None:
                try:
                    show()
                except Exception as error:
                    self.failure = error


class JsonDisplay(Display):
    """Events as JSON lines, each flushed at once."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__()
        self._stream = stream

    def show(self, event: Event) -> None:
        from surrogateshap.report import json_text

        self._stream.write(json_text(event, indent=None) + "\n")
        self._stream.flush()


class PlainDisplay(Display):
    """A line per change of state, and now and then one per stage of how far it is; for logs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._stages: dict[str, StageInfo] = {}
        self._last: dict[str, float] = {}

    def show(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._stages = {stage.id: stage for stage in event.stages}
                verb = "goes on" if event.resumed else "starts"
                self.line(f"Run {harmless(event.run)} {verb}: {plural(len(event.stages), 'stage')}")
            case StageStarted():
                self._last[event.stage] = self._clock()
                stage = self._stages.get(event.stage)
                there = f", {how_far(stage.cached, stage.total, stage.unit)} there" if stage and stage.cached else ""
                self.line(f"{self._title(event.stage)}: started{there}")
            case StageProgress():
                now = self._clock()
                if now - self._last.get(event.stage, float("-inf")) >= PROGRESS_EVERY:
                    self._last[event.stage] = now
                    unit = self._stages[event.stage].unit if event.stage in self._stages else ""
                    parts = [how_far(event.done, event.total, unit), speed(event, unit), left(event)]
                    self.line(f"{self._title(event.stage)}: {', '.join(part for part in parts if part)}")
            case StageFinished():
                how = "was there already" if event.cached else f"finished in {duration(event.seconds)}"
                self.line(f"{self._title(event.stage)}: {how}")
            case DeviceProgress():
                now = self._clock()
                if now - self._last.get(event.device, now - DEVICE_EVERY) >= DEVICE_EVERY:
                    self._last[event.device] = now
                    self.line(f"{harmless(event.device, 60)}: {', '.join(usage(event))}")
            case Warned():
                self.line(f"Warning: {harmless(event.message, 1000)}")
            case RunFinished():
                self.line("All of it was there already" if event.cached else f"Finished in {duration(event.seconds)}")
            case RankingUpdated() | RunFailed() | RunInterrupted():
                pass  # the command itself tells these
            case _:
                assert_never(event)

    def _title(self, stage: str) -> str:
        return harmless(self._stages[stage].title if stage in self._stages else stage)


def how_far(done: int, total: int, unit: str) -> str:
    """`120 of 1,500 images`."""
    return f"{count(done)} of {count(total)} {harmless(unit, 20)}".rstrip()


def speed(progress: StageProgress, unit: str) -> str:
    """`13.2 images/s`; empty where unknown."""
    if not 0 < progress.rate < float("inf"):
        return ""
    number = f"{progress.rate:,.0f}" if progress.rate >= 1000 else f"{progress.rate:.3g}"
    return f"{number} {harmless(unit, 20)}/s" if unit else f"{number}/s"


def left(progress: StageProgress) -> str:
    """`3 min 20 s left`: until the run is done, or else the stage; empty where unknown."""
    if progress.left is not None:
        return f"{duration(progress.left)} left in all"
    pending = progress.total - progress.done
    return f"{duration(pending / progress.rate)} left" if pending > 0 and progress.rate > 0 else ""


def usage(event: DeviceProgress) -> list[str]:
    """`1,234 images`, `13/s`, `95.4% busy`, `41.0 GB of 80.0 GB`, as far as they are known."""
    parts = [f"{count(event.images)} images", *filter(None, [rate(event.rate)])]
    parts += [f"{percent(event.utilisation)} busy"] if event.utilisation is not None else []
    if event.memory_bytes is not None:
        of = f" of {size(event.memory_total)}" if event.memory_total is not None else ""
        parts.append(f"{size(event.memory_bytes)}{of}")
    return parts
