"""Folders as Hugging Face `datasets` saves them, or as the hub holds them."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from surrogateshap.plan.configs import read_json
from surrogateshap.plan.manifest.files import Kind, ManifestRefused, Part, kind_of
from surrogateshap.plan.manifest.table import Table
from surrogateshap.text import harmless

MOST_FILES = 100_000
_FORMATS = frozenset({".parquet", ".csv", ".jsonl", ".ndjson", ".json"})
_SHARD = re.compile(r"(?P<split>\w[\w.\-]*?)-\d{5}-of-\d{5}(-[0-9a-f]+)?")
"""A shard's name less its suffix, as in `train-00000-of-00001-a09b74b3ef9c3b56`."""
_PLAIN = frozenset({"data", "."})
"""Folders that say nothing of what lies in them."""
_REMEDY = (
    "It needs what `save_to_disk` writes (state.json, data-*.arrow), or files as the hub has them "
    "(data/train-00000-of-00001.parquet)."
)


def open_folder(folder: Path, split: str | None) -> Table:
    """The table in a folder, or its split of that name. Raises ManifestRefused, and OSError."""
    if (folder / "dataset_dict.json").is_file():
        names = _json(inside(folder, "dataset_dict.json")).get("splits")
        if not isinstance(names, list) or not all(isinstance(name, str) and _is_name(name) for name in names):
            raise ManifestRefused("dataset_dict.json in it doesn't name its splits", "Save the dataset again.")
        return _saved(folder, folder / choose(split, names), folder / "dataset_dict.json")
    if (folder / "state.json").is_file():
        own = _json(inside(folder, "state.json")).get("_split")
        if split is not None:
            choose(split, [own] if isinstance(own, str) else [])
        return _saved(folder, folder)
    return _hub(folder, split)


def choose(split: str | None, names: Sequence[str], what: str = "split") -> str:
    """The split that is meant. Raises ManifestRefused that lists them where that isn't clear."""
    listed = ", ".join(harmless(name, 40) for name in names[:20]) + (" …" if len(names) > 20 else "")
    if split is None and len(names) == 1:
        return names[0]
    if split is None:
        raise ManifestRefused(f"the manifest has several {what}s, and `split` names none", f"It has {listed}.", "split")
    if split not in names:
        remedy = f"It has {listed}." if names else "Leave `split` out."
        raise ManifestRefused(f"the manifest has no {what} `{harmless(split)}`", remedy, "split")
    return split


def inside(root: Path, relative: str) -> Path:
    """The real path of a file that a manifest names. Raises ManifestRefused where it leads out, or there is none."""
    shown = f"`{harmless(relative, 80)}`"
    try:
        found = Path(os.path.realpath(root / relative))
        there = found.is_file()
    except (OSError, ValueError):
        raise ManifestRefused(f"it names {shown}, which is no path", "Name a file beside it.") from None
    if not found.is_relative_to(os.path.realpath(root)):
        raise ManifestRefused(f"it names {shown}, which lies outside its folder", "Put the file itself there.")
    if not there:
        raise ManifestRefused(f"it names {shown}, and there is no such file", "Put the file there.")
    return found


def data_files(folder: Path) -> list[str]:
    """Files of rows below a folder by their relative names, sorted; hidden ones are passed over."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in _FORMATS:
                if not name.isprintable():  # polars can't open what is no text
                    raise ManifestRefused(f"the name of a file in it is no text: `{harmless(name, 80)}`", "Rename it.")
                found.append((Path(place) / name).relative_to(folder).as_posix())
        if len(found) > MOST_FILES:
            raise ManifestRefused(f"it holds more than {MOST_FILES:,} files", "Name a folder with less in it.")
    return sorted(found)


def part_of(root: Path, relative: str, only: Kind | None = None) -> Part:
    """A file of rows inside a folder. Raises ManifestRefused where it is none."""
    path, shown = inside(root, relative), f"`{harmless(relative, 80)}`"
    try:
        kind = kind_of(path)
    except OSError as error:
        raise ManifestRefused(f"{shown} in it can't be used: {error.strerror or error}", "Write it again.") from None
    if kind == "croissant" or (only is not None and kind != only):
        raise ManifestRefused(f"{shown} in it is not what its name says", "Write it again.")
    return Part(path, kind)


def _json(path: Path) -> dict[str, object]:
    try:
        return read_json(path)
    except ValueError as error:
        raise ManifestRefused(f"in it, {error}", "Save the dataset again.") from None


def _is_name(name: str) -> bool:
    return name not in ("", ".", "..") and len(name) < 200 and not set(name) & {"/", "\\", "\0"}


def _saved(root: Path, folder: Path, *descriptions: Path) -> Table:
    """What `Dataset.save_to_disk` wrote: Arrow streams, in the order of state.json."""
    real = Path(os.path.realpath(root))
    place = folder.relative_to(root)
    state_path = inside(real, (place / "state.json").as_posix())
    state = _json(state_path)
    if state.get("_indices_files"):
        raise ManifestRefused("it has an indices mapping, which is not read", "Call `flatten_indices()` and save it.")
    listed = state.get("_data_files")
    names = (
        [file.get("filename") if isinstance(file, Mapping) else None for file in listed]
        if (isinstance(listed, list))
        else []
    )
    parts = [part_of(real, (place / name).as_posix(), "arrow") for name in names if isinstance(name, str)]
    if not parts or len(parts) != len(names):
        raise ManifestRefused("state.json in it names no data files", "Save the dataset again.")
    return Table(real, tuple(parts), (*(Path(os.path.realpath(file)) for file in descriptions), state_path))


def _hub(folder: Path, split: str | None) -> Table:
    """Files as the hub has them: `data/train-00000-of-00002.parquet`, `train/0000.parquet`, `train.csv`."""
    real = Path(os.path.realpath(folder))
    files = data_files(real)
    tables = [name for name in files if not name.endswith(".json") or _SHARD.fullmatch(PurePosixPath(name).stem)]
    if not tables:
        raise ManifestRefused("the folder holds no dataset", _REMEDY)
    placed = {name: _config_and_split(PurePosixPath(name)) for name in tables}
    several = len({config for config, _ in placed.values()}) > 1
    by_split: dict[str, list[str]] = {}
    for name, (config, own) in placed.items():
        by_split.setdefault(f"{config}/{own}" if several and config else own, []).append(name)
    chosen = by_split[choose(split, sorted(by_split))]
    return Table(real, tuple(part_of(real, name) for name in chosen))


def _config_and_split(path: PurePosixPath) -> tuple[str, str]:
    """What a file belongs to, by its name and place."""
    folders = [part for part in path.parts[:-1] if part not in _PLAIN]
    if shard := _SHARD.fullmatch(path.stem):
        return "/".join(folders), shard["split"]
    if folders:
        return "/".join(folders[:-1]), folders[-1]
    return "", path.stem
