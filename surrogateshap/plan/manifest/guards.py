"""What is looked at in a binary file before polars reads it.

polars ends the process where a damaged or hostile file asks for more memory than there is.
"""

import struct
from pathlib import Path

_MAGIC = b"PAR1"
_MOST_FOOTER = 256 << 20
_MOST_MESSAGE = 64 << 20


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
    """Raises OSError unless the file is an Arrow stream whose messages lie inside it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at < size:
            file.seek(at)
            start = file.read(8)
            if len(start) < 8 or start[:4] != b"\xff\xff\xff\xff":
                raise OSError("it is not an Arrow stream")
            (length,) = struct.unpack("<I", start[4:])
            if length == 0:
                return
            if length > _MOST_MESSAGE or at + 8 + length > size:
                raise OSError("it is not a whole Arrow stream")
            body = _body_length(file.read(length))
            if not 0 <= body <= size - (at + 8 + length):
                raise OSError("it is not a whole Arrow stream")
            at += 8 + length + body


def _body_length(message: bytes) -> int:
    """`bodyLength` of an Arrow message, a flatbuffer with the fields version, header type, header and body length."""
    try:
        (root,) = struct.unpack_from("<I", message, 0)
        (back,) = struct.unpack_from("<i", message, root)
        (size,) = struct.unpack_from("<H", message, root - back)
        if size < 12:
            return 0
        (place,) = struct.unpack_from("<H", message, root - back + 10)
        return int(struct.unpack_from("<q", message, root + place)[0]) if place else 0
    except struct.error:
        raise OSError("it is not an Arrow stream") from None
