"""One process per device: fresh interpreters that speak frames of pickle over their standard input and output.

Pickle stays between a run and the children that it started: none is read from a file or from anyone else.
"""

import itertools
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from surrogateshap.execute.backends import Outcome
from surrogateshap.execute.backends.children import Child, Heard, Setup
from surrogateshap.execute.backends.studios import SharingOut
from surrogateshap.execute.jobs import Job
from surrogateshap.execute.workshop import Batch
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled
from surrogateshap.store.objects import Objects

_ASKED = 2
"""Questions that a worker has at a time."""


class Processes(SharingOut):
    """The backend of a run on several devices of one machine. A worker that dies is started again."""

    def __init__(
        self, compiled: Compiled, objects: Objects, devices: Sequence[tuple[str, int | None]], batch: Batch | None
    ) -> None:
        """A worker for each device, which may be named twice, with its CPU threads."""
        self._size = compiled.spec.execution.batch_size
        self._numbers = itertools.count()
        self._heard: queue.SimpleQueue[tuple[Child, Heard]] = queue.SimpleQueue()
        named = [device for device, _ in devices]
        self._children: list[Child] = []
        for position, (device, threads) in enumerate(devices):
            before = named[:position].count(device)
            setup = Setup(compiled, objects, device, threads, batch)
            self._children.append(Child(f"{device} ({before + 1})" if before else device, setup, self._heard))

    @property
    def workers(self) -> int:
        """See Backend."""
        return len(self._children)

    def submit(self, job: Job) -> None:
        """See Backend: whoever has least to do gets it."""
        child = min(self._children, key=lambda one: len(one.jobs))
        number = next(self._numbers)
        child.jobs[number] = job
        child.say("job", number, job)

    def wait(self, seconds: float) -> list[Outcome]:
        """See Backend."""
        found: list[Outcome] = []
        try:
            found += self._take(*self._heard.get(timeout=seconds))
            while True:
                found += self._take(*self._heard.get_nowait())
        except queue.Empty:
            return found

    def drop(self) -> None:
        """See Backend."""
        for child in self._children:
            child.say("drop")

    def retire(self, worker: str) -> bool:
        """See Backend."""
        if len(self._children) == 1:
            return False
        for child in [one for one in self._children if one.name == worker]:
            self._children.remove(child)
            child.end()
        return True

    @property
    def device_name(self) -> str:
        """See Studio: of the first of them."""
        return str(self._ask("name_device", [()])[0])

    def prepare(self, encoder: EncoderInput | None) -> None:
        """See Studio: whoever is going to need it."""
        self._ask("prepare", [(encoder,)] * (1 if encoder is None else len(self._children)))

    def close(self, *, at_once: bool = False) -> None:
        """See Backend."""
        enders = [threading.Thread(target=child.end, args=(at_once,)) for child in self._children]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()
        self._children = []

    def _ask(self, method: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Answers in the order of the questions."""
        self.wait(0)  # hears of the dead, who answer nothing
        answers: list[Future[Any]] = []
        for position, arguments in enumerate(calls):
            if position >= (most := _ASKED * len(self._children)):
                answers[position - most].exception()
            child = self._children[position % len(self._children)]
            answers.append(child.ask(next(self._numbers), method, arguments))
        return [answer.result() for answer in answers]

    def _take(self, child: Child, heard: Heard) -> list[Outcome]:
        if heard.kind == "dead":
            lost, child.jobs = list(child.jobs.values()), {}
            if child in self._children:
                self._children[self._children.index(child)] = Child(child.name, child.setup, self._heard)
            return [Outcome(job, child.name, lost=heard.what) for job in lost]
        job = child.jobs.pop(heard.number)
        if heard.kind == "error":
            return [Outcome(job, child.name, error=heard.what)]
        suffix = child.name.removeprefix(child.setup.device)
        return [Outcome(job, f"{heard.what.device}{suffix}", done=heard.what)]
