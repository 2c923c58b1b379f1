"""Runs that are started here: each a process of its own, to which the app is only attached."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Protocol

from surrogateshap.errors import InterruptedRun, RunError, SurrogateShapError
from surrogateshap.text import harmless

_LONGEST = 4000
_NO_PROBLEM = "Error: "


class Job(Protocol):
    """A run that was started here. All methods but `run` return at once; that one is called from a worker thread."""

    def run(self) -> str | None:
        """The name of the run that it works on, once it does: the spec may have changed since it was planned."""

    def running(self) -> bool:
        """Whether it is still at work."""

    def stop(self) -> None:
        """Asks it to end after the batch in hand; asked again, at once. What is finished is kept either way."""

    def failure(self) -> SurrogateShapError | None:
        """Once it has ended: InterruptedRun where it was stopped, its error where it failed, None where all is done."""


class ChildJob:
    """`surrogateshap apply` in a session of its own: it outlives the app and the terminal."""

    def __init__(self, arguments: Sequence[str], find: Callable[[int], str | None] = lambda _: None) -> None:
        """`find` gives the run that a process works on."""
        self._find = find
        # Without a name from the start: nothing is left behind, whichever of the two processes ends first.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "surrogateshap", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,
        )

    def run(self) -> str | None:
        """See Job."""
        return self._find(self._process.pid)

    def running(self) -> bool:
        """See Job."""
        return self._process.poll() is None

    def stop(self) -> None:
        """See Job."""
        if self.running():
            self._process.send_signal(signal.SIGINT)

    def failure(self) -> SurrogateShapError | None:
        """See Job."""
        code = self._process.poll()
        if not code:
            return None
        if code in (InterruptedRun.exit_code, -signal.SIGINT):  # the latter where it was asked again
            return InterruptedRun("the run was stopped")
        # Read from an offset of its own: the file's position is shared with the process.
        said = os.pread(self._said.fileno(), 1 << 16, 0).decode(errors="replace").strip()
        message, _, remedy = said.removeprefix(_NO_PROBLEM).partition("\n    ")
        if code < 0 or not message:
            message = f"the run's process ended with {code}" + (f": {message}" if message else "")
        remedy = remedy or "What is finished is kept: applying again goes on from there."
        return RunError(harmless(message, _LONGEST), harmless(remedy, _LONGEST))
