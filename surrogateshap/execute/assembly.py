"""One device at work: while it makes a shard's images, the next is read, and the one before is encoded and kept."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from surrogateshap.errors import WORKER
from surrogateshap.execute.jobs import Done, Job
from surrogateshap.execute.models import Request
from surrogateshap.execute.usage import Usage
from surrogateshap.execute.workshop import Workshop
from surrogateshap.store.objects import Suffix, arrays_from_bytes, arrays_to_bytes

T = TypeVar("T")
DEPTH = 3
"""Jobs that a worker holds at a time: one is read, one made, one encoded and kept."""


class Shelf(Protocol):
    """Where a worker's objects go, and come from: a store, or what is sent along with jobs."""

    def put(self, data: bytes, suffix: Suffix) -> str:
        """Keeps `data` and returns its digest."""
        ...

    def get(self, name: str, suffix: Suffix) -> bytes | None:
        """The bytes whose digest is `name`; None where they are missing or damaged."""
        ...


@dataclass
class _Shard:
    """A job between its steps."""

    requests: Sequence[Request] = ()
    images: np.ndarray | None = None
    """(N, H, W, C) uint8; None where an object that should have been there can't be read."""
    where: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class DroppedError(Exception):
    """A job was given up before it was begun."""


class Assembly:
    """Does jobs in their order, each step in a thread of its own. Where a step fails, so does the job's future."""

    def __init__(self, workshop: Workshop, objects: Shelf) -> None:
        self._workshop, self._objects, self._usage = workshop, objects, Usage(workshop)
        self._dropped = False
        self._steps = [ThreadPoolExecutor(1, f"{WORKER}-{name}") for name in ("read", "make", "keep")]

    def submit(self, job: Job) -> "Future[Done]":
        """What comes of the job, later."""
        reader, maker, keeper = self._steps
        read = reader.submit(self._read, job)
        made = maker.submit(lambda: self._make(job, read.result()))
        return keeper.submit(lambda: self._keep(job, made.result()))

    def ask(self, work: Callable[[Workshop], T]) -> "Future[T]":
        """What the workshop answers, once its device is free."""
        return self._steps[1].submit(work, self._workshop)

    def drop(self) -> None:
        """Jobs whose images are not begun come to DroppedError."""
        self._dropped = True

    def close(self, *, wait: bool = True) -> None:
        """Gives up the steps that have not begun; waits for the others if asked."""
        self._dropped = True
        for executor in self._steps:
            executor.shutdown(wait=False, cancel_futures=True)
        for executor in self._steps if wait else ():
            executor.shutdown(wait=True)

    def _read(self, job: Job) -> _Shard:
        if job.items:
            return _Shard(self._workshop.requests(job.items))
        data = self._objects.get(job.made, "safetensors")
        arrays = arrays_from_bytes(data) if data is not None else None
        return _Shard(images=None if arrays is None else arrays["images"])

    def _make(self, job: Job, shard: _Shard) -> _Shard:
        if self._dropped:
            raise DroppedError
        if job.items:
            _ = self._workshop.model  # loaded outside the time that tells how fast it is
            began = time.monotonic()
            shard.images, shard.where = self._workshop.make(shard.requests)
            shard.seconds["generate"] = time.monotonic() - began
            shard.requests = ()  # frees the training images
        return shard

    def _keep(self, job: Job, shard: _Shard) -> Done:
        made: str | None = None
        encoded = {}
        if shard.images is not None:
            made = job.made or self._put({"images": shard.images})
            for name in job.encoders:
                encoder = self._workshop.encoder(name)
                began = time.monotonic()
                view = self._workshop.encode(encoder, shard.images)
                encoded[name] = self._put({"features": view.features, "probabilities": view.probabilities})
                shard.seconds[name] = time.monotonic() - began
        return Done(
            keys=tuple(item.key for item in job.items),
            made=made,
            where=shard.where,
            encoded=encoded,
            seconds=shard.seconds,
            device=self._workshop.device_name,
            at_once=self._workshop.halved,
            sample=self._usage.sample(),
        )

    def _put(self, arrays: dict[str, np.ndarray]) -> str:
        return self._objects.put(arrays_to_bytes(arrays), "safetensors")
