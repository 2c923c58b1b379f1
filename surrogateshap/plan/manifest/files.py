"""One file of rows: its format, told by its content, and its columns."""

import csv
import difflib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import polars as pl

from surrogateshap.errors import Refused
from surrogateshap.plan.manifest.guards import check_arrow, check_parquet
from surrogateshap.text import harmless

Kind = Literal["parquet", "csv", "jsonl", "arrow"]
T = TypeVar("T")

_HEAD = 1 << 16
_LINE = 1 << 24
"""Bytes of a JSON line that are looked at to tell JSON Lines from other JSON."""


class ManifestRefused(Refused):
    """Why a manifest can't be used, what to do about it, and at which key of `[contributors]` that shows."""

    def __init__(self, message: str, remedy: str, key: str = "manifest") -> None:
        super().__init__(message, remedy)
        self.key = key


@dataclass(frozen=True)
class Part:
    """A file of rows."""

    path: Path
    kind: Kind

    def schema(self) -> pl.Schema:
        """Columns and types; those of a CSV are all text. Raises OSError saying why it can't be read."""
        match self.kind:
            case "arrow":
                check_arrow(self.path)
                return careful(lambda: pl.read_ipc_stream(self.path, n_rows=0).schema, "it is not an Arrow stream")
            case "parquet":
                return parquet_schema(self.path)
            case "csv":
                _check_header(self.path)
            case "jsonl":
                pass
        return careful(lambda: self.scan().collect_schema(), _NO_TABLE[self.kind])

    def scan(self, columns: Sequence[str] | None = None, schema: pl.Schema | None = None) -> pl.LazyFrame:
        """The rows, of these columns alone where they are given. `schema` spares JSON Lines a pass over the file."""
        match self.kind:
            case "parquet":
                frame = pl.scan_parquet(self.path, glob=False)
            case "csv":
                frame = pl.scan_csv(self.path, infer_schema=False, glob=False)
            case "jsonl":
                name = re.sub(r"([*?[])", r"[\1]", str(self.path))  # or they would be patterns
                frame = pl.scan_ndjson(name, schema=schema, infer_schema_length=None)
            case "arrow":
                check_arrow(self.path)
                frame = careful(
                    lambda: pl.read_ipc_stream(self.path, columns=None if columns is None else list(columns))
                ).lazy()
        return frame if columns is None else frame.select(columns)


_NO_TABLE = {"csv": "it is not a CSV table", "jsonl": "it is not JSON Lines"}


def careful(work: Callable[[], T], message: str = "it looks damaged") -> T:
    """What `work` returns. Raises OSError with `message` where polars gives up."""
    try:
        return work()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, UnicodeDecodeError) as error:
        raise OSError(message) from error


def collect(frame: pl.LazyFrame) -> pl.DataFrame:
    """Raises OSError where a file is damaged."""
    return careful(frame.collect)


def check_file(path: Path) -> None:
    """Raises OSError unless there is a regular file."""
    if not path.exists():
        raise OSError("there is no such file")
    if path.is_dir():
        raise OSError("it is a folder, not a file")
    if not path.is_file():
        raise OSError("it is not a regular file")


def parquet_schema(path: Path) -> pl.Schema:
    """Columns and types of a Parquet file. Raises OSError saying why it can't be read."""
    check_file(path)
    check_parquet(path)
    return careful(lambda: pl.scan_parquet(path, glob=False).collect_schema(), "it is not a Parquet file")


def kind_of(path: Path) -> Kind | Literal["croissant"]:
    """A file's format, by its content. Raises OSError where it is none of ours."""
    check_file(path)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise OSError("it is empty")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"\xff\xff\xff\xff"):
        return "arrow"
    if head.startswith(b"ARROW1"):
        raise OSError("it is an Arrow file; only Arrow streams, as `datasets` saves them, are read")
    if b"\0" in head:
        raise OSError("it is not a Parquet file, and no text either")
    if text.startswith(b"["):
        raise OSError("it holds a JSON array; JSON Lines have one object per line")
    return _kind_of_json(path) if text.startswith(b"{") else "csv"


def _kind_of_json(path: Path) -> Literal["jsonl", "croissant"]:
    with path.open("rb") as file:
        head = file.read(_LINE)
    line = head.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0]
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return "croissant" if b'"@context"' in head else "jsonl"
    return "croissant" if isinstance(first, dict) and "@context" in first else "jsonl"


def _check_header(path: Path) -> None:
    """Raises OSError where the columns of a CSV can't be told apart."""
    with path.open("rb") as file:
        head = file.read(_LINE).removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
    try:
        names = next(csv.reader(io.StringIO(head)))
    except (csv.Error, StopIteration):
        raise OSError("it is not a CSV table") from None
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        listed = ", ".join(f"`{harmless(name, 40)}`" for name in twice[:5])
        raise OSError(f"column names appear more than once: {listed}")


def nearest(name: str, known: list[str]) -> str:
    """A remedy that offers the nearest known name, or lists what there is."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean `{harmless(close[0])}`?"
    return "The columns are: " + ", ".join(harmless(column, 40) for column in known[:20]) + "."
