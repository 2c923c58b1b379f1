"""`where`: which rows of a manifest count."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from surrogateshap.plan.manifest.files import careful
from surrogateshap.text import harmless
from surrogateshap.units import listed

if TYPE_CHECKING:
    from surrogateshap.errors import Problem
    from surrogateshap.spec.load import Loaded
    from surrogateshap.spec.section import Scalar

LARGEST = 1e300
_SHOWN = 8


def chosen_rows(loaded: "Loaded", table: pl.DataFrame, *, text: bool) -> tuple[np.ndarray, list["Problem"]]:
    """Numbers of the rows of `table` that `where` names, (R,) int64, and what is wrong with it.

    `text` says that the table's columns are text whatever they hold, as those of a CSV file.
    """
    mask = np.ones(table.height, dtype=np.bool_)
    problems = []
    for column, wanted in loaded.spec.contributors.where.items():
        values = table[column]
        key = ("contributors", "where", column)
        alternatives = wanted if isinstance(wanted, tuple) else (wanted,)
        found = [_matches(values, value, text) for value in alternatives]
        strange = [value for value, match in zip(alternatives, found, strict=True) if match is None]
        known = [match for match in found if match is not None]
        shown = f"`{harmless(column)}`"
        if strange:
            message = f"column {shown} holds {values.dtype}, which `{harmless(str(strange[0]), 40)}` is not"
            problems.append(loaded.problem(key, message, _there(values)))
            continue
        own = np.logical_or.reduce(known)
        if not own.any():
            message = f"no row's {shown} is {listed([str(value) for value in alternatives], _SHOWN)}"
            problems.append(loaded.problem(key, message, _there(values)))
        mask &= own
    if not problems and not mask.any():
        message = "no row has all that `where` asks for"
        problems.append(loaded.problem(("contributors", "where"), message, "Each part of it alone has rows."))
    return np.flatnonzero(mask), problems


def _matches(values: pl.Series, wanted: "Scalar", text: bool) -> np.ndarray | None:
    """(R,) bool: which values are the wanted one; None where they are of another type altogether."""
    kind = values.dtype
    match: pl.Series
    if isinstance(wanted, bool):
        if kind != pl.Boolean and not text:
            return None
        match = values == wanted if kind == pl.Boolean else values.str.to_lowercase() == str(wanted).lower()
    elif isinstance(wanted, str):
        if not (kind == pl.String or isinstance(kind, pl.Categorical | pl.Enum) or kind.is_temporal()):
            return None
        match = values.cast(pl.String) == wanted
    elif kind.is_integer() and isinstance(wanted, int):
        if abs(wanted) >= 2**64:
            return np.zeros(len(values), dtype=np.bool_)
        match = values.cast(pl.Int128) == pl.Series([wanted], dtype=pl.Int128)
    elif (kind.is_numeric() or text) and abs(wanted) < LARGEST:
        match = values.cast(pl.Float64, strict=False) == float(wanted)
    else:
        return None
    return careful(lambda: match.fill_null(value=False).to_numpy())


def _there(values: pl.Series) -> str:
    """What a column holds, as a remedy."""
    distinct = values.drop_nulls().unique().sort().cast(pl.String) if not values.dtype.is_nested() else None
    if distinct is None or len(distinct) == 0:
        return "It holds nothing that could be named."
    return f"It holds {_some(distinct)}."


def _some(distinct: pl.Series) -> str:
    shown: Sequence[str] = distinct.head(_SHOWN).to_list()
    return ", ".join(harmless(value, 40) for value in shown) + (" …" if len(distinct) > _SHOWN else "")
