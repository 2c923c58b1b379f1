"""Actors of a Ray cluster, one per GPU: each holds the models, and has new jobs before it is done with the old ones.

A run is a driver of the cluster that RAY_ADDRESS names, or of a cluster of its own. Inputs must lie at the same paths
on every node; the store's folder may, and where it doesn't objects travel to the run, which keeps them.
"""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surrogateshap.errors import InterruptedRun, RunError
from surrogateshap.execute.assembly import DEPTH, DroppedError
from surrogateshap.execute.backends import Outcome
from surrogateshap.execute.backends.ray_cluster import Cluster, Need, needs
from surrogateshap.execute.backends.ray_worker import VERSION, Answer, Place, RayWorker, Setup
from surrogateshap.execute.encoders import View
from surrogateshap.execute.jobs import Done, Job
from surrogateshap.execute.models import DenoisingLosses
from surrogateshap.execute.shards import Item
from surrogateshap.execute.workshop import Batch
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled
from surrogateshap.store import Store
from surrogateshap.text import harmless

_LOST = 3
"""Times that an actor may be lost before it is ready, one after the other, or under one question."""
_PATIENCE = 20.0
"""Seconds after which it is told that actors have not started."""
_TICK = 0.1


@dataclass(eq=False)
class _Task:
    """A job, or a question to a workshop."""

    job: Job | None = None
    question: tuple[str, tuple[Any, ...]] = ("", ())
    losses: int = 0


@dataclass(eq=False)
class _Worker:
    """An actor as the run sees it."""

    actor: Any
    name: str = ""
    """Empty until it has said where it is."""
    device: str = ""
    ready: bool = False
    shared: bool = True
    tasks: dict[Any, _Task] = field(default_factory=dict)
    """By the reference to what will come of them."""


@dataclass(frozen=True)
class _Ended:
    task: _Task
    worker: _Worker | None
    answer: Answer | None = None
    lost: str = ""


