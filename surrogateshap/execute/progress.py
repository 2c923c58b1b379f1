"""How the executor tells its watchers: events go to the store and to the caller, progress ticks only now and then."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from surrogateshap.errors import InterruptedRun
from surrogateshap.events import DeviceProgress, Emit, Event, StageFinished, StageProgress, StageStarted
from surrogateshap.execute.jobs import Sample
from surrogateshap.execute.pace import Estimate, Pace
from surrogateshap.store import Store

_TICK = 0.25
"""Seconds between the progress events of one stage that are kept or shown."""
_DEVICE_TICK = 1.0
"""The same of one worker."""


class Progress:
    """One attempt at a run, as seen by its watchers."""

    def __init__(
        self,
        run: str,
        store: Store,
        emit: Emit,
        stop: threading.Event,
        totals: dict[str, int],
        estimates: Mapping[str, Estimate] | None = None,
    ) -> None:
        """`totals` are the stages' units, `estimates` what the plan says of their time."""
        self._run, self._store, self._emit, self._stop, self._totals = run, store, emit, stop, totals
        self._pace = Pace(estimates or {})
        self._done: dict[str, int] = {}
        self._busy: dict[str, float] = {}
        self._ticked: dict[str, float] = {}
        self._here: dict[str, int] = {}
        self._untold: dict[str, DeviceProgress] = {}
        self._behind: dict[str, None] = {}
        """Stages that have come further than was told."""
        self._workers: dict[str, tuple[float, int]] = {}
        """Of each worker, when it began and how many images it made."""

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
        self.spend(stage, time.monotonic() - began)

    def spend(self, stage: str, seconds: float) -> None:
        """Counts a stage's own time; of several workers side by side, each one's part of it."""
        self._busy[stage] = self._busy.get(stage, 0.0) + seconds
        self._pace.spend(stage, seconds)

    def advance(self, stage: str, units: int) -> None:
        """Counts units that were done now; the last of them is always told."""
        self._here[stage] += units
        self.find(stage, units)

    def find(self, stage: str, units: int) -> None:
        """Counts units that another stage's work has done too.

        What was taken for done and turned out damaged is not counted twice.
        """
        self._done[stage] = min(self._done[stage] + units, self._totals[stage])
        now = time.monotonic()
        last = self._done[stage] >= self._totals[stage]
        if last or now - self._ticked.get(stage, 0.0) >= _TICK:
            self._ticked[stage] = now
            self._tell_progress(stage)
        else:
            self._behind[stage] = None

    def use(self, worker: str, images: int, sample: Sample, seconds: float) -> None:
        """A worker made so many images in its last `seconds`, and its device is used so."""
        now = time.monotonic()
        began, before = self._workers.get(worker, (now - seconds, 0))
        self._workers[worker] = (began, before + images)
        took = max(now - began, 1e-9)
        self._untold[worker] = DeviceProgress(
            device=worker,
            images=before + images,
            rate=(before + images) / took,
            seconds=took,
            utilisation=sample.utilisation,
            memory_bytes=sample.memory_bytes,
            memory_total=sample.memory_total,
        )
        if now - self._ticked.get(f"device {worker}", 0.0) >= _DEVICE_TICK:
            self._ticked[f"device {worker}"] = now
            self.tell(self._untold.pop(worker))

    def tell_use(self) -> None:
        """What workers came to, as far as it was not told yet."""
        for worker in list(self._untold):
            self.tell(self._untold.pop(worker))

    def tell_rest(self) -> None:
        """How far stages and workers came, as far as it was not told yet: for an attempt that ends in the middle."""
        for stage in list(self._behind):
            self._tell_progress(stage)
        self.tell_use()

    def rate(self, stage: str) -> float:
        """Units per second of the stage's own time, in this attempt; 0 where nothing was done."""
        busy = self._busy.get(stage, 0.0)
        return self._here.get(stage, 0) / busy if busy > 0 else 0.0

    def finish(self, stage: str, total: int | None = None) -> None:
        """Closes a stage; `total` is what it came to, where that is less than planned."""
        if total is not None and total < self._totals[stage]:
            self._totals[stage] = self._done[stage] = total
            self._tell_progress(stage)
        cached = self._here.get(stage, 0) == 0
        self.tell(StageFinished(stage=stage, seconds=self._busy.get(stage, 0.0), cached=cached))

    def _tell_progress(self, stage: str) -> None:
        self._behind.pop(stage, None)
        pending = {name: self._totals[name] - done for name, done in self._done.items()}
        left = self._pace.left(pending, {name: self.rate(name) for name in self._here})
        done, total = self._done[stage], self._totals[stage]
        self.tell(StageProgress(stage=stage, done=done, total=total, rate=self.rate(stage), left=left))
