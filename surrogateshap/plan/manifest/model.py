"""What the planner knows of a manifest."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from surrogateshap.plan.manifest.images import images_of, spread
from surrogateshap.plan.manifest.opening import open_table
from surrogateshap.plan.manifest.table import Table
from surrogateshap.plan.model import InputFile
from surrogateshap.text import digest


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
    """What the planner needs of the R rows that count; the images stay in the file."""

    path: Path
    conditions: tuple[str, ...]
    """Distinct conditions: sorted, or in the order of their first rows where they are more than 100,000."""
    condition_of_row: np.ndarray
    """(R,) int32."""
    groupings: tuple[Grouping, ...]
    image: str | None
    """Column with the images."""
    split: str | None = None
    """Which part of the manifest it is."""
    numbers: np.ndarray | None = None
    """(R,) int64: what number each row has in the file, from 0; None where all rows of the file count."""
    inputs: tuple[InputFile, ...] = ()
    """The files that it was read from, but for those of images."""
    image_files: bool = False
    """Whether images are files of their own."""
    _seen: dict[int, tuple[str, int]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.condition_of_row)

    @cached_property
    def table(self) -> Table:
        """The file's rows, all of them."""
        return open_table(self.path, self.split)

    @cached_property
    def conditions_digest(self) -> str:
        """Of the conditions, in their order."""
        return digest(list(self.conditions))

    def number(self, row: int) -> int:
        """Of a row in the file, from 0."""
        return row if self.numbers is None else int(self.numbers[row])

    def images(self, rows: np.ndarray) -> dict[int, bytes]:
        """Encoded images of the given rows. A row without an image is left out. Raises OSError on a broken file."""
        return dict(self.each_image(rows))

    def each_image(self, rows: np.ndarray | None = None, at_most: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yields (row, encoded image), of all rows, or of `at_most` evenly spaced ones; as `images` does."""
        wanted = spread(self.rows, at_most) if rows is None else np.unique(rows)
        if len(wanted) == 0:
            return
        if self.numbers is None:
            yield from images_of(self.table, self.image or "", wanted)
            return
        for number, image in images_of(self.table, self.image or "", self.numbers[wanted]):
            yield int(np.searchsorted(self.numbers, number)), image

    def sources(self, rows: np.ndarray) -> dict[int, str]:
        """SHA-256 of the encoded images of the given rows; a row without one is left out. Raises OSError."""
        wanted = np.unique(rows)
        unseen = [row for row in wanted.tolist() if row not in self._seen]
        for row, image in self.each_image(np.array(unseen, np.int64)):
            self._seen[row] = hashlib.sha256(image).hexdigest(), len(image)
        return {row: self._seen[row][0] for row in wanted.tolist() if row in self._seen}

    def reference_digest(self, at_most: int) -> str:
        """Of the images that stand for the whole, as `each_image` yields them. Raises OSError."""
        content = next(file.digest for file in self.inputs if file.role == "manifest")
        if not self.image_files:
            return content if self.numbers is None else digest({"manifest": content, "rows": self.numbers.tolist()})
        return digest({"manifest": content, "images": list(self.sources(spread(self.rows, at_most)).values())})

    def image_input(self, rows: np.ndarray) -> InputFile:
        """The image files of the given rows, as an input. Raises OSError."""
        sources = self.sources(rows)
        name = next(file.name for file in self.inputs if file.role == "manifest")
        content = digest([[self.number(row), source] for row, source in sources.items()])
        return InputFile(role="images", name=name, digest=content, bytes=sum(self._seen[row][1] for row in sources))

    def read_rows(self, rows: np.ndarray) -> pl.DataFrame:
        """The given rows: all columns of the file, after a column `row` with their numbers in it.

        The column is `row_` where the file has a `row` of its own, and so on. Image files are in the frame themselves,
        in the place of their paths. Raises OSError where it can't be read.
        """
        column = self.table.free_name()
        wanted = rows if self.numbers is None else self.numbers[rows]
        frames = [
            frame.select(pl.Series(column, numbers, dtype=pl.UInt32), pl.all())
            for numbers, frame in self.table.pick(None, wanted)
        ]
        frame = pl.concat(frames) if frames else pl.DataFrame(schema={column: pl.UInt32, **self.table.schema})
        if self.image_files and self.image is not None:
            images = dict(images_of(self.table, self.image, wanted))
            held = [images.get(number) for number in frame[column].to_list()]
            frame = frame.with_columns(pl.Series(self.image, held, dtype=pl.Binary))
        return frame


def digest_manifest(path: Path, split: str | None) -> str:
    """Of the files that a manifest is read from. Raises OSError where they can't be."""
    try:
        return open_table(path, split).digest()[0]
    except ValueError as error:
        raise OSError(str(error)) from None
