"""A worker's process as the run that started it sees it."""

import pickle
import queue
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from surrogateshap.errors import RunError
from surrogateshap.execute.backends.frames import read_frame, write_frame
from surrogateshap.execute.jobs import Job
from surrogateshap.execute.workshop import Batch
from surrogateshap.plan.compile import Compiled
from surrogateshap.store.objects import Objects
from surrogateshap.text import harmless

_LAST_WORDS = 300
"""Characters of a dead worker's standard error that are told."""
_PATIENCE = 600.0
"""Seconds that a worker may take to end after the steps that it is in."""


@dataclass(frozen=True)
class Setup:
    """What a worker needs before its first job."""

    compiled: Compiled
    objects: Objects
    device: str
    threads: int | None
    batch: Batch | None


@dataclass(frozen=True)
class Heard:
    """What a worker says: of a job what came of it, of a question the answer."""

    kind: Literal["done", "error", "dead"]
    number: int = -1
    what: Any = None


class Child:
    """One process. A thread writes to it and another listens: whoever gives it work waits for neither."""

    def __init__(self, name: str, setup: Setup, heard: "queue.SimpleQueue[tuple[Child, Heard]]") -> None:
        """Starts it; what it says of jobs, and that it died, goes to `heard`."""
        self.name, self.setup, self.jobs = name, setup, dict[int, Job]()
        self._heard = heard
        self._outbox: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._asked: dict[int, Future[Any]] = {}
        self._lock, self._dead = threading.Lock(), ""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the last words
        self._process = subprocess.Popen(
            # -P: what lies in the working directory, maybe a stranger's, is not to be imported.
            [sys.executable, "-P", "-m", "surrogateshap.execute.backends.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._outbox.put(("setup", setup))
        for work in (self._write, self._listen):
            threading.Thread(target=work, daemon=True).start()

    def say(self, *message: Any) -> None:
        """Sends it, when the worker has read what came before."""
        self._outbox.put(message)

    def ask(self, number: int, method: str, arguments: tuple[Any, ...]) -> "Future[Any]":
        """The answer of the worker's workshop."""
        future: Future[Any] = Future()
        with self._lock:
            if self._dead:
                future.set_exception(self._error())
            else:
                self._asked[number] = future
        self.say("ask", number, method, arguments)
        return future

    def end(self, at_once: bool = False) -> None:
        """Lets it finish the steps that it is in, or kills it; waits until it is gone."""
        if at_once:
            self._process.kill()
        self._outbox.put(None)
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _write(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # the dead read nothing; that they are is heard by the other thread
            while (message := self._outbox.get()) is not None:
                write_frame(self._process.stdin, message)
        with suppress(OSError):
            self._process.stdin.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while (data := read_frame(self._process.stdout)) is not None:
            heard: Heard = pickle.loads(data)
            with self._lock:
                future = self._asked.pop(heard.number, None)
            if future is None:
                self._heard.put((self, heard))
            elif heard.kind == "error":
                future.set_exception(heard.what)
            else:
                future.set_result(heard.what)
        self._outbox.put(None)
        with self._lock:
            self._dead = self._epitaph()
        for future in self._asked.values():
            future.set_exception(self._error())
        self._heard.put((self, Heard("dead", what=self._dead)))

    def _error(self) -> RunError:
        return RunError(f"the worker on {self.name} {self._dead}", "Apply again: what was finished is kept.")

    def _epitaph(self) -> str:
        """How it ended, and the end of what it wrote to standard error."""
        code = self._process.wait()
        with self._errors:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
        words = harmless(lines[-1], _LAST_WORDS) if lines else ""
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"{how}: {words}" if words else how
