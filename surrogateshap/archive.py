"""Records as zip files: one way to write them, and a reader that takes nothing else.

Files are stored, not compressed, in the order of their names, with fixed times, so that the same files are the same
bytes and every byte of an archive is accounted for: there is no place for anything hidden, and nothing to inflate.
Format: PKWARE's APPNOTE, 4.3.
"""

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from surrogateshap.strangers import MAX_BYTES, UnreadableError, opened, read_file
from surrogateshap.text import harmless

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
"""Names of files of records: no separator, no leading dot."""
MAGIC = b"PK\x03\x04"
MOST_FILES = 20_000
MOST_BYTES = 2**32 - 2**27
"""Of a whole archive: more needs other headers."""
_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s4H2LH")
_VERSION, _METHOD, _TIME, _DATE = 20, 0, 0, 0x21
_MADE_BY, _MODE = 0x0314, 0o100644 << 16
"""On Unix, as an ordinary file that its owner can write and anyone can read."""
_CHUNK = 2**20


class Files(Protocol):
    """The files of a record, wherever they lie."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of everything that is there, in order; safe to print."""
        ...

    def read(self, name: str, limit: int = MAX_BYTES) -> bytes:
        """Raises UnreadableError where it is missing, too large or no regular file."""
        ...

    def sha256(self, name: str) -> str:
        """Of a file of any size. Raises UnreadableError."""
        ...


