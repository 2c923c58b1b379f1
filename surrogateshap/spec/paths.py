"""From the paths that a spec names to real ones, none of them outside what its reader allows."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from surrogateshap.errors import Refused

EXAMPLE = "example:"
_HUB_ID = re.compile(r"(?=.{3,96}$)[A-Za-z0-9](?:[\w.-]*\w)?/[A-Za-z0-9](?:[\w.-]*\w)?", re.ASCII)
_FILES = (".safetensors", ".json", ".toml", ".parquet", ".csv", ".jsonl", ".zip", ".bin", ".ckpt", ".pt", ".pth")
"""Endings that make `folder/name` a file somebody forgot rather than a repository."""


class PathRefused(Refused):
    """A path that a spec may not name, with what to do about it."""


def examples_folder() -> Path:
    """Where the examples that ship with the package lie: inside an installed one, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_examples"
    return installed if installed.is_dir() else package.parent / "examples"


def resolve(source: str, folder: Path, allow: Sequence[Path] = ()) -> Path:
    """The real path, symlinks resolved, of what a spec in `folder` calls `source`; it need not exist.

    `example:…` names a file of the shipped examples. Everything else is relative to `folder`, or, where it isn't there,
    to one of `allow`, and must lie inside one of these. Raises PathRefused, a ValueError with message and remedy, where
    it doesn't.
    """
    _refuse_unusable(source)
    if source.startswith(EXAMPLE):
        examples = _real(examples_folder())
        found = _real(examples / source.removeprefix(EXAMPLE))
        if not found.is_relative_to(examples) or found == examples:
            raise PathRefused("it names nothing among the shipped examples", "write, for example, example:digits/model")
        return found
    found = _real(folder / source)
    if not os.path.lexists(found):
        elsewhere = (_real(place / source) for place in allow)
        found = next((other for other in elsewhere if os.path.lexists(other)), found)
    if not any(found.is_relative_to(_real(place)) for place in (folder, *allow)):
        raise PathRefused(
            "it lies outside the spec's folder",
            "move it there, or allow the folder that it is in with --allow-path DIR",
        )
    return found


def hub_id(source: str, folder: Path) -> str | None:
    """The Hugging Face repository `owner/name` that a spec in `folder` means by `source`; None where it is a path.

    What is there beside the spec is never looked for elsewhere.
    """
    if not _HUB_ID.fullmatch(source) or "--" in source or ".." in source or source.lower().endswith(_FILES):
        return None
    return None if os.path.lexists(folder / source) else source


def path_from(folder: Path, file: Path) -> str:
    """A file's path as seen from a folder; both without links, so that `..` means the same to every reader."""
    real = Path(os.path.realpath(file.parent), file.name)
    return Path(os.path.relpath(real, os.path.realpath(folder))).as_posix()


def _refuse_unusable(source: str) -> None:
    if not source.strip():
        raise PathRefused("the path is empty", "name a file or folder, relative to the spec")
    if "\0" in source:
        raise PathRefused("the path holds a null byte", "remove it")
    if source.startswith("~"):
        raise PathRefused("`~` is not expanded", "write the path out, relative to the spec")
    if "://" in source:
        raise PathRefused("it is an address, and nothing is downloaded", "save it beside the spec and name the file")
    try:
        longest = max(len(part.encode()) for part in source.split("/"))
    except UnicodeEncodeError:
        raise PathRefused("the path is not valid text", "rename the file") from None
    if longest > 255:
        raise PathRefused("a part of the path is longer than 255 bytes", "rename the file or folder")


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:
        raise PathRefused(f"the path can't be followed ({type(error).__name__})", "check its links") from None
