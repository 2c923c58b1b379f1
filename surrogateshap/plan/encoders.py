"""What the planner must know of encoders: read from their configs and the headers of weights, nothing is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surrogateshap.plan.configs import MOST_CLASSES, check_weights, class_names, read_json
from surrogateshap.plan.tensors import Tensor, read_tensors

LPIPS_FEATURES = 4_096
"""Numbers that LPIPS' features are projected to."""
INCEPTION_FEATURES = 2_048
INCEPTION_CLASSES = 1_008
VGG16 = (0, 2, None, 5, 7, None, 10, 12, 14, None, 17, 19, 21, None, 24, 26, 28)
"""Positions of the convolutions among torchvision's `features` of VGG16, and None where it halves the image."""
LPIPS_LAYERS = (2, 7, 14, 21, 28)
"""After the rectifier of these, LPIPS looks."""
_PREPROCESSING = ("preprocessor_config.json", "processor_config.json")
_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model")


def read_classifier_labels(folder: Path, listing: frozenset[str] | None = None) -> tuple[str, ...]:
    """Class names of an image classifier in Hugging Face layout. Raises ValueError that says what is wrong.

    `listing` is that of `check_weights`.
    """
    config = read_json(folder / "config.json")
    named = config.get("id2label")
    count = len(named) if isinstance(named, dict) else config.get("num_labels", 2)
    if not isinstance(count, int) or not 2 <= count <= MOST_CLASSES:
        raise ValueError(f"its config.json doesn't name 2 to {MOST_CLASSES:,} classes")
    read_preprocessing(folder)
    check_weights(folder, listing)
    return class_names(named, count)


def read_feature_size(folder: Path) -> int | None:
    """Length of a classifier's or backbone's feature vector, as its config has it; None where that doesn't say."""
    return _length(read_json(folder / "config.json"), "hidden_sizes", "hidden_size", "hidden_dim")


def read_backbone(folder: Path, listing: frozenset[str] | None = None) -> None:
    """Raises ValueError unless the folder holds a vision model in Hugging Face layout."""
    config = read_json(folder / "config.json")
    if config.get("text_config") is not None:
        raise ValueError('holds a model of images and texts: write `kind = "clip"`')
    if config.get("model_type") == "vit_mae":
        raise ValueError("holds a ViT-MAE, which hides patches of each image at random: its features never repeat")
    read_preprocessing(folder)
    check_weights(folder, listing)


def read_clip(folder: Path, listing: frozenset[str] | None = None) -> None:
    """Raises ValueError unless the folder holds a model of images and texts, with its tokenizer."""
    config = read_json(folder / "config.json")
    if not any(isinstance(config.get(key), dict) for key in ("text_config", "vision_config")):
        raise ValueError('holds no model of images and texts, such as CLIP: write `kind = "backbone"`')
    read_preprocessing(folder)
    names = check_weights(folder, listing)
    if not names.intersection(_TOKENIZERS):
        raise ValueError("has no tokenizer; save the model's own beside it with transformers")


def read_shared_size(folder: Path) -> int | None:
    """Length of the features that images and texts share; None where neither config nor weights say."""
    config = read_json(folder / "config.json")
    if (found := _length(config, "projection_dim")) is not None:
        return found
    # Configs leave out what is the library's default.
    name = "vision_model.post_layernorm.weight" if _is_siglip(config) else "visual_projection.weight"
    for weights in sorted(folder.glob("*.safetensors")):
        tensors = read_tensors(weights)
        if name in tensors and tensors[name].shape:
            return tensors[name].shape[0]
    return None


def read_preprocessing(folder: Path) -> dict[str, Any]:
    """How images are prepared, as an image processor was saved. Raises ValueError that says what is wrong."""
    first, nested = (folder / name for name in _PREPROCESSING)
    if not first.exists() and nested.exists():
        found = read_json(nested).get("image_processor")
        if isinstance(found, dict):
            return found
    return read_json(first)


def read_inception(path: Path) -> None:
    """Raises ValueError unless a safetensors file holds the weights of FID's Inception-v3."""
    _check_shape(read_tensors(path), "fc.weight", (INCEPTION_CLASSES, INCEPTION_FEATURES))


def read_lpips(path: Path) -> None:
    """Raises ValueError unless a safetensors file holds VGG16's convolutions and LPIPS' weights of their channels."""
    tensors = read_tensors(path)
    before = 3
    for index in (index for index in VGG16 if index is not None):
        weight = tensors.get(f"features.{index}.weight")
        width = weight.shape[0] if weight is not None and weight.shape else 1
        _check_shape(tensors, f"features.{index}.weight", (width, before, 3, 3))
        _check_shape(tensors, f"features.{index}.bias", (width,))
        before = width
        if index in LPIPS_LAYERS:
            name = linear_name(tensors, LPIPS_LAYERS.index(index))
            if tensors[name].size != width:
                raise ValueError(f"its `{name}` has {tensors[name].size} weights for {width} channels")


def linear_name(tensors: Mapping[str, Any], layer: int) -> str:
    """Under which name LPIPS' weights of a layer's channels stand: `lin0`, or as the lpips package saves them.

    Raises ValueError where there are none.
    """
    for name in (f"lin{layer}", f"lin{layer}.weight", f"lin{layer}.model.1.weight"):
        if name in tensors:
            return name
    raise ValueError(f"has no `lin{layer}`: it needs VGG16's convolutions `features.N` and LPIPS' weights lin0 to lin4")


def _check_shape(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> None:
    if name not in tensors:
        raise ValueError(f"has no `{name}`")
    if tensors[name].shape != shape:
        raise ValueError(f"its `{name}` has the shape {tensors[name].shape}, not {shape}")


def _length(config: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        found = config.get(key)
        last = found[-1] if isinstance(found, list) and found else found
        if isinstance(last, int) and 1 <= last <= MOST_CLASSES:
            return last
    return None


def _is_siglip(config: Mapping[str, Any]) -> bool:
    return str(config.get("model_type", "")).startswith("siglip")
