"""The rows of a manifest, in one file or in several."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from surrogateshap.plan.inputs import digest_file
from surrogateshap.plan.manifest.files import Part, collect
from surrogateshap.text import digest, harmless

T = TypeVar("T")

_HELD = 128 << 20
"""Bytes of rows that are held at a time, about."""
_SKIPPED = 256 << 10
"""Fewer bytes than that between two wanted rows are read rather than skipped."""
_WORTH = 2 << 20
"""Bytes that are read as fast as a run of rows is found."""


@dataclass(frozen=True)
class Table:
    """The rows of its parts, one after the other."""

    root: Path
    """Folder that everything lies in."""
    parts: tuple[Part, ...]
    descriptions: tuple[Path, ...] = ()
    """Files that say what the parts are."""
    names: Mapping[str, str] | None = None
    """The files' own columns by the names that count; None where they are the same."""

    @cached_property
    def schema(self) -> pl.Schema:
        """Columns and types. Raises OSError saying why they can't be read, or that parts differ."""
        own = self._own_schema
        if self.names is None:
            return own
        return pl.Schema({name: own[column] for name, column in self.names.items() if column in own})

    @cached_property
    def _own_schema(self) -> pl.Schema:
        first, *others = self.parts
        schema = self._about(first, first.schema)
        for part in others:
            if self._about(part, part.schema) != schema:
                raise OSError(f"{self._name(part)} has other columns than {self._name(first)}, or other types in them")
        return schema

    @cached_property
    def heights(self) -> tuple[int, ...]:
        """Rows of each part. Raises OSError."""
        return tuple(int(collected.item()) for _, collected in self._each(None, lambda frame: frame.select(pl.len())))

    @property
    def rows(self) -> int:
        """Rows of all parts. Raises OSError."""
        return sum(self.heights)

    def read(self, columns: Sequence[str], *expressions: pl.Expr) -> pl.DataFrame:
        """These columns, or what the expressions make of them, row by row. Raises OSError."""
        found = [frame for _, frame in self._each(columns, lambda frame: frame.select(*(expressions or columns)))]
        return pl.concat(found, rechunk=len(found) > 1)

    def _each(
        self, columns: Sequence[str] | None, work: Callable[[pl.LazyFrame], pl.LazyFrame]
    ) -> Iterator[tuple[Part, pl.DataFrame]]:
        for part in self.parts:
            yield part, self._about(part, lambda part=part: collect(work(self._scan(part, columns))))  # type: ignore[misc]

    def pick(self, columns: Sequence[str] | None, rows: np.ndarray) -> Iterator[tuple[np.ndarray, pl.DataFrame]]:
        """Yields (numbers, frame) of the given rows in order, some at a time. Raises OSError."""
        wanted = np.unique(rows)
        ends = np.cumsum(self.heights)
        for part, end, height in zip(self.parts, ends.tolist(), self.heights, strict=True):
            own = wanted[(wanted >= end - height) & (wanted < end)] - (end - height)
            if len(own) == 0:
                continue
            if part.kind == "parquet":
                for some, frame in self._slices(part, columns, own, height):
                    yield some + (end - height), frame
            else:
                chosen = pl.Series(own)
                frame = self._about(
                    part,
                    lambda part=part, chosen=chosen: collect(self._scan(part, columns).select(pl.all().gather(chosen))),  # type: ignore[misc]
                )
                yield own + (end - height), frame

    def _slices(
        self, part: Part, columns: Sequence[str] | None, rows: np.ndarray, height: int
    ) -> Iterator[tuple[np.ndarray, pl.DataFrame]]:
        """The same of a Parquet file: runs of rows that are near each other, so that the rest need not be unpacked."""
        size = max(1, part.path.stat().st_size // max(1, height))
        breaks = np.flatnonzero(np.diff(rows) > max(1, _SKIPPED // size)) + 1
        most = max(1, _HELD // size)
        held: list[np.ndarray] = []
        reach = 0
        for run in np.split(rows, breaks):
            # A run longer than what may be held is cut.
            for piece in np.split(run, np.flatnonzero(np.diff((run - run[0]) // most)) + 1):
                length = int(piece[-1] - piece[0]) + 1
                if held and reach + length > most:
                    yield self._runs(part, columns, held, height)
                    held, reach = [], 0
                held.append(piece)
                reach += length
        if held:
            yield self._runs(part, columns, held, height)

    def _runs(
        self, part: Part, columns: Sequence[str] | None, runs: list[np.ndarray], height: int
    ) -> tuple[np.ndarray, pl.DataFrame]:
        frame, rows = self._scan(part, columns), np.concatenate(runs)
        span = int(rows[-1] - rows[0]) + 1
        if span * (part.path.stat().st_size // max(1, height)) < len(runs) * _WORTH:
            number = self.free_name()
            chosen = pl.col(number).is_in(pl.Series(rows, dtype=pl.UInt32).implode())
            return rows, self._about(part, lambda: collect(frame.with_row_index(number).filter(chosen).drop(number)))
        lengths = [int(run[-1] - run[0]) + 1 for run in runs]
        spans = [frame.slice(int(run[0]), length) for run, length in zip(runs, lengths, strict=True)]
        first = np.cumsum([0, *lengths[:-1]])
        places = np.concatenate([start + (run - run[0]) for run, start in zip(runs, first, strict=True)])
        return rows, self._about(part, lambda: collect(pl.concat(spans).select(pl.all().gather(pl.Series(places)))))

    def free_name(self) -> str:
        """`row`, or with as many `_` behind it as make it no column's name."""
        name = "row"
        while name in self.schema or name in self._own_schema:
            name += "_"
        return name

    def _scan(self, part: Part, columns: Sequence[str] | None) -> pl.LazyFrame:
        if self.names is None:
            return part.scan(columns, self._own_schema)
        names = {name: self.names[name] for name in (self.schema.names() if columns is None else columns)}
        own = part.scan(list(dict.fromkeys(names.values())), self._own_schema)
        return own.select(pl.col(column).alias(name) for name, column in names.items())

    def _about(self, part: Part, work: Callable[[], T]) -> T:
        """What `work` returns; errors name the part where there are several."""
        try:
            return work()
        except OSError as error:
            if len(self.parts) == 1:
                raise
            raise OSError(f"{self._name(part)}: {error}") from error

    def _name(self, part: Part) -> str:
        return harmless(part.path.relative_to(self.root).as_posix(), 80)

    def digest(self) -> tuple[str, int]:
        """Digest and bytes: of a single file its own, else of the files that are read, by name. Raises OSError."""
        files = [*self.descriptions, *(part.path for part in self.parts)]
        if len(files) == 1:
            return digest_file(files[0])
        found = {file.relative_to(self.root).as_posix(): digest_file(file) for file in files}
        return digest({name: content for name, (content, _) in found.items()}), sum(size for _, size in found.values())
