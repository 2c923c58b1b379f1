"""What the planner must know of models and encoders: read from their JSON configs, nothing is loaded."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LIMIT = 8 << 20
_CLASSES = 100_000
_SIDE = 4_096


@dataclass(frozen=True)
class ModelCard:
    """A class-conditional diffusion model in diffusers layout."""

    labels: tuple[str, ...]
    """Names of the classes; the position is the index of the class embedding."""
    null_class: int | None
    """Index of the embedding that means "no class"; None where the model has none."""
    height: int
    width: int
    channels: int

    def index(self, condition: str) -> int | None:
        """Index of the class that a manifest's condition names, by label or by number; None for an unknown one."""
        return class_index(condition, self.labels)


def class_index(name: str, labels: tuple[str, ...]) -> int | None:
    """Index of the class that a text names, by label or else by number; None for an unknown one."""
    if name in labels:
        return labels.index(name)
    number = int(name) if name.isdecimal() and len(name) < 10 else -1
    return number if 0 <= number < len(labels) else None


def _read_json(path: Path) -> dict[str, Any]:
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


def _check_weights(folder: Path) -> None:
    """Raises ValueError unless the weights are safetensors of this very folder."""
    if (folder / "adapter_config.json").exists():
        raise ValueError(f"{folder.name} has an adapter_config.json, which would load another model; merge the adapter")
    for index in folder.glob("*.index.json"):
        shards = _read_json(index).get("weight_map")
        for shard in shards.values() if isinstance(shards, dict) else [None]:
            if not isinstance(shard, str) or Path(shard).name != shard or not (folder / shard).is_file():
                raise ValueError(f"{index.name} names weights that are not files beside it")
    if not any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder.name} has no weights as safetensors")


def _labels(id2label: Any, count: int) -> tuple[str, ...]:
    if not isinstance(id2label, dict):
        return tuple(map(str, range(count)))
    return tuple(str(id2label.get(str(index), index)) for index in range(count))


def read_model_card(folder: Path, null_class: int | None) -> ModelCard:
    """Reads a model folder's configs. Raises ValueError that says what is wrong."""
    index = _read_json(folder / "model_index.json")
    if "unet" not in index:
        raise ValueError(
            f"holds a {index.get('_class_name', 'pipeline')}; this version runs class-conditional UNets "
            "(a `unet` of class UNet2DModel)"
        )
    unet = _read_json(folder / "unet" / "config.json")
    embeddings = unet.get("num_class_embeds")
    if unet.get("_class_name") != "UNet2DModel" or not isinstance(embeddings, int) or not 1 <= embeddings <= _CLASSES:
        raise ValueError("its unet is not a UNet2DModel with `num_class_embeds`, so it takes no class labels")
    named = index.get("id2label")
    if null_class is not None and null_class >= embeddings:
        raise ValueError(f"has {embeddings} class embeddings, so `null_class` can be {embeddings - 1} at most")
    # Names cover every class but the null one; without names the last embedding is taken for it.
    if isinstance(named, dict):
        known = min(len(named), embeddings)
    else:
        known = embeddings - 1 if null_class is None else null_class
    if null_class is None and known < embeddings:
        null_class = known
    size = unet.get("sample_size")
    height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
    if not (
        isinstance(height, int) and isinstance(width, int) and 0 < min(height, width) <= max(height, width) <= _SIDE
    ):
        raise ValueError(f"its unet's config has no `sample_size` of 1 to {_SIDE:,} pixels")
    channels = unet.get("in_channels", 3)
    if channels not in (1, 3) or unet.get("out_channels", channels) != channels:
        raise ValueError("its unet doesn't turn grey or RGB images into images of as many channels")
    _check_weights(folder / "unet")
    _read_json(folder / "scheduler" / "scheduler_config.json")
    return ModelCard(_labels(named, known), null_class, height, width, channels)


def read_classifier_labels(folder: Path) -> tuple[str, ...]:
    """Class names of an image classifier in Hugging Face layout. Raises ValueError that says what is wrong."""
    config = _read_json(folder / "config.json")
    named = config.get("id2label")
    count = len(named) if isinstance(named, dict) else config.get("num_labels", 2)
    if not isinstance(count, int) or not 2 <= count <= _CLASSES:
        raise ValueError(f"its config.json doesn't name 2 to {_CLASSES:,} classes")
    _read_json(folder / "preprocessor_config.json")
    _check_weights(folder)
    return _labels(named, count)


def read_feature_size(folder: Path) -> int | None:
    """Length of a classifier's feature vector, as its config has it; None where that doesn't say."""
    config = _read_json(folder / "config.json")
    for key in ("hidden_sizes", "hidden_size", "hidden_dim"):
        found = config.get(key)
        last = found[-1] if isinstance(found, list) and found else found
        if isinstance(last, int) and 1 <= last <= _CLASSES:
            return last
    return None
