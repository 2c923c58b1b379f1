"""Tables from files: Parquet, CSV or JSON Lines, told apart by what is in them."""

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from surrogateshap.errors import Problem, SpecError
from surrogateshap.text import harmless
from surrogateshap.units import listed, plural

MOST_BYTES = 1 << 30
MOST_COLUMNS = 2_000
MOST_ROWS = 1_000_000
_KINDS = "A table is Parquet, CSV or JSON Lines, with one row per coalition."


def wrong(file: str, message: str, remedy: str = "", key: str = "") -> SpecError:
    """A single problem of a table."""
    return SpecError([Problem(harmless(file), 0, harmless(key, 80), message, remedy)])


def read_frame(path: Path) -> pl.DataFrame:
    """The table in a file; cells of a CSV stay text. Raises SpecError where there is none, or it is too large."""
    file = str(path)
    try:
        if path.is_dir():
            raise wrong(file, "it is a folder, not a file", _KINDS)
        if path.stat().st_size > MOST_BYTES:
            raise wrong(file, f"it is larger than {MOST_BYTES >> 30} GiB", "Keep the columns and rows that matter.")
        data = path.read_bytes()
    except OSError as error:
        raise wrong(file, f"it can't be read: {(error.strerror or 'unknown error').lower()}") from None
    if not data.strip():
        raise wrong(file, "it is empty", _KINDS)
    try:
        frame = _parsed(file, data)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, UnicodeDecodeError, csv.Error):
        raise wrong(file, "it is not a table", _KINDS) from None
    if frame.width > MOST_COLUMNS:
        raise wrong(file, f"it has {frame.width:,} columns; {MOST_COLUMNS:,} are the most")
    if frame.height > MOST_ROWS:
        raise wrong(file, f"it has {frame.height:,} rows; {MOST_ROWS:,} are the most")
    if frame.height == 0:
        raise wrong(file, "it has no rows", _KINDS)
    return frame


def _parsed(file: str, data: bytes) -> pl.DataFrame:
    if data[:4] == b"PAR1":
        height = pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item()
        if height > MOST_ROWS:  # before its cells are unpacked
            raise wrong(file, f"it has {height:,} rows; {MOST_ROWS:,} are the most")
        return pl.read_parquet(io.BytesIO(data))
    if data.lstrip()[:1] == b"{":
        return pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
    text = data.decode("utf-8-sig")
    if "\0" in text:
        raise wrong(file, "it is not a table", _KINDS)
    header = next(csv.reader(io.StringIO(text)))
    if len(header) > MOST_COLUMNS:
        raise wrong(file, f"it has {len(header):,} columns; {MOST_COLUMNS:,} are the most")
    twice = [name for name, times in Counter(header).items() if times > 1]
    if twice:
        raise wrong(file, f"{plural(len(twice), 'column name')} appear more than once: {listed(twice)}")
    return pl.read_csv(io.StringIO(text), infer_schema=False)


def read_rows(path: Path) -> dict[str, int]:
    """Training rows by contributor, from a table with the columns `name` and `rows`. Raises SpecError."""
    frame, file = read_frame(path), str(path)
    for column in ("name", "rows"):
        if column not in frame.columns:
            raise wrong(file, f"there is no column `{column}`", "It needs `name` and `rows`, one row per contributor.")
    found: dict[str, int] = {}
    for position, (name, cell) in enumerate(zip(frame["name"].cast(pl.String), frame["rows"], strict=True), start=1):
        rows = positive(cell)
        if name is None or rows is None:
            raise wrong(file, f"row {position}: {harmless(str(cell), 40)} is no number of rows", key="rows")
        if found.setdefault(name, rows) != rows:
            raise wrong(file, f"row {position}: {harmless(name)} has {rows:,} rows here and {found[name]:,} before")
    return found


def positive(cell: Any) -> int | None:
    """A cell as a number of rows; None where it isn't one."""
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() and 1 <= number <= 1e12 else None
