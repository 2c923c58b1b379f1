"""LoRA adapters on a pipeline, as diffusers and as peft save them."""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from surrogateshap.plan.check import AdapterInput
from surrogateshap.plan.configs import read_json

_PEFT = "base_model.model."
"""Begins the names of weights that peft saved by itself."""


def add_adapters(pipeline: Any, adapters: Sequence[AdapterInput]) -> None:
    """Loads adapters, sets their scales and fuses them. Raises ValueError where one is not for this pipeline."""
    if not adapters:
        return
    if not hasattr(pipeline, "load_lora_weights"):
        raise ValueError(f"{type(pipeline).__name__} takes no LoRA adapters")
    names = [f"adapter_{position}" for position in range(len(adapters))]
    for name, adapter in zip(names, adapters, strict=True):
        _load(pipeline, adapter.path, name)
        if not any(name in found for found in pipeline.get_list_adapters().values()):
            raise ValueError(f"no weight of {adapter.path.name} belongs to a part of {type(pipeline).__name__}")
    pipeline.set_adapters(names, [adapter.scale for adapter in adapters])
    parts = [part for part in pipeline._lora_loadable_modules if getattr(pipeline, part, None) is not None]
    if hasattr(pipeline, "fuse_lora"):
        pipeline.fuse_lora(components=parts, adapter_names=names)
        pipeline.unload_lora_weights()


def _load(pipeline: Any, file: Path, name: str) -> None:
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        by_peft = all(key.startswith(_PEFT) for key in opened.keys())  # noqa: SIM118 - it is no dict
        weights = {key: opened.get_tensor(key) for key in opened.keys()} if by_peft else {}  # noqa: SIM118
    if not by_peft:
        pipeline.load_lora_weights(
            str(file.parent), weight_name=file.name, adapter_name=name, use_safetensors=True, local_files_only=True
        )
        return
    config = read_json(file.parent / "adapter_config.json")
    unusual = [key for key in ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save") if config.get(key)]
    if unusual:
        raise ValueError(f"its adapter_config.json has `{unusual[0]}`, which this version doesn't know")
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    scale = alpha / (sqrt(rank) if config.get("use_rslora") else rank)
    denoiser = "transformer" if getattr(pipeline, "transformer", None) is not None else "unet"
    # diffusers takes alpha = r where it is told nothing else, so the scale goes into one of the two factors.
    renamed = {
        f"{denoiser}.{key.removeprefix(_PEFT)}": weight * scale if ".lora_B." in key else weight
        for key, weight in weights.items()
    }
    pipeline.load_lora_weights(renamed, adapter_name=name)
