"""What is looked at in a binary file before polars reads it.

polars ends the process where a damaged or hostile file asks for more memory than there is.
"""

import struct
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"PAR1"
_MOST_FOOTER = 256 << 20
_MOST_MESSAGE = 64 << 20
_MOST_ROWS = 1 << 31
_MOST_RATIO = 1 << 15
"""Bytes that a compressed one may become."""
_DICTIONARY, _BATCH = 2, 3
"""Kinds of Arrow messages that have buffers."""


def check_parquet(path: Path) -> None:
    """Raises OSError unless the file ends in a footer that fits into it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4)
        if size < 12 or head != _MAGIC:
            raise OSError("it is not a Parquet file")
        file.seek(size - 8)
        length, magic = struct.unpack("<I4s", file.read(8))
    if magic != _MAGIC or length + 12 > size:
        raise OSError("it is not a Parquet file, or not a whole one")
    if length > _MOST_FOOTER:
        raise OSError("its footer is too large")


def check_arrow(path: Path) -> None:
    """Raises OSError unless the file is an Arrow stream whose messages and buffers lie inside it."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            at = 0
            while at < size:
                file.seek(at)
                mark, length = struct.unpack("<4sI", file.read(8))
                if mark != b"\xff\xff\xff\xff":
                    raise OSError("it is not an Arrow stream")
                if length == 0:
                    return
                start = at + 8 + length
                if length > _MOST_MESSAGE or start > size:
                    raise OSError("it is not a whole Arrow stream")
                body = _check_message(file.read(length), file, start, size - start)
                at = start + body
    except struct.error:
        raise OSError("it is not a whole Arrow stream") from None


def _check_message(data: bytes, file: BinaryIO, start: int, room: int) -> int:
    """Length of a message's body, which begins at `start` and has so much room. Raises OSError and struct.error."""
    message = _FlatTable(data, 0)
    body = message.number(3, "<q")
    if not 0 <= body <= room:
        raise OSError("it is not a whole Arrow stream")
    kind, batch = message.number(1, "<B"), message.table(2)
    if kind == _DICTIONARY and batch is not None:
        batch = batch.table(1)
    if kind not in (_DICTIONARY, _BATCH) or batch is None:
        return body
    lengths = [length for length, _ in batch.pairs(1)]
    if not all(0 <= length <= _MOST_ROWS for length in [batch.number(0, "<q"), *lengths]):
        raise OSError("it is a damaged Arrow stream")
    for offset, length in batch.pairs(2):
        if offset < 0 or length < 0 or offset + length > body:
            raise OSError("it is a damaged Arrow stream")
        if batch.table(3) is not None and length >= 8:  # compressed: its size comes first
            file.seek(start + offset)
            (whole,) = struct.unpack("<q", file.read(8))
            if not -1 <= whole <= max(_MOST_MESSAGE, _MOST_RATIO * length):
                raise OSError("it is a damaged Arrow stream")
    return body


class _FlatTable:
    """A table of a flatbuffer, by the numbers of its fields (https://flatbuffers.dev/internals)."""

    def __init__(self, data: bytes, place: int) -> None:
        """`place` is where the table's offset stands."""
        self._data = data
        self._at = place + self._unpack("<I", place)
        self._fields = self._at - self._unpack("<i", self._at)
        self._size = self._unpack("<H", self._fields)

    def _unpack(self, form: str, place: int) -> int:
        if place < 0:
            raise struct.error
        return int(struct.unpack_from(form, self._data, place)[0])

    def _place(self, field: int) -> int:
        """0 where the field is not there."""
        if self._size < 6 + 2 * field:
            return 0
        offset = self._unpack("<H", self._fields + 4 + 2 * field)
        return self._at + offset if offset else 0

    def number(self, field: int, form: str) -> int:
        """A number; 0 where it is not there."""
        place = self._place(field)
        return self._unpack(form, place) if place else 0

    def table(self, field: int) -> "_FlatTable | None":
        """Another table."""
        place = self._place(field)
        return _FlatTable(self._data, place) if place else None

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of pairs of int64."""
        place = self._place(field)
        if not place:
            return []
        start = place + self._unpack("<I", place)
        count = self._unpack("<I", start)
        if count > len(self._data) // 16:
            raise struct.error
        numbers = struct.unpack_from(f"<{2 * count}q", self._data, start + 4)
        return list(zip(numbers[::2], numbers[1::2], strict=True))
