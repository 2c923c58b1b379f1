"""The manifest: which contributor supplied which rows, under which condition. Read lazily with polars."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from surrogateshap.text import harmless

if TYPE_CHECKING:
    from surrogateshap.errors import Problem
    from surrogateshap.spec.load import Loaded
    from surrogateshap.spec.model import GroupingSection

JOINT = " / "
"""Between the values of several columns that together name a contributor."""


@dataclass(frozen=True)
class Grouping:
    """Contributors that one grouping makes, sorted by name."""

    name: str
    contributors: tuple[str, ...]
    rows: np.ndarray
    """(n,) int64: rows of each contributor."""
    of_row: np.ndarray
    """(R,) int32: contributor of each manifest row."""


@dataclass(frozen=True)
class Manifest:
    """What the planner needs of the R rows; the images stay in the file."""

    path: Path
    conditions: tuple[str, ...]
    """Distinct conditions, sorted."""
    condition_of_row: np.ndarray
    """(R,) int32."""
    groupings: tuple[Grouping, ...]
    image: str | None
    """Column with the images."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.condition_of_row)

    def images(self, rows: np.ndarray, column: str | None = None) -> dict[int, bytes]:
        """Encoded images of the given rows. A row without an image is left out. Raises OSError on a broken file."""
        return dict(read_images(self.path, column or self.image or "", rows))


