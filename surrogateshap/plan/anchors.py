"""A table of anchors: coalitions whose models were really trained, and what each utility measured on them."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from surrogateshap.errors import Problem, SpecError
from surrogateshap.frames import Bools, Floats, check_finite, members, numbers, read_frame, wrong
from surrogateshap.text import harmless
from surrogateshap.units import listed, plural

if TYPE_CHECKING:
    import polars as pl

LEAST = 3
FEW = 10
"""Below this little can be said of agreement."""
MOST = 10_000
_VALUE = "value"
_SHOWN = 5


@dataclass(frozen=True)
class Anchors:
    """m different coalitions of one grouping's contributors, never ∅, in the table's order."""

    masks: Bools
    """(m, n)."""
    values: Mapping[str, Floats]
    """By utility: (m,)."""
    notes: tuple[str, ...]
    """What to know of the table."""


def read_anchors(path: Path, contributors: Sequence[str], utilities: Sequence[str], only: str | None = None) -> Anchors:
    """The anchors in a file: Parquet, CSV or JSON Lines. As `anchors_of`."""
    return anchors_of(read_frame(path), str(path), contributors, utilities, only)


def anchors_of(
    frame: "pl.DataFrame", file: str, contributors: Sequence[str], utilities: Sequence[str], only: str | None = None
) -> Anchors:
    """The anchors of a table with a 0/1 column per contributor and `value.UTILITY` columns, or one `value`.

    `value` belongs to the only utility, or to `only`, which leaves out all others. Rows of equal coalitions are
    averaged; ∅ is left out. Raises SpecError with everything that is wrong, problems with columns first.
    """
    columns = _columns(frame, file, contributors, utilities, only)
    found = {name: members(frame[name]) for name in contributors}
    problems = [
        Problem(harmless(file), 0, harmless(name, 80), f"row {cell[0]}: {cell[1]} is neither 0 nor 1")
        for name, cell in found.items()
        if not isinstance(cell, np.ndarray)
    ]
    values: dict[str, Floats] = {}
    for utility, column in columns.items():
        values[utility] = numbers(frame[column])
        try:
            check_finite(file, column, values[utility])
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return _pooled(file, np.column_stack([*found.values()]).astype(np.bool_), values)


def _columns(
    frame: "pl.DataFrame", file: str, contributors: Sequence[str], utilities: Sequence[str], only: str | None
) -> dict[str, str]:
    """The column of each utility that the table has values of."""
    problems = []

    def problem(key: str, message: str, remedy: str) -> None:
        problems.append(Problem(harmless(file), 0, harmless(key, 80), message, remedy))

    others = [name for name in frame.columns if name not in set(contributors)]
    strange = [name for name in others if name != _VALUE and not name.startswith(f"{_VALUE}.")]
    missing = [name for name in contributors if name not in frame.columns]
    if missing:
        near = [close for name in missing if (close := _nearest(name, strange))]
        remedy = f"Did you mean to call them so: {listed(near, _SHOWN)}?" if near else "Each has a column of 0 and 1."
        problem("", f"there is no column of {plural(len(missing), 'contributor')}: {listed(missing, _SHOWN)}", remedy)
    if strange:
        near = [close for name in strange if (close := _nearest(name, missing or contributors))]
        remedy = f"Did you mean {listed(list(dict.fromkeys(near)), _SHOWN)}?" if near else "Leave them out."
        what = f"{plural(len(strange), 'column')} of no contributor of the grouping: {listed(strange, _SHOWN)}"
        problem("", what, remedy)
    wanted = [only] if only is not None else list(utilities)
    columns = {name: f"{_VALUE}.{name}" for name in wanted if f"{_VALUE}.{name}" in others}
    if _VALUE in others:
        if len(wanted) != 1:
            known = f"There are {listed(list(utilities))}."
            problem(_VALUE, "which utility's values are they?", f"Call the column `value.UTILITY`. {known}")
        elif columns:
            problem(_VALUE, f"`{_VALUE}` and `{_VALUE}.{harmless(wanted[0])}` are there", "Keep one of them.")
        else:
            columns = {wanted[0]: _VALUE}
    elif not columns:
        there = [name for name in others if name.startswith(f"{_VALUE}.")]
        names = [f"{_VALUE}.{name}" for name in wanted]
        close = next((close for name in there if (close := _nearest(name, names))), None)
        remedy = f"Did you mean `{harmless(close)}`?" if close else f"It needs {listed(names)}, or one of them."
        problem(_VALUE, "there is no column with values of a utility of the spec", remedy)
    if problems:
        raise SpecError(problems)
    return columns


def _nearest(name: str, known: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name[:100], [other[:100] for other in known[:2_000]], n=1)), None)


def _pooled(file: str, masks: Bools, values: Mapping[str, Floats]) -> Anchors:
    notes = []
    inner = masks.any(axis=1)
    if not inner.all():
        notes.append(f"Left out of the anchors: {plural(int((~inner).sum()), 'row')} of ∅.")
    masks = masks[inner]
    _, first, of_row = np.unique(np.packbits(masks, axis=1), axis=0, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))[of_row.reshape(-1)]  # in the table's order
    distinct, times = masks[np.sort(first)], np.bincount(place, minlength=len(first))
    means, differ = {}, np.zeros(len(first), dtype=np.bool_)
    for utility, level in values.items():
        level = level[inner]
        mean = np.bincount(place, weights=level, minlength=len(first)) / np.maximum(times, 1)
        off = np.bincount(place, weights=np.abs(level - mean[place]), minlength=len(first))
        differ |= off > 1e-12 * np.abs(level).max(initial=0.0)
        means[utility] = mean
    if differ.any():
        notes.append(f"Averaged, because rows of the same coalition differ: {plural(int(differ.sum()), 'anchor')}.")
    if len(distinct) < LEAST:
        message = f"there are {len(distinct)} different coalitions in it besides ∅; at least {LEAST} are needed"
        raise wrong(file, message, "Tens of them say how far a proxy can be believed.")
    if len(distinct) > MOST:
        raise wrong(file, f"there are {len(distinct):,} different coalitions in it; {MOST:,} are the most")
    if len(distinct) < FEW:
        notes.append(f"There are only {len(distinct)} anchors: their agreement says little.")
    return Anchors(distinct, means, tuple(notes))
