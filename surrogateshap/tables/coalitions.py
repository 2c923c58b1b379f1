"""What a table says: who is in each coalition, and what it is worth."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from surrogateshap.errors import Problem, SpecError
from surrogateshap.frames import LARGEST, check_finite, members, numbers, wrong
from surrogateshap.games.encoded import Bools, Floats, Ints
from surrogateshap.text import harmless
from surrogateshap.units import listed

if TYPE_CHECKING:
    import polars as pl

MOST_CONTRIBUTORS = 1_000


@dataclass(frozen=True)
class CoalitionTable:
    """Coalitions, without ∅ and N, and the game's two ends."""

    file: str
    value: str
    """Name of the column with the values."""
    names: tuple[str, ...]
    masks: Bools
    """(M, n)."""
    values: Floats
    """(M,)."""
    v_empty: float
    v_full: float
    rows: Ints | None
    """(n,): training rows."""


def from_frame(
    frame: "pl.DataFrame",
    value: str,
    empty: float | None,
    full: float | None,
    rows: Mapping[str, int] | Sequence[int] | None = None,
    file: str = "table",
) -> CoalitionTable:
    """The coalitions of a table with one 0/1 column per contributor. Raises SpecError with what is wrong.

    Where `value` begins with `value.`, other columns that do hold other games' values and are no contributors, and
    rows without a value of this game are left out.
    """
    if value not in frame.columns:
        near = difflib.get_close_matches(value, frame.columns, n=1, cutoff=0.5)
        games = [column for column in frame.columns if column.startswith("value.")]
        offered = f"Name it with --value: {listed(games)}." if games else "Name the column of values with --value."
        remedy = f"Did you mean `{harmless(near[0])}`? Name it with --value." if near and not games else offered
        raise wrong(file, f"there is no column `{harmless(value)}`", remedy)
    others = value.startswith("value.")
    names = [c for c in frame.columns if c != value and not (others and c.startswith("value."))]
    if others:
        frame = frame.filter(_filled(frame[value]))
        if frame.height == 0:
            raise wrong(file, "no row has a value", "Name another column with --value.", value)
    columns = {name: members(frame[name]) for name in names}
    problems = [
        Problem(
            harmless(file),
            0,
            harmless(name, 80),
            f"row {row}: {shown} is neither 0 nor 1",
            "Leave out what is no contributor.",
        )
        for name, found in columns.items()
        if not isinstance(found, np.ndarray)
        for row, shown in [found]
    ]
    if problems:
        raise SpecError(problems)
    masks = np.column_stack([*columns.values()]) if names else np.zeros((frame.height, 0), dtype=np.bool_)
    return from_arrays(masks, numbers(frame[value]), names, empty, full, rows, file=file, value=value)


def from_arrays(
    masks: Any,
    values: Any,
    names: Sequence[str] | None,
    empty: float | None,
    full: float | None,
    rows: Mapping[str, int] | Sequence[int] | None = None,
    *,
    file: str = "table",
    value: str = "value",
) -> CoalitionTable:
    """The coalitions (M, n) of arrays. Raises SpecError with what is wrong.

    `empty` and `full` may be None where rows of the table hold ∅ and N.
    """
    cells, level = np.asarray(masks), np.asarray(values, dtype=np.float64)
    if cells.ndim != 2 or level.shape != (len(cells),):
        raise wrong(file, f"coalitions are {cells.shape} and values {level.shape}; (M, n) and (M,) are needed")
    if not np.isin(cells, (0, 1)).all():
        row, column = np.argwhere(~np.isin(cells, (0, 1)))[0]
        raise wrong(file, f"row {row + 1}, column {column + 1}: {harmless(str(cells[row, column]))} is neither 0 nor 1")
    n = cells.shape[1]
    if n == 0:
        raise wrong(file, "there is no column of a contributor", "Each contributor has a column of 0 and 1.")
    if n > MOST_CONTRIBUTORS:
        raise wrong(file, f"there are {n:,} contributors; {MOST_CONTRIBUTORS:,} are the most")
    called = tuple(names) if names is not None else tuple(str(i) for i in range(n))
    if len(called) != n or len(set(called)) != n:
        raise wrong(file, f"{n} contributors need {n} different names")
    check_finite(file, value, level)
    inside = cells.astype(np.bool_)
    is_empty, is_full = np.asarray(~inside.any(axis=1)), np.asarray(inside.all(axis=1))
    v_empty = _end(file, value, "∅", "--empty", empty, level, is_empty)
    v_full = _end(file, value, "N", "--full", full, level, is_full)
    inner = ~is_empty & ~is_full
    if n > 1 and not inner.any():
        raise wrong(file, "there is no coalition in it but ∅ and N", "Shapley values need others.")
    held = None if rows is None else _rows(file, called, rows)
    return CoalitionTable(file, value, called, inside[inner], level[inner], v_empty, v_full, held)


def _filled(column: "pl.Series") -> "pl.Series":
    """Whether a cell holds anything, be it no number."""
    import polars as pl

    filled = column.is_not_null()
    return filled & (column.str.strip_chars() != "") if column.dtype == pl.String else filled


def _end(file: str, value: str, which: str, option: str, given: float | None, values: Floats, rows: Bools) -> float:
    """v(∅) or v(N): as given, or as the table has it; the two must agree."""
    there = values[rows]
    if given is None:
        if len(there) == 0:
            raise wrong(file, f"v({which}) is not in the table", f"Give it with {option}.")
        return float(there.mean())
    if not abs(given) < LARGEST:
        raise wrong(file, f"{option} is {given}, no finite number")
    off = there[~np.isclose(there, given, rtol=1e-6, atol=1e-12)]
    if len(off):
        row = np.flatnonzero(rows)[~np.isclose(there, given, rtol=1e-6, atol=1e-12)][0] + 1
        message = f"row {row:,} says that v({which}) is {float(off[0]):.10g}, {option} says {given:.10g}"
        raise wrong(file, message, f"Leave out {option}, or the row.", value)
    return float(given)


def _rows(file: str, names: tuple[str, ...], rows: Mapping[str, int] | Sequence[int]) -> Ints:
    if isinstance(rows, Mapping):
        missing = [name for name in names if name not in rows]
        if missing:
            raise wrong(file, f"no number of rows for {listed(missing)}", "--rows needs every contributor.")
        found = [rows[name] for name in names]
    else:
        found = list(rows)
    if len(found) != len(names) or any(count != int(count) or not 1 <= count <= 1e12 for count in found):
        raise wrong(file, f"rows must be {len(names)} whole numbers, 1 or more")
    return np.array(found, dtype=np.int64)