def archive_bytes(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files. Raises ValueError for names that are none, and for too much of anything."""
    if len(files) > MOST_FILES or sum(map(len, files.values())) > MOST_BYTES:
        raise ValueError(f"more than {MOST_FILES:,} files or {MOST_BYTES / 1e9:.1f} GB")
    parts, entries, at = [], [], 0
    for name in sorted(files):
        if not PLAIN_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no plain file name")
        entry = _Entry(name, at, len(files[name]), zlib.crc32(files[name]))
        parts += [entry.local(), files[name]]
        entries.append(entry)
        at = entry.end
    return b"".join([*parts, _directory(entries, at)])


@dataclass(frozen=True)
class _Entry:
    name: str
    offset: int
    size: int
    crc: int

    @property
    def start(self) -> int:
        """Of its content."""
        return self.offset + _LOCAL.size + len(self.name)

    @property
    def end(self) -> int:
        return self.start + self.size

    def local(self) -> bytes:
        numbers = (_VERSION, 0, _METHOD, _TIME, _DATE, self.crc, self.size, self.size, len(self.name), 0)
        return _LOCAL.pack(MAGIC, *numbers) + self.name.encode()

    def central(self) -> bytes:
        numbers = (_VERSION, 0, _METHOD, _TIME, _DATE, self.crc, self.size, self.size, len(self.name))
        return _CENTRAL.pack(b"PK\x01\x02", _MADE_BY, *numbers, 0, 0, 0, 0, _MODE, self.offset) + self.name.encode()


def _directory(entries: list[_Entry], at: int) -> bytes:
    central = b"".join(entry.central() for entry in entries)
    return central + _END.pack(b"PK\x05\x06", 0, 0, len(entries), len(entries), len(central), at, 0)


class Archive:
    """A record's zip file, whose frame was checked byte by byte; nothing of it is ever unpacked to disk."""

    def __init__(self, path: Path) -> None:
        """Raises UnreadableError, naming the place, where it is not an archive as `archive_bytes` makes them."""
        self._path = path
        with opened(path, follow=True) as file:
            self._entries = {entry.name: entry for entry in _entries(file)}
            rest = _directory(list(self._entries.values()), max((e.end for e in self._entries.values()), default=0))
            found = file.read(len(rest) + 1)
        if found != rest:
            raise UnreadableError(
                "the directory at the archive's end is not that of its files, or something follows it"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """In order."""
        return tuple(self._entries)

    def read(self, name: str, limit: int = MAX_BYTES) -> bytes:
        """Raises UnreadableError where it is missing, too large or damaged."""
        with self._at(name) as (file, entry):
            if entry.size > limit:
                raise UnreadableError(f"larger than {limit // 2**20} MiB")
            data = file.read(entry.size)
        if len(data) != entry.size:
            raise UnreadableError("cut short")
        return data

    def sha256(self, name: str) -> str:
        """Of a file of any size. Raises UnreadableError where it is missing or cut short."""
        made = hashlib.sha256()
        with self._at(name) as (file, entry):
            for chunk in _chunks(file, entry.size):
                made.update(chunk)
        return made.hexdigest()

    @contextmanager
    def _at(self, name: str) -> Iterator[tuple[BufferedReader, _Entry]]:
        if name not in self._entries:
            raise UnreadableError("missing")
        with opened(self._path, follow=True) as file:
            file.seek(self._entries[name].start)
            yield file, self._entries[name]


def _entries(file: BufferedReader) -> Iterator[_Entry]:
    """Files one after the other from the start; ends before the directory."""
    at, before = 0, ""
    for number in range(MOST_FILES + 1):
        header = file.read(_LOCAL.size)
        if header[:4] != MAGIC:
            file.seek(at)
            return
        where = f"file {number + 1} of the archive" + (f", after {before}" if before else "")
        if len(header) < _LOCAL.size or number == MOST_FILES:
            raise UnreadableError(f"{where}: " + ("cut short" if number < MOST_FILES else "one too many"))
        _, _, flags, method, _, _, crc, _, size, length, _ = _LOCAL.unpack(header)
        name = file.read(min(length, 200)).decode("ascii", "replace")
        if not PLAIN_NAME.fullmatch(name):
            raise UnreadableError(f"{where}: `{harmless(name, 60)}` is no plain file name")
        entry = _Entry(name, at, size, crc)
        if method or flags:
            raise UnreadableError(f"{name}: compressed or encrypted, which records never are; unpack it yourself")
        if header + name.encode() != entry.local() or entry.end > MOST_BYTES:
            raise UnreadableError(f"{name}: its header in the archive is not as records are written")
        if name <= before:
            raise UnreadableError(f"{name}: there twice, or not in the order of names")
        if _crc(file, entry) != crc:
            raise UnreadableError(f"{name}: changed: its checksum in the archive differs")
        yield entry
        at, before = entry.end, name


def _crc(file: BufferedReader, entry: _Entry) -> int:
    found = 0
    try:
        for chunk in _chunks(file, entry.size):
            found = zlib.crc32(chunk, found)
    except UnreadableError as error:
        raise UnreadableError(f"{entry.name}: {error}") from None
    return found


def _chunks(file: BufferedReader, size: int) -> Iterator[bytes]:
    while size:
        chunk = file.read(min(size, _CHUNK))
        if not chunk:
            raise UnreadableError("cut short")
        size -= len(chunk)
        yield chunk


class Folder:
    """A folder with a record's files."""

    def __init__(self, folder: Path, named: Mapping[str, str] = MappingProxyType({})) -> None:
        """`named`: names that files are asked for by -> those that they have; links are followed to these alone.

        Raises UnreadableError where the folder can't be listed, or holds too much.
        """
        self._folder, self._named = folder, named
        listed = []
        try:
            for path in folder.iterdir():
                listed.append(path.name)
                if len(listed) > MOST_FILES:
                    raise UnreadableError(f"more than {MOST_FILES:,} files")
        except OSError as error:
            raise UnreadableError(f"can't be read: {harmless(error.strerror or str(error))}") from error
        asked = {there: name for name, there in named.items()}
        self.names = tuple(sorted(asked.get(name, name) for name in listed))

    def read(self, name: str, limit: int = MAX_BYTES) -> bytes:
        """Raises UnreadableError where it is missing, too large or no regular file."""
        return read_file(self._path(name), follow=name in self._named, limit=limit)

    def sha256(self, name: str) -> str:
        """Of a file of any size. Raises UnreadableError."""
        with opened(self._path(name), follow=name in self._named) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _path(self, name: str) -> Path:
        return self._folder / self._named.get(name, name)


def is_archive(path: Path) -> bool:
    """Whether there is a file that begins as a zip file."""
    try:
        with opened(path, follow=True) as file:
            return file.read(len(MAGIC)) == MAGIC
    except UnreadableError:
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder; not for names that none can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