def read_images(
    path: Path, column: str, rows: np.ndarray | None = None, at_most: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yields (row, encoded image) of a Parquet file's image column, in file order; rows without an image are left out.

    The column holds bytes, or structs with a `bytes` field as Hugging Face `datasets` writes them. `at_most` takes that
    many evenly spaced rows of a longer file. Raises OSError where the file can't be read.
    """
    height = _collect(_scan(path).select(pl.len()))["len"][0]
    if at_most is not None and height > at_most:
        rows = np.linspace(0, height - 1, at_most).round().astype(np.int64)
    frame = _scan(path).select(pl.col(column)).with_row_index("row")
    if rows is not None:
        frame = frame.filter(pl.col("row").is_in(pl.Series(np.unique(rows), dtype=pl.UInt32).implode()))
    table = _collect(frame)
    values = table[column]
    if isinstance(values.dtype, pl.Struct):
        values = values.struct.field("bytes")
    for row, value in zip(table["row"], values, strict=True):
        if value is not None:
            yield row, value


def read_rows(path: Path, rows: np.ndarray) -> pl.DataFrame:
    """The given rows of a Parquet file, in file order: all of its columns, after a column `row` with their numbers.

    The column is `row_` where the file has a `row` of its own, and so on. Raises OSError where it can't be read.
    """
    column, taken = "row", set(parquet_schema(path))
    while column in taken:
        column += "_"
    kept = pl.Series(np.asarray(rows), dtype=pl.UInt32).implode()
    return _collect(_scan(path).with_row_index(column).filter(pl.col(column).is_in(kept)))


def _scan(path: Path) -> pl.LazyFrame:
    """One file, whatever its name: `*` and `[…]` in it are no patterns."""
    return pl.scan_parquet(path, glob=False)


def _collect(frame: pl.LazyFrame) -> pl.DataFrame:
    """Raises OSError where the file is damaged."""
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise OSError("it looks damaged") from error


def parquet_schema(path: Path) -> pl.Schema:
    """Columns and types of a Parquet file. Raises OSError saying why it can't be read."""
    if not path.exists():
        raise OSError("there is no such file")
    if path.is_dir():
        raise OSError("it is a folder, not a file")
    try:
        return _scan(path).collect_schema()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        raise OSError("it is not a Parquet file") from None


def is_image_column(dtype: pl.DataType) -> bool:
    """Whether a column of this type can hold encoded images."""
    if isinstance(dtype, pl.Struct):
        return any(field.name == "bytes" and field.dtype == pl.Binary for field in dtype.fields)
    return dtype == pl.Binary


def nearest(name: str, known: list[str]) -> str:
    """A remedy that offers the nearest known name, or lists what there is."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean `{harmless(close[0])}`?"
    return "The columns are: " + ", ".join(harmless(column, 40) for column in known[:20]) + "."


def read_manifest(loaded: "Loaded", path: Path) -> tuple[Manifest | None, list["Problem"]]:
    """Reads the columns that the spec names. Returns every problem found; None where it can't be used at all."""
    section = loaded.spec.contributors
    try:
        schema = parquet_schema(path)
    except OSError as error:
        remedy = "A manifest is a Parquet file with one row per training image."
        return None, [loaded.problem(("contributors", "manifest"), f"`{harmless(section.manifest)}`: {error}", remedy)]
    problems = _column_problems(loaded, schema)
    if problems:
        return None, problems
    columns = {section.condition, *(column for grouping in section.grouping for column in grouping.by)}
    try:
        table = _collect(_scan(path).select(pl.col(sorted(columns)).cast(pl.String)))
        missing = 0 if section.image is None else table.height - count_images(path, section.image)
    except OSError as error:
        message = f"`{harmless(section.manifest)}` can't be read: {error}"
        return None, [loaded.problem(("contributors", "manifest"), message, "Write it again.")]
    if table.height == 0:
        message = f"`{harmless(section.manifest)}` has no rows"
        return None, [loaded.problem(("contributors", "manifest"), message, "It needs one row per training image.")]
    conditions, condition_of_row = _codes(table[section.condition])
    if "" in conditions:
        empty = int((condition_of_row == conditions.index("")).sum())
        message = f"{empty} rows have no `{harmless(section.condition)}`"
        problems.append(loaded.problem(("contributors", "condition"), message, "Fill them in, or leave the rows out."))
    groupings = []
    for position, rule in enumerate(section.grouping):
        grouping, found = _group(loaded, position, rule, table)
        problems += found
        groupings.append(grouping)
    if missing:
        message = f"{missing} rows have no image"
        problems.append(loaded.problem(("contributors", "image"), message, "Fill them in, or leave the rows out."))
    if problems:
        return None, problems
    return Manifest(path, conditions, condition_of_row, tuple(groupings), section.image), []


def count_images(path: Path, column: str) -> int:
    """How many rows of an image column hold an image. Raises OSError where the file can't be read."""
    frame = _scan(path)
    values = pl.col(column)
    if isinstance(frame.collect_schema()[column], pl.Struct):
        values = values.struct.field("bytes")
    return int(_collect(frame.select(values.count().alias("images")))["images"][0])


def _column_problems(loaded: "Loaded", schema: pl.Schema) -> list["Problem"]:
    section = loaded.spec.contributors
    asked: list[tuple[tuple[str | int, ...], str]] = [(("contributors", "condition"), section.condition)]
    if section.image is not None:
        asked.append((("contributors", "image"), section.image))
    for position, grouping in enumerate(section.grouping):
        asked += [(("contributors", "grouping", position, "by"), column) for column in grouping.by]
    problems = []
    for key, column in asked:
        if column not in schema:
            message = f"the manifest has no column `{harmless(column)}`"
            problems.append(loaded.problem(key, message, nearest(column, schema.names())))
        elif key[-1] == "image":
            if not is_image_column(schema[column]):
                message = f"column `{harmless(column)}` holds {schema[column]}, not images"
                problems.append(loaded.problem(key, message, "It must hold encoded images (PNG, JPEG, …) as bytes."))
        elif schema[column].is_nested() or schema[column] == pl.Binary:
            message = f"column `{harmless(column)}` holds {schema[column]}, not names"
            problems.append(loaded.problem(key, message, "It must hold text or numbers."))
    return problems


def _codes(values: pl.Series) -> tuple[tuple[str, ...], np.ndarray]:
    """Distinct values, sorted (nulls count as empty text), and the position of each row's value among them."""
    filled = values.fill_null("").rename("value")
    distinct = filled.unique().sort()
    codes = pl.DataFrame({"value": distinct, "code": np.arange(len(distinct), dtype=np.int32)})
    joined = filled.to_frame().join(codes, on="value", how="left", maintain_order="left")
    return tuple(distinct), joined["code"].to_numpy()


def _group(
    loaded: "Loaded", position: int, rule: "GroupingSection", table: pl.DataFrame
) -> tuple[Grouping, list["Problem"]]:
    key: tuple[str | int, ...] = ("contributors", "grouping", position)
    problems = []
    unnamed = table.select(pl.any_horizontal(pl.col(rule.by).is_null() | (pl.col(rule.by) == ""))).to_series().sum()
    if unnamed:
        message = f"{unnamed} rows have no {' or '.join(f'`{harmless(column)}`' for column in rule.by)}"
        problems.append(loaded.problem((*key, "by"), message, "Every row needs a contributor; fill them in."))
    names, codes = _codes(table.select(pl.concat_str(pl.col(rule.by), separator=JOINT)).to_series())
    if len(rule.by) > 1 and table.select(rule.by).n_unique() != len(names):
        message = f"joining {harmless(', '.join(rule.by))} with `{JOINT}` gives different contributors the same name"
        problems.append(loaded.problem((*key, "by"), message, f"Values must not contain `{JOINT}`."))
    rows = np.bincount(codes, minlength=len(names)).astype(np.int64)
    small = rows < rule.min_rows
    if small.any() and rule.other is None:
        listed = ", ".join(harmless(name, 40) for name, few in zip(names, small, strict=True) if few)
        message = f"contributors with fewer than {rule.min_rows} rows: {harmless(listed)}"
        problems.append(loaded.problem((*key, "min_rows"), message, 'Pool them with `other = "…"`, or lower it.'))
    elif small.any() and rule.other is not None:
        kept = [name for name, few in zip(names, small, strict=True) if not few]
        if rule.other in kept:
            message = f"`{harmless(rule.other)}` is a contributor of its own"
            problems.append(loaded.problem((*key, "other"), message, "Choose a name that no contributor has."))
        merged = tuple(sorted({*kept, rule.other}))
        where = {name: index for index, name in enumerate(merged)}
        new = np.array([where[rule.other if few else name] for name, few in zip(names, small, strict=True)], np.int32)
        names, codes = merged, new[codes]
        rows = np.bincount(codes, minlength=len(names)).astype(np.int64)
    return Grouping(rule.name, names, rows, codes), problems
