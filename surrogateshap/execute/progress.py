"""How the executor tells its watchers: events go to the store and to the caller, progress ticks only now and then."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from surrogateshap.errors import InterruptedRun
from surrogateshap.events import Emit, Event, StageFinished, StageProgress, StageStarted
from surrogateshap.store import Store

_TICK = 0.25
"""Seconds between the progress events of one stage that are kept or shown."""


class Progress:
    """One attempt at a run, as seen by its watchers."""

    def __init__(self, run: str, store: Store, emit: Emit, stop: threading.Event, totals: dict[str, int]) -> None:
        self._run, self._store, self._emit, self._stop, self._totals = run, store, emit, stop, totals
        self._done: dict[str, int] = {}
        self._busy: dict[str, float] = {}
        self._ticked: dict[str, float] = {}
        self._here: dict[str, float] = {}

    def tell(self, event: Event) -> None:
        """Keeps an event and passes it on."""
        self._store.record_event(self._run, event)
        self._emit(event.model_copy(update={"at": time.time()}))

    def check(self) -> None:
        """Raises InterruptedRun once the user has asked to stop."""
        if self._stop.is_set():
            raise InterruptedRun("interrupted: what was finished is kept")

    def start(self, stage: str, done: int) -> None:
        """Opens a stage of which `done` units were there before; or counts anew in one that is open."""
        self._done[stage] = done
        if stage in self._here:
            return
        self._here[stage] = 0
        if done < self._totals[stage]:
            self.tell(StageStarted(stage=stage))

    @contextmanager
    def working(self, stage: str) -> Iterator[None]:
        """Counts the time inside as the stage's own: stages take turns."""
        began = time.monotonic()
        yield
        self._busy[stage] = self._busy.get(stage, 0.0) + time.monotonic() - began

    def advance(self, stage: str, units: int) -> None:
        """Counts units that were done now; the last of them is always told.

        What was taken for done and turned out damaged is not counted twice.
        """
        self._done[stage] = min(self._done[stage] + units, self._totals[stage])
        self._here[stage] += units
        now = time.monotonic()
        last = self._done[stage] >= self._totals[stage]
        if last or now - self._ticked.get(stage, 0.0) >= _TICK:
            self._ticked[stage] = now
            done, total = self._done[stage], self._totals[stage]
            self.tell(StageProgress(stage=stage, done=done, total=total, rate=self.rate(stage)))

    def rate(self, stage: str) -> float:
        """Units per second of the stage's own time, in this attempt; 0 where nothing was done."""
        busy = self._busy.get(stage, 0.0)
        return self._here.get(stage, 0) / busy if busy > 0 else 0.0

    def finish(self, stage: str, total: int | None = None) -> None:
        """Closes a stage; `total` is what it came to, where that is less than planned."""
        if total is not None and total < self._totals[stage]:
            self._totals[stage] = total
            self.tell(StageProgress(stage=stage, done=total, total=total, rate=self.rate(stage)))
        cached = self._here.get(stage, 0) == 0
        self.tell(StageFinished(stage=stage, seconds=self._busy.get(stage, 0.0), cached=cached))
