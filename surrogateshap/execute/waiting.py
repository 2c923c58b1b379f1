"""What an `apply` does while another one works in its store: it shows that one's progress, or waits."""

import threading
import time

from surrogateshap.errors import InterruptedRun
from surrogateshap.events import Emit, Event, RunFailed, RunFinished, RunInterrupted, RunStarted, Warned
from surrogateshap.store import Store

_POLL = 0.2
"""Seconds between two looks."""
_PATIENCE = 1.5
"""Seconds until it is told that another run is waited for: one that has just begun may turn out to be this one."""


class Waiting:
    """Called by the store's lock for as long as another process holds it."""

    def __init__(self, run: str, store: Store, emit: Emit, stop: threading.Event) -> None:
        self._run, self._store, self._emit, self._stop = run, store, emit, stop
        self._began = time.monotonic()
        self._shown = self._told = 0
        """Processes whose events are passed on, and of which it was told that they are waited for."""
        self._after = 0

    def __call__(self, holder: int) -> None:
        """Raises InterruptedRun when the user stops: that ends the waiting, and nothing in the other process."""
        row = self._store.run(self._run)
        if holder and holder == self._shown:
            self._pass_on(self._store.events(self._run, self._after))
        elif row is not None and (row.run, row.status, row.pid) == (self._run, "running", holder):
            self._attach(holder)
        elif holder != self._told and time.monotonic() - self._began > _PATIENCE:
            self._told = holder
            whose = f"process {holder}" if holder else "another process"
            self._tell(f"{whose} works in this store; waiting until it is done")
        if self._stop.wait(_POLL):
            raise InterruptedRun("interrupted while waiting for another process, which goes on")

    def catch_up(self) -> None:
        """Once the lock is free: what the other process told last."""
        if self._shown:
            self._pass_on(self._store.events(self._run, self._after))

    def _attach(self, holder: int) -> None:
        self._shown = holder
        self._tell(f"process {holder} applies this run already: its progress follows; stopping here doesn't stop it")
        told = self._store.condensed(self._run)
        begun = max((at for at, (_, event) in enumerate(told) if isinstance(event, RunStarted)), default=len(told))
        self._after = told[-1][0] if told else 0
        self._pass_on(told[begun:])

    def _pass_on(self, events: list[tuple[int, Event]]) -> None:
        for number, event in events:
            self._after = number
            match event:
                case RunFinished():
                    pass  # this attempt tells it too, once it has seen for itself
                case RunFailed():
                    self._tell(f"the other process failed: {event.message}; going on here")
                case RunInterrupted():
                    self._tell("the other process was stopped; going on here")
                case _:
                    self._emit(event)

    def _tell(self, message: str) -> None:
        self._emit(Warned(message=message, at=time.time()))
