"""Small files under relative names, in whatever place a store keeps what several machines write."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from surrogateshap.store.atomic import atomic_write_bytes, make_folder
from surrogateshap.store.objects import unreadable_error, unwritable_error


class Files(Protocol):
    """Files by names such as `shards/run/file.json`. Raises RunError where the place refuses."""

    def read(self, name: str) -> bytes | None:
        """Its bytes; None where there is no such file."""
        ...

    def size(self, name: str) -> int | None:
        """Its bytes, counted; None where there is no such file."""
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
    """Files below a folder of this machine, or of a network's file system."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        """See Files."""
        path = self._root / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable_error(path, error) from error

    def size(self, name: str) -> int | None:
        """See Files."""
        path = self._root / name
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable_error(path, error) from error

    def write(self, name: str, data: bytes) -> None:
        """See Files."""
        path = self._root / name
        try:
            make_folder(path.parent)
            atomic_write_bytes(path, data)
        except OSError as error:
            raise unwritable_error(self._root, error) from error

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """See Files; what is still being written is left out."""
        try:
            for path in sorted((self._root / folder).rglob("[!.]*")):
                if path.is_file():
                    yield path.relative_to(self._root).as_posix(), path.stat().st_size
        except OSError as error:
            raise unreadable_error(self._root, error) from error

    def remove(self, name: str) -> None:
        """See Files."""
        try:
            (self._root / name).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable_error(self._root, error) from error
