"""Digests of what a plan depends on."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from surrogateshap.plan.model import InputFile
from surrogateshap.plugins import ROLE, Plugin
from surrogateshap.text import digest


def digest_file(path: Path) -> tuple[str, int]:
    """SHA-256 and size of one file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size


def digest_path(path: Path) -> tuple[str, int]:
    """SHA-256 and size in bytes of a file, or of a folder: its files' names, relative and sorted, with their digests.

    Hidden files are passed over, and links are not followed out of the folder. Raises OSError.
    """
    if path.is_file():
        return digest_file(path)
    listing, total = files_below(path)
    return digest(listing), total


def files_below(folder: Path) -> tuple[dict[str, str], int]:
    """SHA-256 of each file in a folder by its relative name, and their size in bytes. As `digest_path`."""
    root = folder.resolve(strict=True)
    listing: dict[str, str] = {}
    total = 0
    for file in sorted(root.rglob("*")):
        relative = file.relative_to(root)
        if any(part.startswith(".") for part in relative.parts):
            continue
        if not file.resolve().is_relative_to(root):
            raise OSError(f"{relative} is a link that leads out of the folder")
        if file.is_symlink() and file.is_dir():
            raise OSError(f"{relative} is a linked folder; put the folder itself there")
        if not file.is_file():
            continue
        listing[relative.as_posix()], size = digest_file(file)
        total += size
    return listing, total


def input_file(role: str, name: str, path: Path) -> InputFile:
    """An input with its digest. Raises OSError."""
    content, size = digest_path(path)
    return InputFile(role=role, name=name, digest=content, bytes=size)


def plugin_inputs(plugins: Iterable[Plugin]) -> list[InputFile]:
    """The packages of plugins, one input for each plugin's name: a utility and an encoder may share one."""
    named: dict[str, list[Plugin]] = {}
    for plugin in plugins:
        named.setdefault(plugin.name, []).append(plugin)
    return [
        InputFile(
            role=ROLE + name,
            name=", ".join(sorted({plugin.distribution for plugin in group})),
            digest=digest(sorted([plugin.kind, plugin.digest] for plugin in group)),
            bytes=0,
        )
        for name, group in named.items()
    ]
