"""Actors of a Ray cluster, each with a warm pipeline: one per GPU, or one per node where there are none.

Ray places actors and moves bytes; what a job is, and what follows when it is lost, is the same as everywhere.
"""

import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from surrogateshap.errors import InterruptedRun, RunError, SurrogateShapError
from surrogateshap.execute.assembly import DEPTH, DroppedError
from surrogateshap.execute.backends import Outcome
from surrogateshap.execute.backends.actor import Actor, Setup
from surrogateshap.execute.backends.cluster import compare_code, connect, last_words, share_out, threads_on
from surrogateshap.execute.backends.studios import SharingOut
from surrogateshap.execute.environment import versions
from surrogateshap.execute.jobs import Job
from surrogateshap.execute.workshop import Batch
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled
from surrogateshap.store import Store
from surrogateshap.text import harmless

_ASKED = 2
"""Questions that a worker has at a time."""
_LOST = 3
"""Workers that may die under a question, or one after the other before they have started."""
_TICK = 0.1
"""Seconds between two looks at whether to stop."""
_PLACING = 10.0
"""Seconds after which it is told that the cluster has no room."""
_PATIENCE = 600.0
"""Seconds that a worker may take to end after the steps that it is in."""


@dataclass(eq=False)
class _Question:
    """Something asked of a workshop."""

    method: str
    arguments: tuple[Any, ...]
    answer: Any = None
    error: Exception | None = None
    answered: bool = False
    lost: int = 0
    """Times that its worker was."""


@dataclass(eq=False)
class _Worker:
    """An actor as the run sees it."""

    handle: Any
    name: str
    address: str = ""
    """Of its node; empty until the cluster had room for it."""
    gpu: str = ""
    """Its node's name for it."""
    device: str = ""
    """Its name for measurements; empty until it has started."""
    sees_store: bool = True
    retired: bool = False
    jobs: dict[Any, Job] = field(default_factory=dict)
    questions: dict[Any, _Question] = field(default_factory=dict)