class OnRay:
    """The backend of a run on a Ray cluster. An actor that is lost is made anew, wherever there is room."""

    def __init__(
        self, compiled: Compiled, store: Store, batch: Batch | None, stop: threading.Event, say: Callable[[str], None]
    ) -> None:
        """`say` is told when the cluster has no room. Raises DeviceError, RunError and MissingExtraError."""
        execution = compiled.spec.execution
        self._store, self._size, self._stop, self._say = store, execution.batch_size, stop, say
        self._cluster = Cluster()
        self._probe = store.root / f".{secrets.token_hex(8)}.tmp"
        self._waiting: deque[_Task] = deque()
        self._greetings: dict[Any, _Worker] = {}
        self._dropped, self._broken = False, ""
        self._failed_starts, self._warned, self._began = 0, False, time.monotonic()
        self._workers: list[_Worker] = []
        try:
            self._need: Need = needs(self._cluster.nodes(), execution)
            self._probe.touch()
            setup = Setup(compiled, store.objects, self._need.device, execution.threads, batch)
            self._setup = self._cluster.ray.put(setup)
            self._workers = [self._start() for _ in range(self._need.workers)]
        except BaseException:
            self.close(at_once=True)
            raise

    @property
    def workers(self) -> int:
        """See Backend: those that have started, once one has."""
        return sum(worker.ready for worker in self._workers) or len(self._workers)

    def submit(self, job: Job) -> None:
        """See Backend: whoever has least to do gets it, once one is there."""
        self._waiting.append(_Task(job))
        self._give()

    def wait(self, seconds: float) -> list[Outcome]:
        """See Backend."""
        return [self._outcome(ended.task.job, ended) for ended in self._pump(seconds) if ended.task.job is not None]

    def drop(self) -> None:
        """See Backend."""
        self._dropped = True
        for worker in self._workers:
            if worker.ready:
                worker.actor.drop.remote()

    def retire(self, worker: str) -> None:
        """See Backend: what it has at work others do anew."""
        for one in [one for one in self._workers if one.name == worker]:
            self._waiting.extendleft(one.tasks.values())
            one.tasks = {}
            self._workers.remove(one)
            self._kill(one)

    def studio(self) -> "OnRay":
        """See Backend."""
        return self

    @property
    def device_name(self) -> str:
        """See Studio: of the first that answers."""
        return str(self._ask("name_device", [()])[0])

    def prepare(self, encoder: EncoderInput | None) -> None:
        """See Studio: whoever is going to need it, of those that have started."""
        self._ask("prepare", [(encoder,)] * (1 if encoder is None else self.workers))

    def encode(self, encoder: EncoderInput, images: np.ndarray) -> View:
        """See Studio: all workers take part, a batch at a time."""
        starts = range(0, len(images), self._size)
        parts = self._ask("encode", [(encoder, images[at : at + self._size]) for at in starts])
        return View(
            np.concatenate([part.features for part in parts]), np.concatenate([part.probabilities for part in parts])
        )

    def encode_texts(self, encoder: EncoderInput, texts: Sequence[str]) -> np.ndarray:
        """See Studio."""
        found: np.ndarray = self._ask("encode_texts", [(encoder, texts)])[0]
        return found

    def denoising_losses(self, items: Sequence[Item]) -> DenoisingLosses:
        """See Studio."""
        found: DenoisingLosses = self._ask("denoising_losses", [(items,)])[0]
        return found

    def close(self, *, at_once: bool = False) -> None:
        """See Backend."""
        if not at_once:
            ends = [worker.actor.end.remote() for worker in self._workers if worker.ready]
            with suppress(self._cluster.errors):
                self._cluster.wait(ends, None, every=True)
        for worker in self._workers:
            self._kill(worker)
        self._workers = []
        self._probe.unlink(missing_ok=True)
        self._cluster.close()

    def _start(self) -> _Worker:
        """A new actor; the cluster may take its time."""
        worker = _Worker(self._cluster.actor(RayWorker, self._need, DEPTH + 2))
        self._greetings[worker.actor.hello.remote(self._probe)] = worker
        return worker

    def _kill(self, worker: _Worker) -> None:
        with suppress(self._cluster.errors):
            self._cluster.ray.kill(worker.actor)

    def _pump(self, seconds: float) -> list[_Ended]:
        """Gives out what waits, and takes in what has ended."""
        self._give()
        found = list(self._given_up())
        owners = {reference: worker for worker in self._workers for reference in worker.tasks}
        ready = self._cluster.wait([*owners, *self._greetings], 0.0 if found else seconds)
        lost: dict[_Worker, str] = {}
        for reference in ready:
            worker = owners.get(reference) or self._greetings[reference]
            try:
                answer = self._cluster.ray.get(reference)
            except self._cluster.errors as error:
                lost.setdefault(worker, f"was lost: {_first_line(error)}")
                continue
            if reference in self._greetings:
                del self._greetings[reference]
                self._greet(worker, answer)
            else:
                found.append(_Ended(worker.tasks.pop(reference), worker, answer))
        for worker, how in lost.items():
            found += self._lose(worker, how)
        self._tell_of_room()
        self._give()
        return found

    def _give(self) -> None:
        """Tasks that wait, to those with least to do; none has more than it can hold."""
        while self._waiting and not self._dropped and not self._broken:
            free = [worker for worker in self._workers if worker.ready and len(worker.tasks) < DEPTH]
            if not free:
                return
            worker, task = min(free, key=lambda one: len(one.tasks)), self._waiting.popleft()
            if task.job is None:
                reference = worker.actor.ask.remote(*task.question)
            else:
                far = task.job.made and not worker.shared
                given = self._store.objects.get(task.job.made, "safetensors") if far else None
                reference = worker.actor.do.remote(task.job, given)
            worker.tasks[reference] = task

    def _given_up(self) -> Iterator[_Ended]:
        """Tasks that nobody will be given."""
        error: Exception | None = None
        if self._broken:
            error = RunError(self._broken, "Install the same surrogateshap on every node, with its dependencies.")
        elif self._dropped:
            error = DroppedError()
        while self._waiting and error is not None:
            yield _Ended(self._waiting.popleft(), None, Answer(error=error))

    def _greet(self, worker: _Worker, place: Place | None) -> None:
        """Takes in where an actor is, and sends it what it needs; None is its answer to that."""
        if place is None:
            worker.ready, self._failed_starts = True, 0
            return
        address = harmless(str(place.address), 60)
        if place.version != VERSION:
            theirs, ours = (f"{version} (method {method})" for version, method in (place.version, VERSION))
            self._broken = f"the node {address} has surrogateshap {harmless(theirs)}, and this run is of {ours}"
            return
        worker.device, worker.shared = self._need.device, place.shared
        base, names = f"{worker.device} on {address}", {one.name for one in self._workers}
        numbered = (f"{base} ({number})" if number > 1 else base for number in range(1, len(names) + 2))
        worker.name = next(name for name in numbered if name not in names)
        self._greetings[worker.actor.set_up.remote(self._setup, place.shared)] = worker

    def _lose(self, worker: _Worker, how: str) -> list[_Ended]:
        """Gives an actor up and makes another; whatever of its work has not ended is lost."""
        tasks, worker.tasks = list(worker.tasks.values()), {}
        self._greetings = {reference: one for reference, one in self._greetings.items() if one is not worker}
        self._kill(worker)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _LOST:
                self._broken = f"workers on the Ray cluster don't start: the last {how}"
        if worker in self._workers:
            at = self._workers.index(worker)
            if self._broken or self._dropped:
                del self._workers[at]
            else:
                self._workers[at] = self._start()
        return [_Ended(task, worker, lost=how) for task in tasks]

    def _outcome(self, job: Job, ended: _Ended) -> Outcome:
        name = ended.worker.name if ended.worker is not None else ""
        answer = ended.answer
        if answer is None:
            return Outcome(job, name, lost=ended.lost)
        if answer.error is not None:
            return Outcome(job, name, error=answer.error)
        try:
            for data in answer.objects:
                self._store.objects.put(data, "safetensors")
        except RunError as error:
            return Outcome(job, name, error=error)
        done: Done = answer.what
        assert ended.worker is not None
        suffix = name.removeprefix(ended.worker.device)
        return Outcome(job, harmless(f"{done.device}{suffix}"), done=done)

    def _ask(self, method: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Answers in the order of the questions, which are asked again where an actor is lost."""
        tasks = [_Task(question=(method, arguments)) for arguments in calls]
        answers: dict[_Task, Any] = {}
        self._waiting.extend(tasks)
        while len(answers) < len(tasks):
            if self._stop.is_set() and not any(worker.ready for worker in self._workers):
                self._waiting.clear()
                raise InterruptedRun("interrupted: what was finished is kept")
            for ended in self._pump(_TICK):
                if ended.answer is None:
                    ended.task.losses += 1
                    if ended.task.losses >= _LOST:
                        name = ended.worker.name if ended.worker is not None else ""
                        raise RunError(f"the worker on {name} {ended.lost}", "Apply again: what was finished is kept.")
                    self._waiting.appendleft(ended.task)
                elif ended.answer.error is not None:
                    self._waiting.clear()
                    raise ended.answer.error
                else:
                    answers[ended.task] = ended.answer.what
        return [answers[task] for task in tasks]

    def _tell_of_room(self) -> None:
        """Says once that actors have not started yet: the cluster may be busy, or too small."""
        late = sum(not worker.ready for worker in self._workers)
        if not late or self._warned or time.monotonic() - self._began < _PATIENCE:
            return
        self._warned = True
        self._say(
            f"{late} of {len(self._workers)} workers have not started on the Ray cluster, and are waited for: each "
            f"needs {self._need}"
        )


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return harmless(lines[0] if lines else type(error).__name__, 300)
