"""One contributor of a finished run: what it is made of, and where its value comes from. Reads, and writes nothing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from surrogateshap.estimate.by_size import SizeValue, value_by_size
from surrogateshap.events import GameInfo
from surrogateshap.plan.compile import Compiled
from surrogateshap.record.contributor import Condition, ContributorData, Overlap

MOST = 20
"""Conditions, and contributors of other groupings, that are told."""


def made_of(compiled: Compiled, grouping: str, name: str) -> ContributorData:
    """Rows, conditions, and who in other groupings has the same rows; nothing where there is no such contributor."""
    manifest = compiled.checked.manifest
    groupings = {one.name: one for one in manifest.groupings}
    own = groupings[grouping]
    if name not in own.contributors:
        return ContributorData()
    rows = np.flatnonzero(own.of_row == own.contributors.index(name))
    counts = np.bincount(manifest.condition_of_row[rows], minlength=len(manifest.conditions))
    order = np.argsort(-counts, kind="stable")[:MOST]
    conditions = [Condition(str(manifest.conditions[at]), int(counts[at])) for at in order if counts[at]]
    overlaps = [
        Overlap(other.name, other.contributors[at], int(shared), float(shared / other.rows[at]))
        for other in groupings.values()
        if other is not own
        for at, shared in enumerate(np.bincount(other.of_row[rows], minlength=len(other.contributors)))
        if shared
    ]
    overlaps.sort(key=lambda one: (-one.rows, one.grouping, one.name))
    return ContributorData(len(rows), tuple(conditions), int((counts > 0).sum()), tuple(overlaps[:MOST]))


def sizes_of(folder: Path, game: GameInfo, contributors: Sequence[str], name: str) -> tuple[SizeValue, ...]:
    """`value_by_size` from a run folder's coalition values; empty where they are not there.

    `contributors` are all of the game's. Raises OSError and polars' errors for files that can't be read.
    """
    column = f"value.{game.utility}.{game.proxy}"
    for path in sorted(folder.glob("coalitions-*.parquet")):
        columns = [one for one in pl.read_parquet_schema(path) if one == column or not one.startswith("value.")]
        if column not in columns or name not in contributors or {*columns} - {column} != {*contributors}:
            continue
        frame = pl.read_parquet(path, columns=columns).filter(pl.col(column).is_not_null())
        names = [one for one in columns if one != column]
        masks, values = frame.select(names).to_numpy().astype(np.bool_), frame[column].to_numpy()
        none, full = ~masks.any(axis=1), masks.all(axis=1)
        if none.any() and full.any():
            inner = ~none & ~full
            ends = float(values[none][0]), float(values[full][0])
            return value_by_size(masks[inner], values[inner], *ends, names.index(name))
    return ()
