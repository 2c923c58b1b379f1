"""What runs in an actor of a Ray cluster: one device, kept warm, that may lie on a machine without the store."""

import os
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path
from typing import Any

from surrogateshap import __version__
from surrogateshap.execute.backends.child import plain
from surrogateshap.execute.jobs import Done, Job
from surrogateshap.execute.workshop import Batch
from surrogateshap.plan.compile import Compiled
from surrogateshap.plan.keys import METHOD
from surrogateshap.store.objects import Objects, Suffix
from surrogateshap.text import digest

VERSION = (__version__, METHOD)
"""What a run and its workers must have in common."""


@dataclass(frozen=True)
class Place:
    """Where an actor is, and what it finds there."""

    version: tuple[str, int]
    address: str
    """Of its node."""
    shared: bool
    """Whether it can write to the store's folder."""


@dataclass(frozen=True)
class Setup:
    """What a worker needs before its first job."""

    compiled: Compiled
    objects: Objects
    device: str
    threads: int | None
    batch: Batch | None


@dataclass(frozen=True)
class Answer:
    """What came of a job or a question: an error, or what was asked for and the objects that are to be kept."""

    what: Any = None
    error: Exception | None = None
    objects: tuple[bytes, ...] = ()


@dataclass
class Parcel(Objects):
    """Objects in memory, each until as many have taken it as have put it there."""

    _held: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, data: bytes, suffix: Suffix = "safetensors") -> str:
        """Holds `data` and returns its digest."""
        name = digest(data)
        with self._lock:
            self._held[name] = (data, self._held.get(name, (data, 0))[1] + 1)
        return name

    def get(self, name: str, suffix: Suffix = "safetensors") -> bytes | None:
        """The bytes whose digest is `name`, if they are held."""
        with self._lock:
            return self._held.get(name, (None, 0))[0]

    def take(self, name: str) -> bytes | None:
        """The same for the last time, for one of those who put it there."""
        with self._lock:
            data, times = self._held.pop(name, (None, 0))
            if data is not None and times > 1:
                self._held[name] = (data, times - 1)
            return data


class RayWorker:
    """An actor. Its methods are called from several threads at a time."""

    def hello(self, probe: Path) -> Place:
        """Says where it is. `probe` is a file that the run has put beside the store's objects."""
        import ray

        objects = probe.with_name("objects")
        shared = probe.is_file() and os.access(objects, os.W_OK | os.X_OK)
        return Place(VERSION, ray.util.get_node_ip_address(), shared)

    def set_up(self, setup: Setup, shared: bool) -> None:
        """Before anything else is asked. Nothing is loaded yet."""
        from surrogateshap.execute.assembly import Assembly
        from surrogateshap.execute.workshop import Workshop

        self._parcel = None if shared else Parcel()
        workshop = Workshop(setup.compiled, setup.device, threads=setup.threads, batch=setup.batch)
        self._assembly = Assembly(workshop, self._parcel or setup.objects)

    def do(self, job: Job, given: bytes | None) -> Answer:
        """What comes of a job. `given` is the object that it names, where the worker can't read it itself."""
        if self._parcel is None:
            return self._answer(self._assembly.submit(job))
        if given is not None:
            self._parcel.put(given)
        answer = self._answer(self._assembly.submit(job))
        if given is not None:
            self._parcel.take(job.made)
        names: list[str] = []
        if isinstance(answer.what, Done):
            names = [*answer.what.encoded.values(), *([answer.what.made] if answer.what.made and job.items else [])]
        found = [data for name in names if (data := self._parcel.take(name)) is not None]
        return Answer(answer.what, answer.error, tuple(found))

    def ask(self, method: str, arguments: tuple[Any, ...]) -> Answer:
        """What the workshop answers."""
        return self._answer(self._assembly.ask(methodcaller(method, *arguments)))

    def drop(self) -> None:
        """Jobs whose images are not begun come to DroppedError."""
        self._assembly.drop()

    def end(self) -> None:
        """Waits for the steps that it is in."""
        self._assembly.close()

    def _answer(self, future: "Future[Any]") -> Answer:
        try:
            return Answer(future.result())
        except BaseException as error:
            return Answer(error=plain(error))
