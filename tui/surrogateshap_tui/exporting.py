"""Writes a finished run's results to a file, in one of the formats listed here, and never over one unasked."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from surrogateshap.errors import RunError
from surrogateshap.record.results import Results
from surrogateshap.text import harmless
from surrogateshap_tui.source import Source

Write = Callable[[Source, Results, Path], None]
"""What knows the run, its results, and where to write."""


@dataclass(frozen=True)
class Format:
    """One kind of file."""

    kind: str
    """Its name's ending, and what commands call it."""
    title: str
    about: str
    write: Write


def _text(make: Callable[[Results], str]) -> Write:
    def write(_: Source, results: Results, path: Path) -> None:
        path.write_text(make(results), encoding="utf-8")

    return write


def _csv(results: Results) -> str:
    from surrogateshap.report import to_csv

    return to_csv(results)


def _json(results: Results) -> str:
    from surrogateshap.report import to_json

    return to_json(results)


def _markdown(results: Results) -> str:
    from surrogateshap.report import to_markdown

    return to_markdown(results)


def _parquet(_: Source, results: Results, path: Path) -> None:
    from surrogateshap.report import to_parquet

    to_parquet(results, path)


def _html(source: Source, _: Results, path: Path) -> None:
    path.write_text(source.page(), encoding="utf-8")


def _record(source: Source, _: Results, path: Path) -> None:
    source.export(path)


FORMATS: tuple[Format, ...] = (
    Format("csv", "CSV", "a row per game and contributor, for spreadsheets", _text(_csv)),
    Format("parquet", "Parquet", "the same, typed, for programs", _parquet),
    Format("json", "JSON", "all that is known, as `show --format json` prints it", _text(_json)),
    Format("md", "Markdown", "rankings for reports and pull requests", _text(_markdown)),
    Format("html", "HTML", "one page for browsers and printers: rankings, fidelity, limits", _html),
    Format("zip", "Record", "all that others need to verify it; `surrogateshap sign` signs it", _record),
)
"""What is offered, in this order; a further format is one more line."""
KINDS: tuple[str, ...] = tuple(one.kind for one in FORMATS)


def export(source: Source, results: Results, kind: str, path: Path, *, replace: bool = False) -> Path:
    """The path that was written; takes a while for pages and records.

    Raises RunError where it can't be, or where it is there and not to be replaced.
    """
    written = next(one for one in FORMATS if one.kind == kind)
    try:
        if path.exists() and not replace:
            raise RunError(f"{harmless(str(path))} is there already", "Choose another name.")
        written.write(source, results, path)
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        why = harmless(getattr(error, "strerror", None) or str(error))
        raise RunError(f"{harmless(str(path))} can't be written: {why}", "Choose another folder or name.") from error
    return path


def plain_name(name: str) -> str:
    """The name without what would lead to another folder, hide the file, or mean something to a terminal."""
    return re.sub(r"[^\w.-]", "_", name).lstrip(".")[:100] or "results"


def free_name(folder: Path, name: str, kind: str) -> Path:
    """A name in a folder that no file has yet: `NAME.kind`, `NAME-2.kind`, …

    The name of a run may come from a stranger: it leads to no other folder.
    """
    name = plain_name(name)
    path, number = folder / f"{name}.{kind}", 2
    while path.exists():
        path, number = folder / f"{name}-{number}.{kind}", number + 1
    return path
