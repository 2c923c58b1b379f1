"""Jobs given out and results taken in: how many at a time, and what follows when a worker fails or dies."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from surrogateshap.errors import DeviceError, InterruptedRun, RunError
from surrogateshap.execute.assembly import DEPTH, DroppedError
from surrogateshap.execute.backends import Backend, Outcome
from surrogateshap.execute.backends.studios import PassingOn
from surrogateshap.execute.jobs import Done, Job
from surrogateshap.text import harmless

_LOST = 3
"""Times that a job's worker may die under it."""
_TICK = 0.1
"""Seconds between two looks at whether to stop."""


class Crew(PassingOn):
    """The workers of one attempt at a run, who start when there is something to do."""

    def __init__(
        self, open_backend: Callable[[], Backend], stop: threading.Event, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """`say` is told of workers that died and were replaced."""
        self._open, self._stop, self._say = open_backend, stop, say
        self._retired: set[str] = set()

    @cached_property
    def _backend(self) -> Backend:
        return self._open()

    @property
    def _studio(self) -> Backend:
        return self._backend

    @property
    def workers(self) -> int:
        """How many work side by side."""
        return self._backend.workers

    def do(
        self, jobs: Sequence[Job], go_on: Callable[[], bool] = lambda: True, depth: int = DEPTH
    ) -> Iterator[tuple[Job, Done, str]]:
        """What comes of the jobs, and the worker's name, in the order in which they end.

        Each worker has `depth` jobs at a time. `go_on` is asked before each is given out; where it says no, those that
        are at work are still waited for. Once the run is to stop, or can't go on, what was begun is yielded, and then
        InterruptedRun, DeviceError or RunError raised.
        """
        waiting, lost, working = deque(jobs), dict[str, int](), 0
        error: Exception | None = None
        while error is None and (waiting or working):
            while waiting and working < depth * self._backend.workers and go_on():
                self._backend.submit(waiting.popleft())
                working += 1
            if not working:
                return
            for outcome in self._backend.wait(_TICK):
                working -= 1
                if outcome.done is not None:
                    yield outcome.job, outcome.done, outcome.worker
                else:
                    error = error or self._judge(outcome, lost)
                    waiting.appendleft(outcome.job)
            if self._stop.is_set():
                error = error or InterruptedRun("interrupted: what was finished is kept")
        if error is not None:
            yield from self._finish(working)
            raise error

    def close(self, *, at_once: bool = False) -> None:
        """Ends the workers, if there are any, and lets go of what they loaded."""
        backend = self.__dict__.pop("_backend", None)
        if backend is not None:
            backend.close(at_once=at_once)

    def _finish(self, working: int) -> Iterator[tuple[Job, Done, str]]:
        """What has begun; what has not is given up, and what fails now is told by the error that ends the run."""
        self._backend.drop()
        while working:
            for outcome in self._backend.wait(_TICK):
                working -= 1
                if outcome.done is not None:
                    yield outcome.job, outcome.done, outcome.worker

    def _judge(self, outcome: Outcome, lost: dict[str, int]) -> Exception | None:
        """Why it makes no sense to try a job again; None where it does."""
        if outcome.worker in self._retired or isinstance(outcome.error, DroppedError):
            return None
        if isinstance(outcome.error, DeviceError) and self._backend.retire(outcome.worker):
            self._say(f"{outcome.error.message}: {harmless(outcome.worker)} takes no further part")
            self._retired.add(outcome.worker)
            return None
        if outcome.error is not None:
            return outcome.error
        times = lost[outcome.job.id] = lost.get(outcome.job.id, 0) + 1
        if times < _LOST:
            self._say(f"the worker on {harmless(outcome.worker)} {outcome.lost}: its batch is done anew")
            return None
        return RunError(
            f"workers died {times} times at the same batch; the last, on {harmless(outcome.worker)}, {outcome.lost}",
            "Lower `batch_size` or `workers` under [execution] where memory may be short, and apply again.",
        )
