"""The store: what callers open."""

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from surrogateshap.store.atomic import remove_stale
from surrogateshap.store.database import Database
from surrogateshap.store.index import IndexTable
from surrogateshap.store.lock import Wait, exclusive, works
from surrogateshap.store.objects import (
    Suffix,
    arrays_from_bytes,
    arrays_to_bytes,
    json_from_bytes,
    json_to_bytes,
    read_only_error,
    unreadable_error,
    unwritable_error,
)
from surrogateshap.store.place import make_store_folder, note_place, open_place
from surrogateshap.store.runs import RunTable

if TYPE_CHECKING:
    import numpy as np


class Store(RunTable, IndexTable):
    """A `.surrogateshap` folder. Any number of threads and processes may use it at once.

    Every method raises RunError where the disk or the database refuses.
    """

    def __init__(self, root: Path, *, read_only: bool) -> None:
        """For `open` and `existing`, which check what is there."""
        super().__init__()
        self.root = root
        self._read_only = read_only
        place = open_place(root, read_only=read_only, cached=True)
        self.objects, self.files, self.elsewhere = place.objects, place.files, place.elsewhere
        self._database = Database(root / "store.db", read_only=read_only)

    @classmethod
    def open(cls, root: Path) -> Self:
        """For reading and writing; makes what is missing. Raises RunError where that can't be done."""
        make_store_folder(root)
        try:
            if not os.access(root, os.W_OK | os.X_OK):
                raise PermissionError(None, "no permission")
            remove_stale(
                (root, *(root / "objects").iterdir(), *(root / "runs").glob("*"), *(root / "shards").glob("*"))
            )
        except OSError as error:
            raise unwritable_error(root, error) from error
        store = cls(root, read_only=False)
        try:
            store._database.prepare()
            note_place(root)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def existing(cls, root: Path) -> Self | None:
        """For reading; never writes. None where there is no store."""
        try:
            if not (root / "store.db").is_file():
                return None
        except OSError as error:
            raise unreadable_error(root, error) from error
        store = cls(root, read_only=True)
        try:
            if store._database.prepared():
                return store
        except BaseException:
            store.close()
            raise
        store.close()
        return None

    def close(self) -> None:
        """Closes the database in this process; a later call opens it again."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def worked_by(self, pid: int) -> bool | None:
        """Whether this process of this machine works in the store; None where that can't be told."""
        return works(self.root / "store.lock", pid)

    def lock(self, wait: Wait | None = None) -> AbstractContextManager[None]:
        """Held by the one process that works in the store.

        Where another holds it, calls `wait` with that one's id until it is free; without, raises RunError at once.
        """
        if self._read_only:
            raise read_only_error(self.root)
        return exclusive(self.root / "store.lock", wait)

    def put_arrays(self, arrays: "Mapping[str, np.ndarray]") -> str:
        """Keeps the arrays together and returns the digest, the same for equal arrays. Numbers and booleans only."""
        return self._put(arrays_to_bytes(arrays), "safetensors")

    def get_arrays(self, digest: str) -> "dict[str, np.ndarray] | None":
        """The arrays; None where they are missing or damaged."""
        data = self.objects.get(digest, "safetensors")
        return None if data is None else arrays_from_bytes(data)

    def put_json(self, value: Any) -> str:
        """Keeps a value and returns the digest of its canonical JSON."""
        return self._put(json_to_bytes(value), "json")

    def get_json(self, digest: str) -> Any | None:
        """The value; None where it is missing or damaged."""
        data = self.objects.get(digest, "json")
        return None if data is None else json_from_bytes(data)

    def put_bytes(self, data: bytes, suffix: Suffix) -> str:
        """Keeps a file of any sort and returns its digest."""
        return self._put(data, suffix)

    def get_bytes(self, digest: str, suffix: Suffix) -> bytes | None:
        """The file's bytes; None where it is missing or damaged."""
        return self.objects.get(digest, suffix)

    def settle(self, run: str) -> None:
        """Once a run is done: it no longer needs objects that are gone. Others have taken their place."""
        gone = [name for name in self.used(run) if not self.objects.has(name)]
        with self._writing() as connection:
            connection.executemany("DELETE FROM uses WHERE run = ? AND digest = ?", ((run, name) for name in gone))

    def drop(self, digest: str) -> None:
        """Deletes an object: what was found by it is as good as absent."""
        self.objects.drop(digest)

    def newest_files(self, run: str) -> list[Path]:
        """Files of the objects with images that the run uses, those written last first."""
        return self.objects.by_age(self.with_images(run))

    def object_sizes(self, digests: Iterable[str]) -> dict[str, int]:
        """Bytes of those objects that are there."""
        return {name: found for name in digests if (found := self.objects.size(name)) is not None}

    def _put(self, data: bytes, suffix: Suffix) -> str:
        name = self.objects.put(data, suffix)
        self._note((name,))
        return name
