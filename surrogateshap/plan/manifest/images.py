"""Training images: encoded bytes in a column, as they are or in structs as `datasets` writes them, or files."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from surrogateshap.plan.manifest.files import Part, collect, parquet_schema
from surrogateshap.plan.manifest.table import Table
from surrogateshap.text import harmless

_MOST_BYTES = 1 << 28
_OUTSIDE = r"^[/\\~]|(^|[/\\])\.\.([/\\]|$)|\x00|://|^[A-Za-z]:"
"""What no path inside a folder holds."""


def is_image_column(dtype: pl.DataType) -> bool:
    """Whether a column of this type can hold encoded images."""
    if isinstance(dtype, pl.Struct):
        return any(field.name == "bytes" and field.dtype == pl.Binary for field in dtype.fields)
    return dtype == pl.Binary


def holds_images(dtype: pl.DataType) -> bool:
    """Whether a column of this type can hold encoded images or paths of image files."""
    return _has_bytes(dtype) or _has_paths(dtype)


def _has_bytes(dtype: pl.DataType) -> bool:
    return is_image_column(dtype)


def _has_paths(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.Struct):
        return any(field.name == "path" and field.dtype == pl.String for field in dtype.fields)
    return dtype == pl.String


def _bytes_of(column: str, dtype: pl.DataType) -> pl.Expr:
    """The encoded images of a column; null where there is none."""
    if not _has_bytes(dtype):
        return pl.lit(None, dtype=pl.Binary)
    return pl.col(column).struct.field("bytes") if isinstance(dtype, pl.Struct) else pl.col(column)


def _paths_of(column: str, dtype: pl.DataType) -> pl.Expr:
    """The paths that stand in the place of images; null where there are none."""
    if not _has_paths(dtype):
        return pl.lit(None, dtype=pl.String)
    if not isinstance(dtype, pl.Struct):
        return pl.when(pl.col(column) != "").then(pl.col(column))
    path = pl.col(column).struct.field("path")
    return pl.when((path != "") & _bytes_of(column, dtype).is_null()).then(path)


def look_at_images(table: Table, column: str) -> tuple[np.ndarray, pl.Series | None]:
    """Which rows have an image, (R,) bool, and their paths where images are files. Raises OSError."""
    dtype = table.schema[column]
    there = _bytes_of(column, dtype).is_not_null().alias("there")
    if not _has_paths(dtype):
        return table.read([column], there)["there"].to_numpy(), None
    found = table.read([column], there, _paths_of(column, dtype).alias("path"))
    paths = found["path"] if found["path"].null_count() < len(found) else None
    return (found["there"] | found["path"].is_not_null()).to_numpy(), paths


def first_outside(paths: pl.Series) -> int | None:
    """Position of the first path that can't lie inside a folder."""
    found = paths.str.contains(_OUTSIDE).fill_null(value=False).arg_true()
    return int(found[0]) if len(found) else None


def images_of(table: Table, column: str, rows: np.ndarray) -> Iterator[tuple[int, bytes]]:
    """Yields (row, encoded image) of the given rows, in order; rows without an image are left out. Raises OSError."""
    dtype = table.schema[column]
    made = (_bytes_of(column, dtype).alias("bytes"), _paths_of(column, dtype).alias("path"))
    for numbers, frame in table.pick([column], rows):
        found = frame.select(*made)
        for row, data, path in zip(numbers.tolist(), found["bytes"], found["path"], strict=True):
            if data is not None:
                yield row, data
            elif path is not None:
                yield row, read_image_file(table, row, path)


def read_image_file(table: Table, row: int, path: str) -> bytes:
    """The file that a path names, from the manifest's folder or from that of the row's file. Raises OSError."""
    shown = f"the image {harmless(path, 80)} of row {row}"
    root = Path(os.path.realpath(table.root))
    part = next(part for part, end in zip(table.parts, np.cumsum(table.heights), strict=True) if row < end)
    for start in dict.fromkeys((root, part.path.parent)):
        try:
            found = Path(os.path.realpath(start / path))
            status = found.stat() if found.is_relative_to(root) else None
            if status is not None and stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_BYTES:
                return found.read_bytes()
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise OSError(f"{shown} can't be read: {getattr(error, 'strerror', None) or 'it is no path'}") from None
        if status is None:
            raise OSError(f"{shown} lies outside the manifest's folder")
        raise OSError(f"{shown} is no regular file of at most {_MOST_BYTES >> 20} MiB")
    raise OSError(f"{shown} is not there")


def spread(height: int, at_most: int | None) -> np.ndarray:
    """All of so many positions, or `at_most` evenly spaced ones."""
    if at_most is None or height <= at_most:
        return np.arange(height)
    return np.linspace(0, height - 1, at_most).round().astype(np.int64)


def read_images(
    path: Path, column: str, rows: np.ndarray | None = None, at_most: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yields (row, encoded image) of a Parquet file's image column, in file order; rows without an image are left out.

    The column holds bytes, or structs with a `bytes` field as Hugging Face `datasets` writes them. `at_most` takes that
    many evenly spaced rows of a longer file. Raises OSError where the file can't be read.
    """
    parquet_schema(path)
    table = Table(path.parent, (Part(path, "parquet"),))
    return images_of(table, column, spread(table.rows, at_most) if rows is None else rows)


def count_images(path: Path, column: str) -> int:
    """How many rows of a Parquet file's image column hold an image. Raises OSError where the file can't be read."""
    values = _bytes_of(column, parquet_schema(path)[column])
    frame = collect(pl.scan_parquet(path, glob=False).select(values.count().alias("images")))
    return int(frame["images"][0])
