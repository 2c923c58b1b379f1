"""Reading strangers' files: no more bytes, depth or numbers than allowed, through no link, and nothing is run."""

import contextlib
import json
import math
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from surrogateshap.text import harmless

if TYPE_CHECKING:
    from pydantic import BaseModel

MAX_BYTES = 64 * 2**20
"""Of one file that is read as a whole."""
MAX_DEPTH = 50
"""Lists and objects of a JSON text inside one another."""
_Model = TypeVar("_Model", bound="BaseModel")


class UnreadableError(Exception):
    """A file that can't be taken as what it should be; the text says why and is safe to print."""


@contextlib.contextmanager
def opened(path: Path, *, follow: bool = False) -> Iterator[BufferedReader]:
    """A regular file, opened without waiting on pipes and, unless `follow`, without following a link.

    Raises UnreadableError.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if not follow and path.is_symlink():
            raise UnreadableError("a symbolic link, which is not followed")
        descriptor = os.open(path, flags if follow else flags | getattr(os, "O_NOFOLLOW", 0))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UnreadableError("not a regular file")
        with os.fdopen(descriptor, "rb") as file:
            yield file
    except FileNotFoundError as error:
        raise UnreadableError("missing") from error
    except (OSError, ValueError) as error:
        raise UnreadableError(f"can't be read: {harmless(getattr(error, 'strerror', None) or str(error))}") from error


def read_file(path: Path, *, follow: bool = False, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a file of at most `limit`. Raises UnreadableError."""
    with opened(path, follow=follow) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise UnreadableError(f"larger than {limit // 2**20} MiB")
    return data


def parse_json(data: bytes) -> Any:
    """The JSON value, of bounded depth and without NaN or infinities. Raises UnreadableError."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_finite, parse_float=_finite)
    except RecursionError as error:
        raise UnreadableError("nested too deeply") from error
    except ValueError as error:
        raise UnreadableError(f"no JSON: {harmless(str(error))}") from error
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return value
    raise UnreadableError("nested too deeply")


def parse_model(kind: type[_Model], data: bytes) -> _Model:
    """The model that a JSON text holds. Raises UnreadableError that names the first wrong field."""
    from pydantic import ValidationError

    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "top level"
        raise UnreadableError(f"{harmless(where)}: {harmless(first['msg'])}") from error


def _children(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number
