"""Other people's tables: Parquet, CSV or JSON Lines, told apart by what is in them, and their cells."""

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from surrogateshap.errors import Problem, SpecError
from surrogateshap.strangers import UnreadableError, read_file
from surrogateshap.text import harmless
from surrogateshap.units import listed, plural

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

MOST_BYTES = 1 << 30
MOST_COLUMNS = 2_000
MOST_ROWS = 1_000_000
MOST_FOOTER = 16 << 20
MOST_ROOM = 4 << 30
_WIDTHS = {"Boolean": 0.125, "Int8": 1, "UInt8": 1, "Int16": 2, "UInt16": 2, "Int32": 4, "UInt32": 4, "Float32": 4}
_WIDE = 16
"""Bytes of a cell of any other kind, about."""
LARGEST = 1e100
_CELLS = {"1": True, "true": True, "1.0": True, "0": False, "false": False, "0.0": False}
_SHOWN = 5
_KINDS = "A table is Parquet, CSV or JSON Lines, with one row per coalition."


def wrong(file: str, message: str, remedy: str = "", key: str = "") -> SpecError:
    """A single problem of a table."""
    return SpecError([Problem(harmless(file), 0, harmless(key, 80), message, remedy)])


def read_frame(path: Path) -> pl.DataFrame:
    """The table in a file; cells of a CSV stay text. Raises SpecError where there is none, or it is too large."""
    file = str(path)
    try:
        data = read_file(path, follow=True, limit=MOST_BYTES)
    except UnreadableError as error:
        raise wrong(file, str(error), _KINDS) from None
    return frame_of(file, data)


def frame_of(file: str, data: bytes) -> pl.DataFrame:
    """The table in these bytes, which are those of `file`. As `read_frame`."""
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
        _check_parquet(file, data)
        return pl.read_parquet(io.BytesIO(data))
    if data.lstrip()[:1] == b"{":
        return pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
    text = data.decode("utf-8-sig")
    if not text.strip():
        raise wrong(file, "it is empty", _KINDS)
    if "\0" in text:
        raise wrong(file, "it is not a table", _KINDS)
    header = next(csv.reader(io.StringIO(text)))
    if len(header) > MOST_COLUMNS:
        raise wrong(file, f"it has {len(header):,} columns; {MOST_COLUMNS:,} are the most")
    twice = [name for name, times in Counter(header).items() if times > 1]
    if twice:
        raise wrong(file, f"{plural(len(twice), 'column name')} appear more than once: {listed(twice)}")
    return pl.read_csv(io.StringIO(text), infer_schema=False)


def _check_parquet(file: str, data: bytes) -> None:
    """Raises SpecError for a table that is too large, before its cells are unpacked."""
    footer = int.from_bytes(data[-8:-4], "little")
    if not data.endswith(b"PAR1") or footer > len(data):
        raise wrong(file, "it is not a table", _KINDS)
    if footer > MOST_FOOTER:  # it names every column, once per group of rows
        raise wrong(file, f"its description alone has {footer >> 20} MiB; {MOST_COLUMNS:,} columns are the most")
    schema = pl.read_parquet_schema(io.BytesIO(data))
    if len(schema) > MOST_COLUMNS:
        raise wrong(file, f"it has {len(schema):,} columns; {MOST_COLUMNS:,} are the most")
    height = pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item()
    if height > MOST_ROWS:
        raise wrong(file, f"it has {height:,} rows; {MOST_ROWS:,} are the most")
    room = height * sum(_WIDTHS.get(str(kind), _WIDE) for kind in schema.values())
    if room > MOST_ROOM:
        raise wrong(file, f"it would take {room / 1e9:.1f} GB of memory", "Keep the columns and rows that matter.")


def members(column: pl.Series) -> Bools | tuple[int, str]:
    """A contributor's column, or the first row that is neither 0 nor 1."""
    if column.dtype == pl.Boolean and column.null_count() == 0:
        return np.asarray(column.to_numpy(), dtype=np.bool_)
    cells = [_CELLS.get(str(cell).strip().lower()) for cell in column]
    if None in cells:
        row = cells.index(None)
        cell = column[row]
        shown = "an empty cell" if cell is None or str(cell).strip() == "" else f"`{harmless(str(cell), 40)}`"
        return row + 1, shown
    return np.array(cells, dtype=np.bool_)


def numbers(column: pl.Series) -> Floats:
    """NaN where a cell is no number."""
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    if not (column.dtype.is_numeric() or column.dtype == pl.String):
        return np.full(len(column), np.nan)
    return column.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()


def check_finite(file: str, value: str, values: Floats) -> None:
    """Raises SpecError that names the rows without a finite number."""
    bad = np.flatnonzero(~(np.abs(values) < LARGEST))
    if len(bad):
        first = ", ".join(f"{row + 1:,}" for row in bad[:_SHOWN])
        more = f" and {plural(len(bad) - _SHOWN, 'other')}" if len(bad) > _SHOWN else ""
        raise wrong(file, f"no finite number in row {first}{more}", "Leave these rows out or repair them.", value)
