"""Tables from files, as the estimators take them."""

from pathlib import Path
from typing import Any

import polars as pl

from surrogateshap.frames import read_frame, wrong
from surrogateshap.text import harmless

__all__ = ["positive", "read_frame", "read_rows", "wrong"]


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
