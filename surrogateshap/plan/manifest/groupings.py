"""From rows to contributors: by one column or several, or by a table of groups."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from surrogateshap.plan.manifest.files import ManifestRefused, nearest
from surrogateshap.plan.manifest.model import Grouping
from surrogateshap.plan.manifest.opening import open_table
from surrogateshap.plan.model import InputFile
from surrogateshap.spec.paths import PathRefused, resolve
from surrogateshap.text import harmless
from surrogateshap.units import listed, plural

if TYPE_CHECKING:
    from surrogateshap.errors import Problem
    from surrogateshap.spec.load import Loaded
    from surrogateshap.spec.model import GroupingSection

JOINT = " / "
"""Between the values of several columns that together name a contributor."""
CONTRIBUTOR = "contributor"
"""Column of a table of groups."""
_SHOWN = 5
_MOST_GROUPS = 10_000_000


def codes_of(values: pl.Series, most_sorted: int | None = None) -> tuple[list[str], np.ndarray]:
    """Distinct values, sorted (nulls count as empty text), and the position of each row's value among them, int32.

    More distinct values than `most_sorted` are in the order of their first rows.
    """
    filled = values.fill_null("").rename("value")
    hashes = filled.hash().to_numpy()
    if most_sorted is not None and len(filled) > most_sorted and np.diff(np.sort(hashes)).all():
        return filled.to_list(), np.arange(len(filled), dtype=np.int32)  # captions, every one another
    _, first, code = np.unique(hashes, return_index=True, return_inverse=True)
    names = filled.gather(first)
    if not (names.gather(code) == filled).all():  # two values with one hash
        names = filled.unique(maintain_order=True)
        table = pl.DataFrame({"value": names, "code": np.arange(len(names))})
        code = filled.to_frame().join(table, on="value", how="left", maintain_order="left")["code"].to_numpy()
        first = np.arange(len(names))
    many = most_sorted is not None and len(names) > most_sorted
    order = np.argsort(first) if many else names.arg_sort().to_numpy()
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order))
    return names.gather(order).to_list(), place[code]


class Grouper:
    """One grouping of a spec; what is wrong with it gathers in `problems`."""

    def __init__(self, loaded: "Loaded", position: int, allow: Sequence[Path] = ()) -> None:
        self._loaded = loaded
        self._rule: GroupingSection = loaded.spec.contributors.grouping[position]
        self._key: tuple[str | int, ...] = ("contributors", "grouping", position)
        self._allow = allow
        self.problems: list[Problem] = []
        self.inputs: list[InputFile] = []
        """The table of groups, where there is one."""

    def group(self, table: pl.DataFrame) -> Grouping:
        """The contributors of a table of text columns; of no use where there are problems."""
        rule = self._rule
        missing = [pl.col(column).is_null() | (pl.col(column) == "") for column in rule.by]
        unnamed = int(table.select(pl.any_horizontal(missing).sum()).item())
        if unnamed:
            message = f"{unnamed} rows have no {' or '.join(f'`{harmless(column)}`' for column in rule.by)}"
            self._problem("by", message, "Every row needs a contributor; fill them in.")
        if rule.groups is not None:
            names, codes = self._by_table(table.select(rule.by), rule.groups)
        else:
            names, codes = self._by_columns(table)
        return self._pooled(names, codes)

    def _problem(self, key: str, message: str, remedy: str) -> None:
        self.problems.append(self._loaded.problem((*self._key, key), message, remedy))

    def _by_columns(self, table: pl.DataFrame) -> tuple[list[str], np.ndarray]:
        by = self._rule.by
        if len(by) == 1:
            return codes_of(table[by[0]])
        names, codes = codes_of(table.select(pl.concat_str(pl.col(by), separator=JOINT)).to_series())
        if table.select(by).n_unique() != len(names):
            message = f"joining {harmless(', '.join(by))} with `{JOINT}` gives different contributors the same name"
            self._problem("by", message, f"Values must not contain `{JOINT}`.")
        return names, codes

    def _by_table(self, table: pl.DataFrame, source: str) -> tuple[list[str], np.ndarray]:
        """The contributors that a table of groups names; rows whose values it doesn't hold get -1."""
        groups = self._groups(source)
        if groups is None:
            return [], np.zeros(0, np.int32)
        placed = table.join(groups, on=self._rule.by, how="left", maintain_order="left", nulls_equal=True)[CONTRIBUTOR]
        if placed.null_count() and self._rule.other is None:
            bare = table.filter(placed.is_null()).unique(maintain_order=True)
            shown = [JOINT.join(value or "" for value in values) for values in bare.head(_SHOWN).rows()]
            more = f" and {plural(len(bare) - _SHOWN, 'other')}" if len(bare) > _SHOWN else ""
            message = f"`{harmless(source)}` has no group for {listed(shown)}{more}"
            self._problem("groups", message, 'Add them, or pool them with `other = "…"`.')
        names, codes = codes_of(placed.drop_nulls())
        full = np.full(len(placed), -1, np.int32)
        full[placed.is_not_null().to_numpy()] = codes
        return names, full

    def _groups(self, source: str) -> pl.DataFrame | None:
        """The table of groups: each combination of values once, and its contributor."""
        shown, by = f"`{harmless(source)}`", self._rule.by
        before = len(self.problems)
        if CONTRIBUTOR in by:
            self._problem("by", f"a table of groups has a column `{CONTRIBUTOR}` of its own", "Rename the manifest's.")
            return None
        try:
            path = resolve(source, self._loaded.folder, self._allow)
            groups = open_table(path)
            schema = groups.schema
            for column in (*by, CONTRIBUTOR):
                if column not in schema:
                    message = f"{shown} has no column `{harmless(column)}`"
                    self._problem("groups", message, nearest(column, schema.names()))
                elif schema[column].is_nested() or schema[column] == pl.Binary:
                    message = f"column `{harmless(column)}` of {shown} holds {schema[column]}, not names"
                    self._problem("groups", message, "It must hold text or numbers.")
            if len(self.problems) > before:
                return None
            content, size = groups.digest()
            self.inputs.append(InputFile(role=f"groups {self._rule.name}", name=source, digest=content, bytes=size))
            if groups.rows > _MOST_GROUPS:
                self._problem("groups", f"{shown} has more than {_MOST_GROUPS:,} rows", "Name the columns in `by`.")
                return None
            columns = [*by, CONTRIBUTOR]
            table = groups.read(columns, pl.col(columns).cast(pl.String))
        except (PathRefused, ManifestRefused) as refused:
            self._problem("groups", f"{shown}: {refused.message}", refused.remedy)
            return None
        except OSError as error:
            self._problem("groups", f"{shown} can't be read: {error.strerror or error}", "Write it again.")
            return None
        self._check_groups(table, shown)
        return table if len(self.problems) == before else None

    def _check_groups(self, table: pl.DataFrame, shown: str) -> None:
        empty = table.select(pl.any_horizontal(pl.all().is_null() | (pl.all() == "")).arg_true()).to_series()
        if len(empty):
            message = f"row {empty[0] + 1} of {shown} has an empty cell"
            self._problem("groups", message, "Every row needs all of its values and a contributor.")
            return
        keys = table.select(self._rule.by)
        twice = keys.filter(keys.is_duplicated()).unique(maintain_order=True)
        if len(twice):
            names = [JOINT.join(values) for values in twice.head(_SHOWN).rows()]
            self._problem(
                "groups", f"{shown} has more than one group for {listed(names)}", "Give each of them one row."
            )

    def _pooled(self, names: list[str], codes: np.ndarray) -> Grouping:
        """With the contributors that are too small, and the rows that have none, under `other`."""
        rule = self._rule
        rows = np.bincount(codes[codes >= 0], minlength=len(names)).astype(np.int64)
        small = rows < rule.min_rows
        if small.any() and rule.other is None:
            few = np.flatnonzero(small)
            shown = ", ".join(harmless(names[at], 40) for at in few[:20])
            message = f"contributors with fewer than {rule.min_rows} rows: {harmless(shown)}"
            self._problem("min_rows", message, 'Pool them with `other = "…"`, or lower it.')
        elif (small.any() or (codes < 0).any()) and rule.other is not None:
            kept = [name for name, few in zip(names, small.tolist(), strict=True) if not few]
            if rule.other in kept:
                message = f"`{harmless(rule.other)}` is a contributor of its own"
                self._problem("other", message, "Choose a name that no contributor has.")
            merged = sorted({*kept, rule.other})
            where = {name: index for index, name in enumerate(merged)}
            new = [where[rule.other if few else name] for name, few in zip(names, small.tolist(), strict=True)]
            codes = np.array([*new, where[rule.other]], np.int32)[codes]  # -1 is the last of them
            names, rows = merged, np.bincount(codes, minlength=len(merged)).astype(np.int64)
        return Grouping(rule.name, tuple(names), rows, codes)


def all_inputs(groupers: Sequence[Grouper]) -> Iterator[InputFile]:
    """The tables of groups of all groupings."""
    for grouper in groupers:
        yield from grouper.inputs
