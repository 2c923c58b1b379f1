"""Damaged objects, full disks and power cuts: the next `apply` ends in the same bytes, or says what to do."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from surrogateshap import api
from surrogateshap.errors import RunError
from surrogateshap.events import Event, RunFailed, StageProgress, Warned
from surrogateshap.store import atomic
from surrogateshap.store.database import Database
from surrogateshap.store.objects import Objects, split_name
from surrogateshap.store.sweep import _kind
from tests.execute.test_execute_resume import SMALL
from tests.tiny import SPEC, Project, run_files

CHANGES: dict[str, Any] = SMALL | {
    "utility": SPEC["utility"][:3],
    "execution.batch_size": 26,
    "flags": {"denoising_loss": True},
}
RESTS_ON = ("images", "losses", "features", "values", "documents")
"""Kinds of objects, each made from those before it."""


def flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


DAMAGES: tuple[Callable[[bytes], bytes], ...] = (
    flipped,
    lambda data: data[:0],
    lambda data: data[:1],
    lambda data: data[: len(data) // 2],
    lambda data: data[:-1],
)


class Finished:
    """A store with one finished run, to be copied and ill-treated."""

    def __init__(self, project: Project) -> None:
        self.spec = project.spec(CHANGES)
        self.run = api.apply(self.spec).run
        self.master, self.copy = project.store, project.folder / "copy"
        self.files = run_files(self.master, self.run)

    def objects(self) -> list[Path]:
        return sorted(path.relative_to(self.master) for path in self.master.glob("objects/*/*"))

    def restore(self) -> Path:
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.master, self.copy)
        return self.copy

    def mends(self) -> list[Event]:
        """Applies to the copy, which comes to the same files, all of its objects whole."""
        seen: list[Event] = []
        api.apply(self.spec, store=self.copy, emit=seen.append)
        assert run_files(self.copy, self.run) == self.files
        assert "damaged objects" not in {one.kind for one in api.gc(store=self.copy, check=True).kinds}
        assert all(event.done <= event.total for event in seen if isinstance(event, StageProgress))
        return seen


@pytest.fixture
def finished(tiny: Project) -> Finished:
    return Finished(tiny)


def test_any_damaged_object_is_made_again_in_one_go(finished: Finished) -> None:
    """Whatever was made from it is gone too, so that it has to be read."""
    objects = Objects(finished.master / "objects", read_only=True)
    kinds = {path: _kind(objects, *found) for path in finished.objects() if (found := split_name(str(path)))}
    assert set(kinds.values()) == set(RESTS_ON)
    told = 0
    for number, (path, kind) in enumerate(kinds.items()):
        store = finished.restore()
        (store / path).write_bytes(DAMAGES[number % len(DAMAGES)]((store / path).read_bytes()))
        for other, above in kinds.items():
            if kind not in ("losses", "documents") and RESTS_ON.index(kind) < RESTS_ON.index(above) < 4:
                (store / other).unlink()
        (store / "runs" / finished.run / "record.json").unlink()
        told += any("it is made again" in event.message for event in finished.mends() if isinstance(event, Warned))
    assert told


def test_a_check_finds_what_nobody_has_read(finished: Finished) -> None:
    store = finished.restore()
    for number, path in enumerate(finished.objects()):
        (store / path).write_bytes(DAMAGES[number % len(DAMAGES)]((store / path).read_bytes()))
    assert api.gc(store=store).files == 0
    (found,) = api.gc(store=store, check=True, dry_run=True).kinds
    assert (found.kind, found.files) == ("damaged objects", len(finished.objects()))
    assert api.gc(store=store, check=True).unfinished == (finished.run,)
    assert api.plan(finished.spec, store=store).pending
    finished.mends()
    assert not api.plan(finished.spec, store=store).pending


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[None]:
    """No file takes its name from the `after`-th on."""
    count = 0

    def sync(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count >= after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", sync)
        yield


@contextmanager
def full_database(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[None]:
    """The database grows by no more than so many pages."""
    connect = Database._connect_to_write
    limit: list[int] = []

    def connecting(self: Database) -> sqlite3.Connection:
        connection = connect(self)
        limit.append(connection.execute("PRAGMA page_count").fetchone()[0] + after)
        connection.execute(f"PRAGMA max_page_count = {max(1, limit[0])}")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_connect_to_write", connecting)
        yield


@pytest.mark.parametrize(
    ("filling", "steps", "said"),
    [(full_disk, (1, 2, 5, 11, 19, 31), "No space left"), (full_database, (4, 11, 12, 14, 17), "is full")],
)
def test_a_full_disk_is_told_and_costs_nothing(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, filling: Any, steps: tuple[int, ...], said: str
) -> None:
    for after in steps:
        shutil.rmtree(finished.copy, ignore_errors=True)
        seen: list[Event] = []
        with filling(monkeypatch, after), pytest.raises(RunError, match=said) as caught:
            api.apply(finished.spec, store=finished.copy, emit=seen.append)
        assert "Make room" in caught.value.remedy
        if seen:
            last = seen[-1]
            assert isinstance(last, RunFailed)
            assert said in last.message
        finished.mends()


def test_a_cut_in_the_middle_of_any_write(finished: Finished, tmp_path: Path) -> None:
    """What a power cut may leave: part of a temporary file, and part of the database's write-ahead log."""
    shots: list[Path] = []

    def emit(event: Event) -> None:
        if isinstance(event, StageProgress) and event.stage in ("generate:image", "encode:prompt:eye", "fit", "record"):
            shots.append(tmp_path / f"shot{len(shots)}")
            shutil.copytree(finished.copy, shots[-1], ignore=shutil.ignore_patterns("*.tmp", "*-shm"))

    shutil.rmtree(finished.copy, ignore_errors=True)
    api.apply(finished.spec, store=finished.copy, emit=emit)
    assert len(shots) >= 4
    for number, part in enumerate((0.0, 0.2, 0.4, 0.6, 0.8, 0.99)):
        for shot in (shots[0], shots[-1]) if number % 2 else (shots[len(shots) // 2],):
            shutil.rmtree(finished.copy)
            shutil.copytree(shot, finished.copy)
            log = finished.copy / "store.db-wal"
            os.truncate(log, int(part * log.stat().st_size))
            for folder in [*(finished.copy / "objects").iterdir(), *(finished.copy / "runs").glob("*")]:
                (folder / ".0123456789abcdef.tmp").write_bytes(b"x" * number)
            api.apply(finished.spec, store=finished.copy)
            files = run_files(finished.copy, finished.run)
            assert {name: data for name, data in files.items() if not name.endswith(".tmp")} == finished.files
            api.gc(store=finished.copy)
            finished.mends()


def test_a_broken_database_has_a_remedy(finished: Finished) -> None:
    size = (finished.master / "store.db").stat().st_size
    told = 0
    for cut in (0, 1, 100, 4096, size // 2, size - 4096, size - 1):
        store = finished.restore()
        os.truncate(store / "store.db", cut)
        try:
            finished.mends()
        except RunError as error:
            told += error.remedy.startswith("Move this file away")
            (store / "store.db").unlink()
            finished.mends()
    assert told >= 4
