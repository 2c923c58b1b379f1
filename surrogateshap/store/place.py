"""Where a store's objects lie: in its own folder, or at an URL that the user gives and the store itself never names.

Stores come from strangers, and a stranger's URL is not to be opened: a store only knows the digest of its URL.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

from surrogateshap.errors import RunError
from surrogateshap.store.atomic import atomic_write_bytes, make_folder
from surrogateshap.store.files import Files, LocalFiles
from surrogateshap.store.objects import Objects, Suffix, unreadable_error, unwritable_error
from surrogateshap.store.remote import RemoteFiles, RemoteObjects, shown_url
from surrogateshap.text import digest, harmless

OBJECTS = "SURROGATESHAP_OBJECTS"
"""Environment variable that holds the URL; `--objects` sets it for one command."""
CACHE = "cache"
"""Folder of a store with copies of objects that lie at an URL."""
_MARKER = "objects.sha256"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://.+")
_LOCAL = ("file://", "local://")
_GIVE = f"Give the URL with --objects or {OBJECTS}."


@dataclass(frozen=True)
class Place:
    """Where what several machines write is kept."""

    objects: Objects
    files: Files
    """Everything else: the results of shards."""
    elsewhere: bool = False
    """Whether it is another one than the store's folder."""


def open_place(root: Path, *, read_only: bool, cached: bool = False) -> Place:
    """The place of the store `root`; nothing is written. What is read from an URL the store keeps too where `cached`.

    Raises RunError where that isn't the one the user names, or the place can't be used; MissingExtraError where a
    package is needed for it. Where it is only read, an unknown place is an error once something is read from it.
    """
    url, marker = _chosen(), _marker(root)
    if url is None and marker is None:
        return _local(root, read_only)
    own = marker is None and _has_objects(root)
    if url is None or own or marker not in (None, _identity(url)):
        if read_only and own:
            return _local(root, read_only)
        error = _error(root, url, own)
        if not read_only:
            raise error
        return Place(_Elsewhere(root, error), LocalFiles(root))
    for prefix in _LOCAL:
        if url.startswith(prefix):
            return replace(_local(Path(unquote(url.removeprefix(prefix))).absolute(), read_only), elsewhere=True)
    files = RemoteFiles(url)
    files.open()
    cache = Objects(root / CACHE, read_only=read_only) if cached else None
    return Place(RemoteObjects(files, read_only=read_only, cache=cache), files, elsewhere=True)


def make_store_folder(root: Path) -> None:
    """Makes the folder of a store, which no repository keeps, if it isn't there. Raises RunError."""
    ignore = root / ".gitignore"
    try:
        make_folder(root / "objects")
        if not ignore.exists():
            atomic_write_bytes(ignore, b"*\n")
    except OSError as error:
        raise unwritable_error(root, error) from error


def note_place(root: Path) -> None:
    """Remembers in the store that its objects lie elsewhere, if they do. Raises RunError."""
    url = _chosen()
    if url is not None and _marker(root) is None:
        try:
            atomic_write_bytes(root / _MARKER, f"{_identity(url)}\n".encode())
        except OSError as error:
            raise unwritable_error(root, error) from error


def _chosen() -> str | None:
    """The URL that the user gives. Raises RunError where it is none."""
    url = os.environ.get(OBJECTS, "").strip()
    if url and not _URL.fullmatch(url):
        raise RunError(f"{harmless(shown_url(url), 200)} is not an URL", f"Write {OBJECTS} as s3://bucket/folder.")
    return url or None


def _identity(url: str) -> str:
    """The same for an URL with other credentials."""
    return digest(shown_url(url).encode())


def _local(folder: Path, read_only: bool) -> Place:
    return Place(Objects(folder / "objects", read_only=read_only), LocalFiles(folder))


def _marker(root: Path) -> str | None:
    try:
        return (root / _MARKER).read_text("ascii", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable_error(root / _MARKER, error) from error


def _has_objects(root: Path) -> bool:
    with suppress(OSError):
        return any((root / "objects").glob("??/*"))
    return False


def _error(root: Path, url: str | None, own: bool) -> RunError:
    shown = harmless(str(root))
    if own:
        remedy = f"Leave --objects and {OBJECTS} out, or choose another folder with --store DIR."
        return RunError(f"{shown}: its objects lie in its own folder", remedy)
    if url is None:
        return RunError(f"{shown}: its objects lie elsewhere", _GIVE)
    remedy = f"Give the URL that it was made with, or, if its objects were moved there, delete {shown}/{_MARKER}."
    return RunError(f"{shown}: its objects do not lie at {shown_url(url)}", remedy)


class _Elsewhere(Objects):
    """Objects of which nobody said where they are."""

    def __init__(self, root: Path, error: RunError) -> None:
        super().__init__(root, read_only=True)
        self._error = error

    def put(self, data: bytes, suffix: Suffix) -> str:
        """Raises RunError, as all others do."""
        self._refuse()

    def get(self, name: str, suffix: Suffix) -> bytes | None:
        """See Objects."""
        self._refuse()

    def has(self, name: str) -> bool:
        """See Objects."""
        self._refuse()

    def each(self) -> Iterator[tuple[str, Suffix, int]]:
        """See Objects."""
        self._refuse()

    def drop(self, name: str) -> None:
        """See Objects."""
        self._refuse()

    def size(self, name: str) -> int | None:
        """See Objects."""
        self._refuse()

    def head(self, name: str, suffix: Suffix, length: int) -> bytes:
        """See Objects."""
        self._refuse()

    def whole(self, name: str, suffix: Suffix) -> bool:
        """See Objects."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RunError(self._error.message, self._error.remedy)
