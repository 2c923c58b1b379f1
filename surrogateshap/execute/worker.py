"""A part of a run's images, made and encoded where there is no run: each finished shard becomes a file to be merged.

Workers share nothing but the place where objects and these files lie. None opens the store's database: file systems
that several machines write to and SQLite don't go together.
"""

import threading
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from surrogateshap.errors import PlanError, SpecError
from surrogateshap.execute.backends import Backend
from surrogateshap.execute.backends.choose import open_local
from surrogateshap.execute.crew import Crew
from surrogateshap.execute.jobs import Job, all_jobs
from surrogateshap.execute.shard_files import ShardFiles
from surrogateshap.plan.backends import GROWING, GROWING_REMEDY
from surrogateshap.plan.compile import Compiled
from surrogateshap.store.place import Place, make_store_folder, open_place
from surrogateshap.text import harmless
from surrogateshap.units import duration, plural

Say = Callable[[str], None]
_EVERY = 5.0
"""Seconds between two lines that say how far it is."""


@dataclass(frozen=True)
class Share:
    """Which of a run's shards: every `of`-th, from the `number`-th on."""

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.of:
            raise PlanError(f"there is no shard {self.number}/{self.of}", "Count from 0: 0/N to (N-1)/N.")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def work(
    compiled: Compiled,
    root: Path,
    share: Share,
    say: Say,
    stop: threading.Event,
    only: Container[str] | None = None,
) -> None:
    """Does what is missing of a share of the run's jobs, or of those with the ids `only`; returns when it is complete.

    `root` is the store, of which objects and files of shards are used alone. Raises SpecError for runs that can't be
    cut beforehand, InterruptedRun when `stop` is set, RunError and DeviceError. What was finished is kept.
    """
    refuse_growing(compiled)
    place = open_place(root, read_only=False)
    if not place.elsewhere:
        make_store_folder(root)
    shards = ShardFiles(compiled, place.files, place.objects)
    share_of = share_out(all_jobs(compiled), only)[share.number :: share.of]
    jobs = [job for job in share_of if not shards.has(job)]
    total = sum(len(job.items) for job in share_of)
    done = total - sum(len(job.items) for job in jobs)
    there = f", {done:,} there" if done else ""
    say(f"Shard {share} of run {compiled.run}: {plural(total, 'image')}{there}")
    if not jobs:
        return
    crew = Crew(partial(_open, compiled, place, say), stop, say)
    began = told = time.monotonic()
    try:
        for job, what, _ in crew.do(jobs):
            shards.write(job, what)
            done += len(job.items)
            if time.monotonic() - told >= _EVERY:
                told = time.monotonic()
                say(f"{done:,} of {plural(total, 'image')}")
    except KeyboardInterrupt:
        crew.close(at_once=True)
        raise
    finally:
        crew.close()
    say(f"Finished in {duration(time.monotonic() - began)}")


def share_out(jobs: Iterable[Job], only: Container[str] | None) -> list[Job]:
    """What is dealt out to workers, in turn: all jobs, or those with the ids `only`."""
    return [job for job in jobs if only is None or job.id in only]


def ids_in(file: Path) -> frozenset[str]:
    """Of jobs, one a line. Raises PlanError."""
    try:
        return frozenset(file.read_text("ascii").split())
    except (OSError, ValueError) as error:
        raise PlanError(f"{harmless(str(file))} can't be read: {harmless(str(error), 200)}") from None


def refuse_growing(compiled: Compiled) -> None:
    """Raises SpecError where what is to be made depends on what came of it."""
    if compiled.spec.budget.rules:
        raise SpecError([compiled.checked.loaded.problem(("budget", "stop_when"), GROWING, GROWING_REMEDY)])


def _open(compiled: Compiled, place: Place, say: Say) -> Backend:
    return open_local(compiled, place.objects, None, say)
