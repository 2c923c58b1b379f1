"""Any image classifier in Hugging Face layout, as an encoder.

Features are what the last linear layer sees: captured at its input, so that no family needs a class of its own.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from surrogateshap.errors import RunError
from surrogateshap.execute.encoders import View
from surrogateshap.execute.loading import not_loaded, refuse_partial

_RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, as `preprocessor_config.json` gives them, in torch's names."""
_LARGEST = 4096
"""Pixels of a side."""


class Classifier:
    """Raises RunError where the folder can't be loaded."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        from transformers import AutoModelForImageClassification
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity(logging.CRITICAL)  # its reports print strangers' names as they are
        try:
            loaded: Any = AutoModelForImageClassification.from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
            self._model: Any = loaded[0]
            refuse_partial(loaded[1])
            self._config = _preprocessing(folder)
            channels = getattr(self._model.config, "num_channels", 3)
            for key in ("mean", "std"):
                if self._config[key] and len(self._config[key]) not in (1, channels):
                    raise ValueError(f"its image_{key} has another number of channels than the model")
        except Exception as error:  # what a stranger's config can break has no common base
            raise not_loaded("encoder", folder, error, "Save it with transformers.") from error
        self._model.to(device).eval().requires_grad_(False)
        self._device = device
        heads = [module for module in self._model.modules() if isinstance(module, torch.nn.Linear)]
        if not heads:
            raise RunError(f"the encoder in {folder.name} has no linear layer to take features from")
        self._seen: list[torch.Tensor] = []
        heads[-1].register_forward_pre_hook(lambda _, inputs: self._seen.append(inputs[0].detach()))

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> View:
        """Features (N, d) and probabilities (N, k) of images (N, H, W, C) uint8."""
        pixels = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float()
        self._seen.clear()
        logits = self._model(pixel_values=self._preprocess(pixels)).logits
        features = self._seen[-1].flatten(1)
        return View(features.float().cpu().numpy(), logits.float().softmax(dim=-1).cpu().numpy())

    def _preprocess(self, pixels: torch.Tensor) -> torch.Tensor:
        config = self._config
        channels = getattr(self._model.config, "num_channels", 3)
        if pixels.shape[1] == 3 and channels == 1:
            weights = torch.tensor([0.299, 0.587, 0.114], device=pixels.device).view(1, 3, 1, 1)
            pixels = (pixels * weights).sum(1, keepdim=True)
        elif pixels.shape[1] != channels:
            pixels = pixels[:, :1].expand(-1, channels, -1, -1)
        if config["size"] is not None and pixels.shape[-2:] != config["size"]:
            mode = config["mode"]
            smooth = {} if mode == "nearest" else {"antialias": True, "align_corners": False}
            pixels = functional.interpolate(pixels, size=config["size"], mode=mode, **smooth).clamp(0, 255)
        pixels = pixels * config["scale"]
        if config["mean"] is None:
            return pixels
        mean, std = (torch.tensor(config[key], device=pixels.device).view(1, -1, 1, 1) for key in ("mean", "std"))
        return (pixels - mean) / std


def _preprocessing(folder: Path) -> dict[str, Any]:
    """Size, scale, mean and deviation from the folder's preprocessor_config.json. Raises OSError and ValueError."""
    saved = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    size = saved.get("size")
    if isinstance(size, dict):
        edge = size.get("shortest_edge")
        size = (size.get("height", edge), size.get("width", edge))
    elif isinstance(size, int):
        size = (size, size)
    if not saved.get("do_resize", True):
        size = None
    if size is not None and not all(isinstance(side, int) and 0 < side <= _LARGEST for side in size):
        raise ValueError(f"its preprocessor_config.json has no size of 1 to {_LARGEST} pixels")
    normalises = saved.get("do_normalize", True) and saved.get("image_mean") is not None
    return {
        "size": size,
        "mode": _RESAMPLING.get(saved.get("resample", 2), "bilinear"),
        "scale": float(saved.get("rescale_factor", 1 / 255)) if saved.get("do_rescale", True) else 1.0,
        "mean": _numbers(saved["image_mean"]) if normalises else None,
        "std": _numbers(saved["image_std"]) if normalises else None,
    }


def _numbers(values: Any) -> list[float]:
    """One number per channel, or one for all. Raises ValueError and TypeError."""
    if isinstance(values, list):
        return [float(value) for value in values]
    return [float(values)]
