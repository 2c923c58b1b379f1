"""The single files of what a run was computed from, where they still are what they were."""

from collections.abc import Sequence
from pathlib import Path

from surrogateshap.plan.hub import is_snapshot, snapshot_folder
from surrogateshap.plan.inputs import digest_file, files_below
from surrogateshap.record.statement import Input
from surrogateshap.spec.paths import PathRefused, resolve
from surrogateshap.text import digest

_LOOKED_INTO = ("model", "adapter ", "encoder ", "reference ", "head ")


def with_files(inputs: Sequence[Input], folder: Path, allow: Sequence[Path]) -> tuple[Input, ...]:
    """The inputs with their files by name; a spec in `folder` names them.

    Left as they are: what is no model, adapter, encoder, reference or head, and what is not there or has changed.
    """
    return tuple(one.model_copy(update={"files": _files(one, folder, allow)}) for one in inputs)


def _files(given: Input, folder: Path, allow: Sequence[Path]) -> dict[str, str] | None:
    if not given.role.startswith(_LOOKED_INTO):
        return None
    try:
        if is_snapshot(given.name):
            return _snapshot_files(snapshot_folder(given.name))
        path = resolve(given.name, folder, allow)
        if path.is_file():
            content = digest_file(path)[0]
            return {path.name: content} if content == given.digest else None
        files, _ = files_below(path)
        return files if digest(files) == given.digest else None
    except (OSError, PathRefused):
        return None


def _snapshot_files(folder: Path) -> dict[str, str] | None:
    """Of a repository in the hub's cache, whose files there are links into it."""
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path)[0] for path in names} or None
