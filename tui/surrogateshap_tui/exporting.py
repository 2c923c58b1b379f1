"""Writes a finished run's results to a file of the working directory, never over one that is there."""

from pathlib import Path
from typing import Literal, get_args

from surrogateshap.errors import RunError
from surrogateshap.record.results import Results

Kind = Literal["csv", "json", "parquet", "md"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def export(results: Results, kind: Kind, folder: Path) -> Path:
    """The path that was written. Raises RunError where it can't be."""
    from surrogateshap.report import to_csv, to_json, to_markdown, to_parquet

    path = _free(folder, results.run, kind)
    try:
        match kind:
            case "parquet":
                to_parquet(results, path)
            case "csv":
                path.write_text(to_csv(results), encoding="utf-8")
            case "json":
                path.write_text(to_json(results), encoding="utf-8")
            case "md":
                path.write_text(to_markdown(results), encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path} can't be written: {error.strerror}", "Start the app in another folder.") from error
    return path


def _free(folder: Path, name: str, kind: str) -> Path:
    path, number = folder / f"{name}.{kind}", 2
    while path.exists():
        path, number = folder / f"{name}-{number}.{kind}", number + 1
    return path
