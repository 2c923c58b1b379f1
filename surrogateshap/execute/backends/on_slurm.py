"""An array of Slurm tasks: each is the command `surrogateshap worker`, and leaves files that become this run's results.

submitit submits them. It keeps pickles in a folder of the store that is made anew for each submission, and none of
them is read here: how a task did, its files say.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from typing import Any

import submitit

from surrogateshap.errors import RunError
from surrogateshap.execute.assembly import DroppedError
from surrogateshap.execute.backends import Backend, Outcome
from surrogateshap.execute.backends.studios import PassingOn
from surrogateshap.execute.jobs import Job, all_jobs
from surrogateshap.execute.shard_files import ShardFiles
from surrogateshap.execute.worker import share_out
from surrogateshap.plan.build import build_plan
from surrogateshap.plan.compile import Compiled
from surrogateshap.store import Store
from surrogateshap.store.atomic import atomic_write_bytes, make_folder
from surrogateshap.store.objects import unwritable_error
from surrogateshap.text import harmless
from surrogateshap.units import plural

TASKS = 8
"""Where `workers` is not given."""
_TRIES = 3
"""Times that a task is submitted."""
EVERY = 2.0
"""Seconds between two looks at what is there."""
ASKS = 30.0
"""Seconds between two questions to Slurm, which has others to answer."""
SETTLES = 60.0
"""Seconds until what a task wrote is seen here: network file systems take a while."""
_FAREWELL = 30.0
"""Seconds that tasks with nothing left to do get to end."""
_TAIL = 4096
"""Bytes at the end of a task's log that are looked at."""
_AT_WORK = "at-work"
"""File in a submission's folder for as long as an `apply` sees after its tasks."""
_CANCELS = 30.0
"""Seconds that `scancel` may take."""


@dataclass(eq=False)
class _Task:
    """One share of the work."""

    number: int
    job: Any
    """submitit's."""
    tries: int = 1
    ended: float | None = None
    """When it was seen that Slurm is done with it."""


