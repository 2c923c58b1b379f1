"""Which files of a model's folder or repository are loaded: weights as safetensors of one variant, and texts."""

import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Literal

Layout = Literal["pipeline", "encoder", "adapter"]
"""Which files count: those of a pipeline's components, or those at the top."""
TEXTS = (".json", ".txt", ".model")
"""Configs and tokenizers."""

_WEIGHTS = re.compile(
    r"[^.]+?(?:\.(?P<before>[A-Za-z0-9_]+))?(?:-\d{5}-of-\d{5})?(?:\.(?P<after>[A-Za-z0-9_]+))?\.safetensors"
)
_INDEX = re.compile(r"[^.]+\.safetensors\.index(?:\.(?P<variant>[A-Za-z0-9_]+))?\.json")
_UNSAFE = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack", ".h5")


def loaded_files(
    folder: Path, names: Iterable[str], layout: Layout, variant: str | None = None, weight_name: str | None = None
) -> list[str]:
    """Those of a folder's file `names`, relative to it, that loading needs; of a pipeline its model_index.json is read.

    Raises ValueError where there are no weights as safetensors, or none of the variant.
    """
    folders = {""} | (_components(folder) if layout == "pipeline" else set())
    grouped: dict[str, list[str]] = {}
    for name in sorted(names):
        parent = PurePosixPath(name).parent.as_posix()
        grouped.setdefault("" if parent == "." else parent, []).append(PurePosixPath(name).name)
    found: list[str] = []
    weights, varied, unsafe = False, False, False
    for place, inside in grouped.items():
        if place not in folders and place.partition("/")[0] not in folders - {""}:
            continue
        unsafe |= any(name.endswith(_UNSAFE) for name in inside)
        if layout == "adapter" and weight_name is None:  # its names follow no pattern, and it has one file
            chosen, of_variant = [name for name in inside if name.endswith(".safetensors")], False
        else:
            chosen, of_variant = _weights(inside, variant, weight_name)
        if len(folders) > 1 and not place:
            chosen, of_variant = [], False  # what lies at a pipeline's top is a copy of all components in one file
        weights, varied = weights or bool(chosen), varied or of_variant
        wanted = variant if of_variant else None
        indices = [name for name in inside if (match := _INDEX.fullmatch(name)) and match["variant"] == wanted]
        texts = [name for name in inside if name.endswith(TEXTS) and ".index." not in name]
        found += [f"{place}/{name}" if place else name for name in (*chosen, *(indices if chosen else ()), *texts)]
    if not weights:
        named = f" named {weight_name}" if weight_name else ""
        raise ValueError(
            f"has no weights{named} as safetensors" + (", only in formats that can run code" if unsafe else "")
        )
    if variant is not None and not varied:
        raise ValueError(f"has no weights of the variant `{variant}`")
    return found


def _components(folder: Path) -> set[str]:
    """Folders of a pipeline's components; none where it is no pipeline."""
    try:
        index = json.loads((folder / "model_index.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return set()
    if not isinstance(index, dict):
        return set()
    named = {
        str(key)
        for key, value in index.items()
        if isinstance(value, list) and any(part is not None for part in value) and not str(key).startswith("_")
    }
    return named | {"scheduler"}  # which class-conditional models keep without naming it


def _weights(names: list[str], variant: str | None, weight_name: str | None) -> tuple[list[str], bool]:
    """Weights of one folder: of the variant where it has some, else the plain ones; and whether they are the former."""
    if weight_name is not None:
        return [name for name in names if name == weight_name], False
    plain, varied = [], []
    for name in names:
        match = _WEIGHTS.fullmatch(name)
        suffix = (match["before"] or match["after"]) if match else None
        if match and suffix is None:
            plain.append(name)
        elif match and suffix == variant:
            varied.append(name)
    return (varied, True) if varied else (plain, False)
