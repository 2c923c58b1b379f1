"""Packages with entry points, as if installed: a dist-info folder on the path is all that Python asks for."""

from collections.abc import Mapping
from pathlib import Path

EntryPoints = Mapping[str, Mapping[str, str]]
"""Group -> name -> `module:attribute`."""


def install(folder: Path, name: str, version: str, entry_points: EntryPoints) -> None:
    """Writes the metadata of a package, without a file of it, into a folder of the path."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, entries in entry_points.items():
        lines += [f"[{group}]", *(f"{entry} = {target}" for entry, target in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