class OnSlurm(PassingOn):
    """The backend of a run on Slurm. What isn't cut into shards, and what is not dealt out, is done in this process."""

    def __init__(
        self, compiled: Compiled, store: Store, here: Callable[[], Backend], say: Callable[[str], None]
    ) -> None:
        """Submits nothing yet; `here` opens the devices of this machine, `say` is told of tasks."""
        self._compiled, self._store, self._open_here, self._say = compiled, store, here, say
        self._shards = ShardFiles(compiled, store.files, store.objects)
        jobs = all_jobs(compiled)
        there = store.find_images({item.key for job in jobs for item in job.items})
        lacking = frozenset(job.id for job in jobs if any(item.key not in there for item in job.items))
        self._dealt = share_out(jobs, lacking)
        self._share = {item.key: at for at, job in enumerate(self._dealt) for item in job.items}
        """By image, which of the jobs that are dealt out makes it."""
        self.workers = max(1, min(compiled.spec.execution.workers or TASKS, len(self._dealt)))
        self._pending: dict[int, Job] = {}
        """What was asked for, by which of the jobs that are dealt out makes it."""
        self._lacking = set(range(len(self._dealt)))
        """Of these, what no task has left yet."""
        self._tasks: list[_Task] = []
        self._folder: Path | None = None
        self._ended: deque[Outcome] = deque()
        self._look_at = self._ask_at = 0.0
        self._local = 0
        """Jobs that are done here."""

    def submit(self, job: Job) -> None:
        """See Backend: the first submits all tasks, each with its whole share."""
        at = self._share.get(job.items[0].key) if job.items else None
        if at is None:
            self._here.submit(job)
            self._local += 1
            return
        self._pending[at] = job
        if not self._tasks:
            self._cancel_orphans()
            self._tasks = [_Task(number, None) for number in range(self.workers)]
            self._submit(self._tasks)
            self._say(f"{plural(len(self._tasks), 'task')} submitted to Slurm: {self._names(self._tasks)}")

    def wait(self, seconds: float) -> list[Outcome]:
        """See Backend."""
        until = time.monotonic() + seconds
        while True:
            if time.monotonic() >= self._look_at:
                self._look()
                self._look_at = time.monotonic() + EVERY
            if self._local:
                found = self._here.wait(0.0 if self._ended else max(0.0, until - time.monotonic()))
                self._local -= len(found)
                self._ended.extend(found)
            if self._ended or time.monotonic() >= until:
                break
            time.sleep(max(0.0, min(until, self._look_at) - time.monotonic()))
        ended = list(self._ended)
        self._ended.clear()
        return ended

    def drop(self) -> None:
        """See Backend: what tasks have begun, they end for themselves."""
        if self._local:
            self._here.drop()
        self._ended.extend(Outcome(job, "", error=DroppedError()) for job in self._pending.values())
        self._pending.clear()

    def retire(self, worker: str) -> bool:
        """See Backend: tasks tell of no devices, so it is one of this machine's."""
        return self._here.retire(worker)

    def close(self, *, at_once: bool = False) -> None:
        """See Backend: tasks that are still at work end after their batch, and keep it."""
        tasks = [task.job for task in self._tasks if task.job is not None]
        self._tasks = []
        if self._lacking:
            for job in tasks:
                with suppress(OSError):
                    job.cancel(check=False)
        elif self._folder is not None:
            until = time.monotonic() + (0.0 if at_once else _FAREWELL)
            while (working := not all(job.done() for job in tasks)) and time.monotonic() < until:
                time.sleep(0.1)
            if not working:
                rmtree(self._folder, ignore_errors=True)
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / _AT_WORK).unlink(missing_ok=True)
        here = self.__dict__.pop("_here", None)
        if here is not None:
            here.close(at_once=at_once)

    @property
    def _studio(self) -> Backend:
        return self._here

    @cached_property
    def _here(self) -> Backend:
        return self._open_here()

    def _look(self) -> None:
        """Takes in what tasks have left, and sees after those that ended without it."""
        names = set(self._shards.names()) if self._pending else set()
        for at, job in list(self._pending.items()):
            name = f"{self._dealt[at].id}.json"
            found = self._shards.read(name) if name in names else None
            if found is not None and self._shards.holds(found):
                del self._pending[at]
                self._lacking.discard(at)
                self._ended.append(Outcome(job, self._task_of(at), done=found.done))
        for task in self._over():
            lacking = [at for at in self._pending if at % self.workers == task.number]
            if lacking and task.tries < _TRIES:
                task.tries += 1
                self._submit([task])
                self._say(f"{self._task_of(task.number)} ended before its share was done: submitted again")
            elif lacking:
                error = self._error(task)
                self._ended.extend(Outcome(self._pending.pop(at), "", error=error) for at in lacking)

    def _over(self) -> Iterator[_Task]:
        """Tasks that Slurm is done with, and whose files are all to be seen."""
        now = time.monotonic()
        asks = now >= self._ask_at
        for task in self._tasks:
            if task.ended is None and task.job.done(force_check=asks):
                task.ended = now
            if task.ended is None and asks:  # one answer tells of all tasks
                asks, self._ask_at = False, now + ASKS
            if task.ended is not None and now >= task.ended + SETTLES:
                yield task

    def _cancel_orphans(self) -> None:
        """Cancels tasks of attempts that were killed: who has the store's lock knows that nobody waits for them."""
        for mark in sorted(self._store.root.glob(f"slurm/*/{_AT_WORK}")):
            name = mark.parent.name
            # Strangers' stores may hold links elsewhere, and what `scancel` reads as a list of names.
            own = mark.parent.resolve() == self._store.root.resolve() / "slurm" / name
            if not own or not re.fullmatch(r"[\w-]+", name):
                continue
            with suppress(OSError, subprocess.SubprocessError):
                command = ["scancel", f"--name={_job_name(name)}"]
                subprocess.run(command, check=True, capture_output=True, timeout=_CANCELS)
                mark.unlink()
                self._say(f"tasks of an attempt that was killed, {_job_name(name)}, were taken back from Slurm")

    def _submit(self, tasks: Sequence[_Task]) -> None:
        """Raises RunError."""
        asked = self._compiled.spec.execution.slurm
        with self._refusals():
            executor = submitit.AutoExecutor(folder=self._made_folder / "log", cluster="slurm")
            named = asked.model_dump(include={"partition", "account", "qos", "constraint"}, exclude_none=True)
            sized = {"gpus_per_node": asked.gpus or None, "cpus_per_task": asked.cpus, "mem_gb": asked.memory_gb}
            executor.update_parameters(
                name=_job_name(self._made_folder.name),
                timeout_min=max(1, round(asked.hours * 60)),
                slurm_array_parallelism=len(tasks),
                # submitit itself runs in the working directory: what lies there, maybe a stranger's, is not imported.
                slurm_setup=["export PYTHONSAFEPATH=1"],
                **{key: value for key, value in sized.items() if value is not None},
                **{f"slurm_{key}": value for key, value in named.items()},
            )
            with executor.batch():
                made = [executor.submit(submitit.helpers.CommandFunction(self._command(task))) for task in tasks]
            for task, job in zip(tasks, made, strict=True):
                task.job, task.ended = job, None

    def _command(self, task: _Task) -> list[str]:
        folder, execution = self._made_folder, self._compiled.spec.execution
        devices = execution.devices if isinstance(execution.devices, str) else ",".join(execution.devices)
        words = [sys.executable, "-P", "-m", "surrogateshap", "worker", str(folder / "plan.json")]
        words += ["--shard", f"{task.number}/{self.workers}", "--only", str(folder / "shards.txt")]
        words += ["--store", str(self._store.root.resolve()), "--devices", devices]
        for path in (self._compiled.checked.loaded.folder, *self._compiled.allowed_paths):
            words += ["--allow-path", str(path.resolve())]
        for name in self._compiled.allowed_plugins:
            words += ["--allow-plugin", name]
        return words

    @cached_property
    def _made_folder(self) -> Path:
        """A folder of this submission alone: plan, list of shards, logs. Raises RunError."""
        parent, loaded = self._store.root.resolve() / "slurm", self._compiled.checked.loaded
        plan = build_plan(self._compiled, None).model_copy(
            update={"spec_file": str(loaded.folder / Path(loaded.file).name)}
        )
        try:
            make_folder(parent)
            self._folder = folder = Path(tempfile.mkdtemp(prefix=f"{self._compiled.run}-", dir=parent))
            atomic_write_bytes(folder / "plan.json", plan.model_dump_json().encode())
            atomic_write_bytes(folder / "shards.txt", "".join(f"{job.id}\n" for job in self._dealt).encode())
            (folder / _AT_WORK).touch()
        except OSError as error:
            raise unwritable_error(parent, error) from error
        return folder

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except (subprocess.SubprocessError, submitit.core.utils.FailedJobError, RuntimeError, OSError) as error:
            reason = harmless(str(error).strip().splitlines()[-1], 300) if str(error).strip() else type(error).__name__
            remedy = "Apply where `sbatch` and `srun` are, and look at the keys of [execution.slurm]."
            raise RunError(f"Slurm takes no tasks: {reason}", remedy) from None

    def _task_of(self, at: int) -> str:
        task = self._tasks[at % self.workers]
        return f"Slurm task {harmless(str(task.job.job_id), 40)}"

    def _names(self, tasks: Sequence[_Task]) -> str:
        first, last = (harmless(str(task.job.job_id), 40) for task in (tasks[0], tasks[-1]))
        return first if len(tasks) == 1 else f"{first} to {last}"

    def _error(self, task: _Task) -> RunError:
        log = Path(task.job.paths.stderr)
        last = _last_line(log)
        return RunError(
            f"{self._task_of(task.number)} ended {_TRIES} times before its share was done{f': {last}' if last else ''}",
            f"Look at {harmless(str(log))}. What was finished is kept: apply again.",
        )


def _job_name(folder: str) -> str:
    """Of a submission's tasks, by its folder, whose name is drawn at random: no other tasks are called so."""
    return f"surrogateshap-{folder}"


def _last_line(log: Path) -> str:
    """What a task said last; nothing where it left no log."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read(_TAIL).decode(errors="replace").split("\n")
        return next((harmless(line.strip(), 300) for line in reversed(lines) if line.strip()), "")
    return ""