class OnRay(SharingOut):
    """The backend of a run on a Ray cluster. A worker that dies is started again, wherever there is room."""

    def __init__(
        self, compiled: Compiled, store: Store, batch: Batch | None, say: Callable[[str], None], stop: threading.Event
    ) -> None:
        """Connects, and asks for workers; `say` is told where there is no room for them, `stop` ends waiting for it.

        Raises RunError where there is no cluster, DeviceError where it lacks the devices that are asked for.
        """
        execution = compiled.spec.execution
        self._size, self._say, self._stop, self._objects = execution.batch_size, say, stop, store.objects
        self._workers: list[_Worker] = []
        self._heard: dict[Any, tuple[_Worker, str]] = {}
        """What is to be heard of: by Ray's reference, from whom and what."""
        self._waiting: deque[Job] = deque()
        self._asked: deque[_Question] = deque()
        self._ended: list[Outcome] = []
        self._hired = self._retired = self._false_starts = 0
        self._fatal: Exception | None = None
        """Why no worker can start: what waits for one ends with it."""
        self._versions, self._said = versions(), set[str]()
        self._tell_at = 0.0
        root = store.root.resolve()
        self._probe = root / f".{os.urandom(8).hex()}.tmp"  # so named, it is cleaned up after runs that are killed
        self._connected = connect()
        try:
            nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
            asked = execution.devices if isinstance(execution.devices, str) else "auto"
            resources = ray.cluster_resources()
            self._share = share_out(asked, execution.workers, execution.threads, resources, len(nodes))
            self._probe.touch()
            objects = None if store.elsewhere else root / "objects"
            setup = Setup(compiled, self._share.kind, objects, self._probe, batch)
            self._setup = ray.put(pickle.dumps(setup))
            for _ in range(self._share.workers):
                self._hire()
        except BaseException:
            self.close(at_once=True)
            raise

    @property
    def workers(self) -> int:
        """See Backend."""
        return self._share.workers - self._retired

    def submit(self, job: Job) -> None:
        """See Backend: whoever has least to do gets it, of those who have started."""
        self._waiting.append(job)
        self._give()

    def wait(self, seconds: float) -> list[Outcome]:
        """See Backend."""
        self._hear(0.0 if self._ended else seconds)
        found, self._ended = self._ended, []
        return found

    def drop(self) -> None:
        """See Backend."""
        for worker in self._started():
            worker.handle.drop.remote()
        self._end_waiting(DroppedError())

    def retire(self, worker: str) -> bool:
        """See Backend: what it has, it still ends."""
        if self.workers == 1:
            return False
        for one in self._workers:
            if one.name == worker and not one.retired:
                one.retired = True
                self._retired += 1
        return True

    @property
    def device_name(self) -> str:
        """See Studio: of the first that has started."""
        return self._await_started()[0].device

    def prepare(self, encoder: EncoderInput | None) -> None:
        """See Studio: whoever is going to need it, of those who have started."""
        there = len(self._await_started())
        self._ask("prepare", [(encoder,)] * (1 if encoder is None else there))

    def close(self, *, at_once: bool = False) -> None:
        """See Backend; a cluster that was there before stays."""
        workers, self._workers = self._workers, []
        ends = [] if at_once else [worker.handle.end.remote() for worker in workers if worker.device]
        if ends:
            ray.wait(ends, num_returns=len(ends), timeout=_PATIENCE)
        for worker in workers:
            ray.kill(worker.handle)
        self._heard.clear()
        self._probe.unlink(missing_ok=True)
        if self._connected:
            self._connected = False
            ray.shutdown()

    def _hire(self) -> None:
        """Asks the cluster for a worker, which comes once there is room."""
        self._hired += 1
        needs = {"num_gpus": 1, "num_cpus": 0} if self._share.kind == "cuda" else {"num_cpus": self._share.cpus}
        # Ray's own restarts would come back without a plan.
        handle = ray.remote(Actor).options(max_restarts=0, scheduling_strategy="SPREAD", **needs).remote()
        worker = _Worker(handle, f"Ray worker {self._hired}")
        self._workers.append(worker)
        self._heard[handle.live.remote()] = worker, "live"
        self._heard[handle.meet.remote()] = worker, "meet"
        self._tell_at = time.monotonic() + _PLACING

    def _started(self) -> list[_Worker]:
        """Who may be given something."""
        return [worker for worker in self._workers if worker.device and not worker.retired]

    def _await_started(self) -> list[_Worker]:
        while not (found := self._started()):
            self._pause()
        return found

    def _pause(self) -> None:
        """Waits for news. Raises what ends waiting for a worker."""
        if self._stop.is_set():
            raise InterruptedRun("interrupted: what was finished is kept")
        if self._fatal is not None:
            raise self._fatal
        self._hear(_TICK)

    def _ask(self, method: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Answers in the order of the questions."""
        questions = [_Question(method, arguments) for arguments in calls]
        self._asked.extend(questions)
        try:
            while not all(question.answered for question in questions):
                self._pause()
                for question in questions:
                    if question.error is not None:
                        raise question.error
        finally:
            self._asked.clear()
        return [question.answer for question in questions]

    def _give(self) -> None:
        """Gives out what waits for a worker."""
        while self._waiting and (free := [one for one in self._started() if len(one.jobs) < DEPTH]):
            worker = min(free, key=lambda one: len(one.jobs))
            job = self._waiting.popleft()
            try:
                brought = self._objects.get(job.made, "safetensors") if job.made and not worker.sees_store else None
            except SurrogateShapError as error:
                self._ended.append(Outcome(job, worker.name, error=error))
                continue
            ref = worker.handle.do.remote(pickle.dumps(job), brought)
            worker.jobs[ref] = job
            self._heard[ref] = worker, "job"
        while self._asked and (free := [one for one in self._started() if len(one.questions) < _ASKED]):
            worker = min(free, key=lambda one: len(one.questions))
            question = self._asked.popleft()
            ref = worker.handle.ask.remote(question.method, pickle.dumps(question.arguments))
            worker.questions[ref] = question
            self._heard[ref] = worker, "question"

    def _hear(self, seconds: float) -> None:
        """Takes in whatever has happened; waits so long at most where nothing has."""
        if self._fatal is not None:
            self._end_waiting(self._fatal)
        if not self._heard:
            time.sleep(seconds)
            return
        heard, _ = ray.wait([*self._heard], timeout=seconds)
        if heard:
            heard, _ = ray.wait([*self._heard], num_returns=len(self._heard), timeout=0)
        for ref in heard:
            if ref in self._heard:  # what the dead had went with the first bad news
                self._take(ref, *self._heard.pop(ref))
        for worker in [one for one in self._workers if one.retired and not one.jobs]:
            self._dismiss(worker)
        self._give()
        self._tell_waiting()

    def _take(self, ref: Any, worker: _Worker, kind: str) -> None:
        """One piece of news."""
        try:
            answer = ray.get(ref)
        except RayActorError as error:
            self._bury(worker, last_words(error))
            return
        except RayError as error:  # the worker lives; what it answered got lost
            if kind not in ("job", "question"):
                self._bury(worker, last_words(error))
                return
            lost = pickle.dumps(("lost", f"lost what it had made: {last_words(error)}"))
            answer = (lost, {}) if kind == "job" else lost
        match kind:
            case "meet":
                self._place(worker, answer)
            case "start":
                self._start(worker, *pickle.loads(answer))
            case "job":
                self._end(worker, ref, answer[1], *pickle.loads(answer[0]))
            case "question":
                self._answer(worker, ref, *pickle.loads(answer))

    def _place(self, worker: _Worker, met: dict[str, Any]) -> None:
        """The cluster had room for it. The plan goes to the same code alone."""
        worker.address, worker.gpu = harmless(met["address"], 40), harmless(met["gpu"], 40)
        worker.name = f"{worker.name} at {worker.address}"
        refused, told = compare_code(worker.address, met["versions"], met["method"], self._versions)
        if refused:
            self._fatal = self._fatal or RunError(refused, "Install the same version on every node.")
            return
        for message in told:
            if message not in self._said:
                self._said.add(message)
                self._say(message)
        threads = threads_on(met["node"], self._share)
        self._heard[worker.handle.start.remote(self._setup, threads)] = worker, "start"

    def _start(self, worker: _Worker, kind: str, what: Any) -> None:
        """It can be given something, or never will."""
        if kind == "error":
            self._fatal = self._fatal or type(what)(f"node {worker.address}: {what.message}", what.remedy)
            return
        worker.device, worker.sees_store = what
        device = harmless(worker.device.replace("cuda:0", f"cuda:{worker.gpu}", 1) if worker.gpu else worker.device)
        name, same = f"{worker.address} {device}", 1
        while any(other.name == name for other in self._workers):
            same += 1
            name = f"{worker.address} {device} ({same})"
        worker.name, self._false_starts = name, 0

    def _end(self, worker: _Worker, ref: Any, sent: dict[str, bytes], kind: str, what: Any) -> None:
        """A job came to something; what was sent along is kept first."""
        if kind == "broken":
            self._bury(worker, what)
            return
        job = worker.jobs.pop(ref)
        try:
            for data in sent.values():
                self._objects.put(data, "safetensors")
        except SurrogateShapError as error:
            kind, what = "error", error
        self._ended.append(Outcome(job, worker.name, **{kind: what}))

    def _answer(self, worker: _Worker, ref: Any, kind: str, what: Any) -> None:
        if kind == "broken":
            self._bury(worker, what)
            return
        question = worker.questions.pop(ref)
        if kind == "lost":
            self._ask_again(question, worker, what)
        else:
            question.answered = kind == "done"
            question.answer, question.error = (what, None) if question.answered else (None, what)

    def _ask_again(self, question: _Question, worker: _Worker, why: str) -> None:
        question.lost += 1
        if question.lost < _LOST:
            self._asked.appendleft(question)
        else:
            message = f"workers died {_LOST} times at the same question; the last, on {worker.name}, {why}"
            question.error = RunError(message, "Apply again: what was finished is kept.")

    def _bury(self, worker: _Worker, why: str) -> None:
        """It is no more: what it had is lost, and another is asked for."""
        self._dismiss(worker)
        self._ended += [Outcome(job, worker.name, lost=why) for job in worker.jobs.values()]
        for question in worker.questions.values():
            self._ask_again(question, worker, why)
        worker.jobs, worker.questions = {}, {}
        if not worker.device:
            self._false_starts += 1
            if self._false_starts >= max(_LOST, self._share.workers):
                message = f"workers can't start: the last, {worker.name}, {why}"
                remedy = 'Every node needs the same version: pip install "surrogateshap[ray]".'
                self._fatal = self._fatal or RunError(message, remedy)
        if not worker.retired and self._fatal is None:
            self._hire()

    def _dismiss(self, worker: _Worker) -> None:
        """Ends it, and hears no more of it."""
        self._heard = {ref: heard for ref, heard in self._heard.items() if heard[0] is not worker}
        self._workers.remove(worker)
        ray.kill(worker.handle)

    def _end_waiting(self, error: Exception) -> None:
        self._ended += [Outcome(job, "", error=error) for job in self._waiting]
        self._waiting.clear()

    def _tell_waiting(self) -> None:
        """Tells once, after a while, that workers wait for room."""
        absent = sum(not worker.address for worker in self._workers)
        if not absent or time.monotonic() < self._tell_at:
            return
        what, each = ("GPU", 1) if self._share.kind == "cuda" else ("CPU", self._share.cpus)
        free = int(ray.available_resources().get(what, 0))
        self._tell_at = time.monotonic() + (_PLACING if free >= each else float("inf"))
        if free < each:
            more = "" if absent == self._share.workers else " more"
            self._say(f"waiting for the cluster: wants {absent * each}{more} {what}s, has {free} free")
