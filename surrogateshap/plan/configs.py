"""JSON configs of models and encoders, as diffusers and transformers write them: read, never loaded."""

import json
from pathlib import Path
from typing import Any

_LIMIT = 8 << 20
MOST_CLASSES = 100_000


def class_index(name: str, labels: tuple[str, ...]) -> int | None:
    """Index of the class that a text names, by label or else by number; None for an unknown one."""
    if name in labels:
        return labels.index(name)
    number = int(name) if name.isdecimal() and len(name) < 10 else -1
    return number if 0 <= number < len(labels) else None


def read_json(path: Path) -> dict[str, Any]:
    """Raises ValueError that says what is wrong with the file."""
    try:
        if path.stat().st_size > _LIMIT:
            raise ValueError(f"{path.name} is larger than 8 MiB")
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ValueError(f"has no {path.name}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name} can't be read: {type(error).__name__}") from None
    if isinstance(value, dict):
        return value
    raise ValueError(f"{path.name} is not a JSON object")


def check_weights(folder: Path, listing: frozenset[str] | None = None, prefix: str = "") -> None:
    """Raises ValueError unless the weights are safetensors of this very folder.

    `listing` names the files that there will be where only the texts are there yet, seen from the repository's top;
    `prefix`, such as `unet/`, is the folder's place in it.
    """
    if (folder / "adapter_config.json").exists():
        raise ValueError(f"{folder.name} has an adapter_config.json, which would load another model; merge the adapter")
    there = _names(folder) if listing is None else {name.removeprefix(prefix) for name in listing if _in(name, prefix)}
    for index in folder.glob("*.index.json"):
        shards = read_json(index).get("weight_map")
        for shard in shards.values() if isinstance(shards, dict) else [None]:
            if not isinstance(shard, str) or shard not in there:
                raise ValueError(f"{index.name} names weights that are not files beside it")
    if not any(name.endswith(".safetensors") for name in there):
        raise ValueError(f"{folder.name} has no weights as safetensors")


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()


def _in(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and "/" not in name.removeprefix(prefix)


def class_names(id2label: Any, count: int) -> tuple[str, ...]:
    """Names of `count` classes: those of `id2label`, where there are any."""
    if not isinstance(id2label, dict):
        return tuple(map(str, range(count)))
    return tuple(str(id2label.get(str(index), index)) for index in range(count))
