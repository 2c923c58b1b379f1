"""Immutable files named by the SHA-256 of their bytes: `objects/ab/<digest>.<suffix>`."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, Literal

from surrogateshap.errors import RunError
from surrogateshap.store.atomic import atomic_write_bytes, holds, make_folder
from surrogateshap.text import canonical_json, digest, harmless

if TYPE_CHECKING:
    import numpy as np

Suffix = Literal["safetensors", "json", "parquet"]
_SUFFIXES: tuple[Suffix, ...] = ("safetensors", "json", "parquet")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Objects:
    """The objects below one folder. What is read has the digest that it was asked for, or is None."""

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        self._folder = folder
        self._read_only = read_only

    def put(self, data: bytes, suffix: Suffix) -> str:
        """Keeps `data`, durably, and returns its digest. An object that is there already, whole, is left alone."""
        name = digest(data)
        path = self._path(name, suffix)
        if self._read_only:
            raise read_only_error(self._folder)
        try:
            if not holds(path, data):
                make_folder(path.parent)
                atomic_write_bytes(path, data)
        except OSError as error:
            raise unwritable_error(self._folder, error) from error
        return name

    def get(self, name: str, suffix: Suffix) -> bytes | None:
        """The bytes whose digest is `name`; None where they are missing or damaged. Damaged files are removed."""
        if not _DIGEST.fullmatch(name):
            return None
        path = self._path(name, suffix)
        try:
            if not path.is_file():  # a pipe would be waited for
                return None
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable_error(path, error) from error
        if digest(data) == name:
            return data
        if not self._read_only:
            path.unlink(missing_ok=True)
        return None

    def has(self, name: str) -> bool:
        """Whether a file of that digest is there; whether it is whole shows when it is read."""
        return bool(_DIGEST.fullmatch(name)) and any(self._path(name, suffix).exists() for suffix in _SUFFIXES)

    def drop(self, name: str) -> None:
        """Deletes the object of that digest, if it is there."""
        if self._read_only:
            raise read_only_error(self._folder)
        for suffix in _SUFFIXES if is_digest(name) else ():
            try:
                self._path(name, suffix).unlink(missing_ok=True)
            except OSError as error:
                raise unwritable_error(self._folder, error) from error

    def size(self, name: str) -> int | None:
        """Bytes of the file of that digest; None where there is none."""
        for suffix in _SUFFIXES if is_digest(name) else ():
            with suppress(FileNotFoundError):
                return self._path(name, suffix).stat().st_size
        return None

    def by_age(self, names: Iterable[str]) -> list[Path]:
        """Files of those arrays that are there, those written last first."""
        found: list[tuple[int, Path]] = []
        for name in names:
            path = self._path(name, "safetensors")
            with suppress(OSError):
                found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True)]

    def each(self) -> Iterator[tuple[str, Suffix, int]]:
        """Digest, suffix and bytes of every object; other files are none of the store's. Raises RunError."""
        try:
            for folder in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
                for path in sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else ():
                    found = split_name(path.name)
                    if found is not None and S_ISREG((stat := path.lstat()).st_mode):
                        yield *found, stat.st_size
        except OSError as error:
            raise unreadable_error(self._folder, error) from error

    def head(self, name: str, suffix: Suffix, length: int) -> bytes:
        """The first bytes of an object, whole or not; none where it is missing. Raises RunError."""
        path = self._path(name, suffix)
        try:
            with path.open("rb") as file:
                return file.read(length)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise unreadable_error(path, error) from error

    def whole(self, name: str, suffix: Suffix) -> bool:
        """Whether the file holds what it is named by. Raises RunError where it can't be read."""
        path = self._path(name, suffix)
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == name
        except OSError as error:
            raise unreadable_error(path, error) from error

    def _path(self, name: str, suffix: Suffix) -> Path:
        return self._folder / object_name(name, suffix)


def is_digest(name: str) -> bool:
    """Whether it can be an object's name."""
    return bool(_DIGEST.fullmatch(name))


def object_name(name: str, suffix: Suffix) -> str:
    """Where an object lies among the others."""
    return f"{name[:2]}/{name}.{suffix}"


def split_name(file: str) -> tuple[str, Suffix] | None:
    """Digest and suffix of a file in whichever folder; None where it is no object's."""
    name, _, ending = file.rpartition("/")[2].partition(".")
    for suffix in _SUFFIXES:
        if ending == suffix and is_digest(name):
            return name, suffix
    return None


def arrays_to_bytes(arrays: "Mapping[str, np.ndarray]") -> bytes:
    """Safetensors bytes, the same for equal arrays whatever their memory layout, byte order or order of names.

    Raises TypeError for arrays of anything but real numbers and booleans.
    """
    import numpy as np
    from safetensors.numpy import save

    plain = {}
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name!r}: arrays of {array.dtype} can't be kept")
        plain[name] = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return save(plain)


def arrays_from_bytes(data: bytes) -> "dict[str, np.ndarray] | None":
    """Writable arrays; None where `data` isn't safetensors."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return {name: np.require(array, requirements="W") for name, array in load(data).items()}
    except SafetensorError:
        return None


def json_to_bytes(value: Any) -> bytes:
    """Canonical JSON. Raises ValueError on NaN and infinities, TypeError on what JSON can't hold."""
    return canonical_json(value).encode()


def json_from_bytes(data: bytes) -> Any | None:
    """The value; None where `data` isn't JSON."""
    try:
        return json.loads(data)
    except ValueError:
        return None


def unwritable_error(path: Path, error: OSError) -> RunError:
    """What to tell when the store can't be written."""
    return RunError(
        f"{harmless(str(path))}: can't write here: {error.strerror or error}",
        "Make room or set its permissions, or choose another folder with --store DIR or SURROGATESHAP_STORE.",
    )


def unreadable_error(path: Path, error: OSError) -> RunError:
    """What to tell when the store can't be read."""
    return RunError(f"{harmless(str(path))}: can't read: {error.strerror or error}", "Set its permissions.")


def read_only_error(path: Path) -> RunError:
    """What to tell when a store that was opened for reading is asked to write."""
    return RunError(f"{harmless(str(path))}: opened for reading only", "Open the store for writing.")
