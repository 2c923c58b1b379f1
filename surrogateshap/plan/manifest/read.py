"""From a spec's `[contributors]` to a manifest: all problems of it come together."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from surrogateshap.plan.manifest.files import ManifestRefused, careful, nearest
from surrogateshap.plan.manifest.filters import chosen_rows
from surrogateshap.plan.manifest.groupings import Grouper, all_inputs, codes_of
from surrogateshap.plan.manifest.images import first_outside, holds_images, look_at_images, read_image_file, spread
from surrogateshap.plan.manifest.model import Manifest
from surrogateshap.plan.manifest.opening import open_table
from surrogateshap.plan.manifest.table import Table
from surrogateshap.plan.model import InputFile
from surrogateshap.spec.paths import PathRefused, resolve
from surrogateshap.text import harmless

if TYPE_CHECKING:
    from surrogateshap.errors import Problem
    from surrogateshap.spec.load import Loaded

MOST_SORTED = 100_000
"""Distinct conditions that are put in order; sorting a million captions takes seconds."""
_SPREAD = 20
"""Image files that are looked for before anything is planned."""


def load_manifest(loaded: "Loaded", allow: Sequence[Path] = ()) -> tuple[Manifest | None, list["Problem"]]:
    """Finds and reads what `contributors.manifest` names, inside the spec's folder or one of `allow`."""
    source, key = loaded.spec.contributors.manifest, ("contributors", "manifest")
    shown = f"`{harmless(source)}`"
    try:
        path = resolve(source, loaded.folder, allow)
    except PathRefused as refused:
        return None, [loaded.problem(key, f"{shown}: {refused.message}", refused.remedy)]
    if not path.exists():
        where = f"Looked for it in {harmless(str(path.parent))}."
        return None, [loaded.problem(key, f"{shown} does not exist", where)]
    return read_manifest(loaded, path, allow)


def read_manifest(loaded: "Loaded", path: Path, allow: Sequence[Path] = ()) -> tuple[Manifest | None, list["Problem"]]:
    """Reads the columns that the spec names. Returns every problem found; None where it can't be used at all.

    `allow` are folders besides the spec's own that tables of groups may lie in.
    """
    try:
        return careful(_Reader(loaded, path, allow).read)
    except ManifestRefused as refused:
        message = f"`{harmless(loaded.spec.contributors.manifest)}`: {refused.message}"
        return None, [loaded.problem(("contributors", refused.key), message, refused.remedy)]
    except OSError as error:
        message = f"`{harmless(loaded.spec.contributors.manifest)}` can't be read: {error.strerror or error}"
        return None, [loaded.problem(("contributors", "manifest"), message, "Write it again.")]


class _Reader:
    def __init__(self, loaded: "Loaded", path: Path, allow: Sequence[Path]) -> None:
        self._loaded, self._path, self._allow = loaded, path, allow
        self._section = loaded.spec.contributors
        self._problems: list[Problem] = []

    def _problem(self, key: tuple[str | int, ...], message: str, remedy: str) -> None:
        self._problems.append(self._loaded.problem(("contributors", *key), message, remedy))

    def read(self) -> tuple[Manifest | None, list["Problem"]]:
        """Raises ManifestRefused and OSError where there is no table."""
        section = self._section
        source = open_table(self._path, section.split)
        self._check_columns(source.schema)
        if self._problems:
            return None, self._problems
        names = sorted({section.condition, *(column for grouping in section.grouping for column in grouping.by)})
        table = source.read(names, pl.col(names).cast(pl.String))
        if table.height == 0:
            message = f"`{harmless(section.manifest)}` has no rows"
            self._problem(("manifest",), message, "It needs one row per training image.")
            return None, self._problems
        numbers = self._where(source)
        if self._problems:
            return None, self._problems
        if numbers is not None:
            table = table[numbers]
        conditions, condition_of_row = codes_of(table[section.condition], MOST_SORTED)
        if "" in conditions:
            empty = int((condition_of_row == conditions.index("")).sum())
            message = f"{empty} rows have no `{harmless(section.condition)}`"
            self._problem(("condition",), message, "Fill them in, or leave the rows out.")
        groupers = [Grouper(self._loaded, position, self._allow) for position in range(len(section.grouping))]
        groupings = tuple(grouper.group(table) for grouper in groupers)
        for grouper in groupers:
            self._problems += grouper.problems
        image_files = self._images(source, numbers)
        if self._problems:
            return None, self._problems
        content, size = source.digest()
        own = InputFile(role="manifest", name=section.manifest, digest=content, bytes=size)
        return Manifest(
            path=self._path,
            conditions=tuple(conditions),
            condition_of_row=condition_of_row,
            groupings=groupings,
            image=section.image,
            split=section.split,
            numbers=numbers,
            inputs=(own, *all_inputs(groupers)),
            image_files=image_files,
        ), []

    def _check_columns(self, schema: pl.Schema) -> None:
        section = self._section
        asked: list[tuple[tuple[str | int, ...], str]] = [(("condition",), section.condition)]
        if section.image is not None:
            asked.append((("image",), section.image))
        asked += [(("where", column), column) for column in section.where]
        for position, grouping in enumerate(section.grouping):
            asked += [(("grouping", position, "by"), column) for column in grouping.by]
        for key, column in asked:
            if column not in schema:
                message = f"the manifest has no column `{harmless(column)}`"
                self._problem(key, message, nearest(column, schema.names()))
            elif key == ("image",):
                if not holds_images(schema[column]):
                    message = f"column `{harmless(column)}` holds {schema[column]}, not images"
                    remedy = "It must hold encoded images (PNG, JPEG, …) as bytes, or paths of image files."
                    self._problem(key, message, remedy)
            elif schema[column].is_nested() or schema[column] == pl.Binary:
                message = f"column `{harmless(column)}` holds {schema[column]}, not names"
                self._problem(key, message, "It must hold text or numbers.")

    def _where(self, source: Table) -> np.ndarray | None:
        """Numbers of the rows that count, (R,) int64; None where all do."""
        columns = list(self._section.where)
        if not columns:
            return None
        text = all(part.kind == "csv" for part in source.parts)
        numbers, problems = chosen_rows(self._loaded, source.read(columns), text=text)
        self._problems += problems
        return numbers

    def _images(self, source: Table, numbers: np.ndarray | None) -> bool:
        """Whether images are files of their own; tells of those that can't be."""
        column = self._section.image
        if column is None:
            return False
        there, paths = look_at_images(source, column)
        if numbers is not None:
            there = there[numbers]
            paths = None if paths is None else paths[numbers]
        missing = len(there) - int(there.sum())
        if missing:
            self._problem(("image",), f"{missing} rows have no image", "Fill them in, or leave the rows out.")
        if paths is None or paths.null_count() == len(paths):
            return False
        outside = first_outside(paths)
        if outside is not None:
            row = outside if numbers is None else int(numbers[outside])
            message = (
                f"`{harmless(str(paths[outside]), 80)}` in row {row} (from 0) is no path inside the manifest's folder"
            )
            self._problem(("image",), message, "Paths of images start at the manifest and stay in its folder.")
            return True
        for at in spread(len(paths), _SPREAD).tolist():
            try:
                if paths[at] is not None:
                    read_image_file(source, at if numbers is None else int(numbers[at]), paths[at])
            except OSError as error:
                remedy = "Paths of images start at the manifest and stay in its folder."
                self._problem(("image",), str(error), remedy)
                break
        return True
