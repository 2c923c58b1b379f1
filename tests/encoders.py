"""Tiny encoders with random weights, saved as their libraries save them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetModel,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

from surrogateshap.plan.encoders import LPIPS_LAYERS, VGG16

SIDE = 16
WORDS = ("a", "photo", "of", "zero", "one", "two", "three", "bright", "dark")
LENGTH = 8
"""Of the text models, in tokens."""
PROCESSING: dict[str, Any] = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": SIDE},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}
_VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
}
_TEXT = {
    "vocab_size": len(WORDS) + 4,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": LENGTH,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 3,
}


def tokenizer() -> PreTrainedTokenizerFast:
    """Knows WORDS, and marks where a text begins and ends."""
    special = ("[UNK]", "<s>", "</s>", "<pad>")
    vocabulary = {word: number for number, word in enumerate((*special, *WORDS))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="[UNK]",
        pad_token="<pad>",
        model_max_length=LENGTH,
    )


def save(model: Any, folder: Path, processing: dict[str, Any] | None = None, words: bool = False) -> Path:
    """A model with its preprocessing, and its tokenizer where it has `words`."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)  # random weights tell little apart
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processing or PROCESSING))
    if words:
        tokenizer().save_pretrained(folder)
    return folder


def save_clip(folder: Path) -> Path:
    """CLIP with shared features of length 12."""
    torch.manual_seed(1)
    return save(CLIPModel(CLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=12)), folder, words=True)


def save_siglip(folder: Path) -> Path:
    """SigLIP with shared features of length 16."""
    torch.manual_seed(2)
    return save(SiglipModel(SiglipConfig(text_config=_TEXT, vision_config=_VISION)), folder, words=True)


def save_dinov2(folder: Path) -> Path:
    """Whose pooled output is the class token, normalised; features of length 16."""
    torch.manual_seed(3)
    config = {key: value for key, value in _VISION.items() if key != "intermediate_size"}
    return save(Dinov2Model(Dinov2Config(**config)), folder)


def save_vit(folder: Path, *, pooler: bool = True, classes: int = 0) -> Path:
    """With or without a pooler, or as a classifier."""
    torch.manual_seed(4)
    if classes:
        return save(ViTForImageClassification(ViTConfig(**_VISION, num_labels=classes)), folder)
    return save(ViTModel(ViTConfig(**_VISION), add_pooling_layer=pooler), folder)


def save_resnet(folder: Path) -> Path:
    """Whose pooled output is a mean over places; features of length 12."""
    torch.manual_seed(5)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    return save(ResNetModel(config), folder)


def save_lpips(path: Path, widths: Sequence[int] = (4, 6, 8, 8, 8)) -> Path:
    """VGG16's convolutions, with few channels, and linear weights."""
    generator = torch.Generator().manual_seed(6)
    weights, before, block = {}, 3, 0
    for index in VGG16:
        if index is None:
            block += 1
            continue
        scale = (2 / (9 * before)) ** 0.5
        weights[f"features.{index}.weight"] = scale * torch.randn((widths[block], before, 3, 3), generator=generator)
        weights[f"features.{index}.bias"] = 0.1 * torch.randn(widths[block], generator=generator)
        before = widths[block]
        if index in LPIPS_LAYERS:
            weights[f"lin{block}"] = torch.rand((1, before, 1, 1), generator=generator)
    save_file(weights, path)
    return path


def save_head(path: Path, features: int, hidden: int = 5) -> Path:
    """Two linear layers, named so that the order of letters is not that of numbers."""
    rng = np.random.default_rng(7)
    parts = {
        "layers.2.weight": rng.normal(size=(hidden, features)),
        "layers.2.bias": rng.normal(size=hidden),
        "layers.10.weight": rng.normal(size=(1, hidden)),
    }
    save_file({name: torch.from_numpy(value.astype(np.float32)) for name, value in parts.items()}, path)
    return path
