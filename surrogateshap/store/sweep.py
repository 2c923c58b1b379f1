"""Lets go of what no run in the store needs."""

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from surrogateshap.errors import RunError
from surrogateshap.store.objects import Objects, Suffix, unwritable_error
from surrogateshap.store.place import CACHE
from surrogateshap.store.store import Store
from surrogateshap.units import listed

_RECORD = "record.json"
_DAMAGED = "damaged objects"
_HEADER = 1 << 20
"""Bytes of a safetensors header that are read, at most: those of a store name two arrays."""
_KINDS = {"images": "images", "conditional": "losses", "values": "values", "features": "features", "texts": "features"}
"""Of an object, by an array that it holds."""

_SHARD = 16 << 20
"""Bytes of a file of workers that are read, at most: no whole one is larger."""
_NAMED = re.compile(rb'"([0-9a-f]{64})"')

Follow = Callable[[str], Iterable[str]]
"""An object to the keys that others may go by which belong to it: they are needed when it is."""


@dataclass
class Swept:
    """What was let go, or would be."""

    kinds: dict[str, tuple[int, int]]
    """Kind -> (files, bytes)."""
    rows: int = 0
    """Of the index, whose objects are gone."""
    kept_files: int = 0
    """Objects that runs need, as `kept_bytes`."""
    kept_bytes: int = 0
    unfinished: tuple[str, ...] = ()
    """Runs that were done, and have lost objects since."""
    unlisted: tuple[str, ...] = ()
    """Runs that the store doesn't know and that have a record, or workers' files: they are left alone."""

    def add(self, kind: str, files: Iterable[Path]) -> None:
        """Counts some files."""
        for file in files:
            self.count(kind, file.lstat().st_size)

    def count(self, kind: str, size: int) -> None:
        """Counts one of so many bytes."""
        files, total = self.kinds.get(kind, (0, 0))
        self.kinds[kind] = (files + 1, total + size)


def sweep(store: Store, follow: Follow, *, dry_run: bool, check: bool = False) -> Swept:
    """Deletes what no run needs, or only counts it. A kill in between leaves a store that is whole.

    With `check` all objects are read, and those count as gone whose bytes have changed. Runs that need one which is
    gone are no longer done: `apply` makes it anew.

    Raises RunError where another process works in the store, and where runs are there of which nobody knows what they
    use: those of a store that an older version made.
    """
    with store.lock():
        # What is made under the lock is in use, and so is what files of shards name; no age says more than that.
        shards = _Shards(store)
        needed = _needed(store, follow) | shards.objects
        swept = Swept({}, unlisted=shards.unlisted)
        gone, kept = [], set()
        for digest, suffix, size in store.objects.each():
            if check and not store.objects.whole(digest, suffix):
                gone.append((_DAMAGED, digest, size))
            elif digest in needed:
                kept.add(digest)
                swept.kept_files, swept.kept_bytes = swept.kept_files + 1, swept.kept_bytes + size
            else:
                gone.append((_kind(store.objects, digest, suffix), digest, size))
        try:
            for kind, path in _leftovers(store, swept):
                swept.add(kind, _below(path))
                if not dry_run:
                    _remove(path)
        except OSError as error:
            raise unwritable_error(store.root, error) from error
        for kind, digest, size in gone:
            swept.count(kind, size)
            if not dry_run:
                store.objects.drop(digest)
        for file, size in shards.merged:
            swept.count("shards", size)
            if not dry_run:
                store.files.remove(file)
        swept.rows = store.drop_rows(kept, dry_run=dry_run)
        if check:
            swept.unfinished = tuple(
                row.run for row in store.runs() if row.status == "done" and store.used(row.run) - kept
            )
            for run in swept.unfinished if not dry_run else ():
                store.set_status(run, "interrupted")
    return swept


def forget(store: Store, names: Iterable[str]) -> None:
    """Takes runs out of the store, with their folders; what they alone need goes with the next `sweep`.

    Raises RunError where another process works in the store.
    """
    with store.lock():
        for name in names:
            # The folder first: a kill in between leaves a run that can be forgotten again, and no folder of nobody's.
            for file, _ in list(store.files.list("shards")):
                if file.split("/")[1] == name:
                    store.files.remove(file)
            for folder in [*_folders(store, "runs"), *_folders(store, "shards")]:
                if folder.name == name:
                    try:
                        _remove(folder)
                    except OSError as error:
                        raise unwritable_error(folder, error) from error
            store.drop_run(name)


class _Shards:
    """Files of workers: until their run is done, nothing else may say that their objects are needed."""

    def __init__(self, store: Store) -> None:
        status = {row.run: row.status for row in store.runs()}
        self.merged: list[tuple[str, int]] = []
        """Files of runs that are done, and their sizes: all that they tell is in the index."""
        self.objects: set[str] = set()
        unlisted: set[str] = set()
        for file, size in store.files.list("shards"):
            run = file.split("/")[1]
            if status.get(run) == "done":
                self.merged.append((file, size))
                continue
            self.objects.update(found.decode() for found in _NAMED.findall(store.files.read(file, _SHARD) or b""))
            if run not in status:
                unlisted.add(run)
        self.unlisted = tuple(sorted(unlisted))


def _needed(store: Store, follow: Follow) -> set[str]:
    needed: set[str] = set()
    unknown = []
    for row in store.runs():
        used = store.used(row.run)
        if not used:
            unknown.append(row.run)
        needed |= used | {name for name in (row.plan, row.results, row.record) if name is not None}
    if unknown:
        raise RunError(
            f"an older version made {listed(unknown)}, and what it uses is not known",
            "Apply its spec again, which records it, or forget it: surrogateshap runs forget RUN.",
        )
    return needed | set(store.lookup(key for one in needed for key in follow(one)).values())


def _leftovers(store: Store, swept: Swept) -> Iterator[tuple[str, Path]]:
    """Kinds and paths of temporary files that a kill left, and of folders of runs that are not in the store."""
    kept = {row.run for row in store.runs()}
    for folder in [*(store.root / "objects").iterdir(), *_folders(store, "runs")]:
        for path in folder.glob(".*.tmp"):
            yield "temporary files", path
    for folder in _folders(store, CACHE):
        yield "cached copies", folder
    for folder in _folders(store, "slurm"):  # of runs that failed, or were killed
        yield "Slurm logs", folder
    for folder in _folders(store, "runs"):
        if folder.name in kept:
            continue
        if (folder / _RECORD).exists():  # someone may have moved a damaged database away, and wants this all the more
            swept.unlisted = tuple(dict.fromkeys((*swept.unlisted, folder.name)))
        else:
            yield "run folders", folder


def _folders(store: Store, name: str) -> list[Path]:
    """Real folders in a folder of the store: nothing is deleted through a link."""
    parent = store.root / name
    if not parent.is_dir() or parent.is_symlink():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.is_symlink())


def _below(path: Path) -> list[Path]:
    return [one for one in path.rglob("*") if not one.is_dir()] if path.is_dir() else [path]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _kind(objects: Objects, digest: str, suffix: Suffix) -> str:
    """Of an object, in the user's words."""
    if suffix != "safetensors":
        return "documents"
    start = objects.head(digest, suffix, _HEADER)
    try:
        names = json.loads(start[8 : 8 + int.from_bytes(start[:8], "little")])
    except ValueError:
        return _DAMAGED
    known = [_KINDS[name] for name in names if name in _KINDS] if isinstance(names, dict) else []
    return known[0] if known else "other arrays"
