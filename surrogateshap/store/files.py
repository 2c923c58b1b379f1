"""Small files under relative names, in whatever place a store keeps what several machines write."""

import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import Protocol

from surrogateshap.store.atomic import atomic_write_bytes, make_folder
from surrogateshap.store.objects import unreadable_error, unwritable_error


class Files(Protocol):
    """Files by names such as `shards/run/file.json`. Raises RunError where the place refuses."""

    def read(self, name: str, length: int | None = None) -> bytes | None:
        """Its bytes, or only the first `length`; None where there is no such file."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Puts it there, durably, replacing what was there."""
        ...

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """Names below a folder, and their sizes; nothing where there is no such folder."""
        ...

    def remove(self, name: str) -> None:
        """Takes it away, if it is there."""
        ...


class LocalFiles:
    """Files below a folder of this machine, or of a network's file system. Links in it lead nowhere."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str, length: int | None = None) -> bytes | None:
        """See Files."""
        path = self._root / name
        try:
            if not self._own(name) or not path.is_file():
                return None
            with path.open("rb") as file:
                return file.read() if length is None else file.read(length)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable_error(path, error) from error

    def write(self, name: str, data: bytes) -> None:
        """See Files."""
        path = self._root / name
        try:
            if not self._own(name):
                raise PermissionError(None, "a link lies in the way")
            make_folder(path.parent)
            atomic_write_bytes(path, data)
        except OSError as error:
            raise unwritable_error(self._root, error) from error

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """See Files; what is still being written is left out."""
        top, found = self._root / folder, []
        try:
            for parent, folders, names in os.walk(top, onerror=_fail) if self._own(folder) else ():
                folders.sort()
                paths = (Path(parent, name) for name in sorted(names) if not name.startswith("."))
                stats = ((path, path.lstat()) for path in paths)
                found += [(path, stat.st_size) for path, stat in stats if S_ISREG(stat.st_mode)]
        except OSError as error:
            raise unreadable_error(self._root, error) from error
        for path, size in found:
            yield path.relative_to(self._root).as_posix(), size

    def remove(self, name: str) -> None:
        """See Files."""
        try:
            if self._own(name):
                (self._root / name).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable_error(self._root, error) from error

    def _own(self, name: str) -> bool:
        """Whether a name leads to where it says: not through a link, nor out of the folder."""
        return (self._root / name).resolve() == self._root.resolve() / name


def _fail(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
