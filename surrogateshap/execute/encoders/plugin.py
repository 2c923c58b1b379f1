"""Encoders of other packages.

A plugin's entry point of the group `surrogateshap.encoders` is called once as `found(device, **options)`, with a
`torch.device` and the spec's `options`. What it returns has `encode(images)`, which takes images (N, H, W, C) uint8 and
returns their features, (N, d) finite numbers on the CPU; d may not depend on the images. Every batch goes through it.
"""

from typing import Any

import numpy as np
import torch

from surrogateshap.execute.encoders import View
from surrogateshap.plugins import failed, find_plugin, guarded, load
from surrogateshap.spec.model import EncoderSection


class PluginEncoder:
    """Of a spec that was checked, plugins allowed. Raises RunError, naming the plugin, where it fails."""

    def __init__(self, section: EncoderSection, device: torch.device) -> None:
        self._plugin = find_plugin("encoder", section.plugin or "")
        self._made: Any = guarded(self._plugin, load(self._plugin), device, **section.options)
        if not callable(getattr(self._made, "encode", None)):
            raise failed(self._plugin, f"it gives {type(self._made).__name__}, which has no `encode`")
        self._length: int | None = None

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> View:
        """Features (N, d) of images (N, H, W, C) uint8; no classes."""
        found: Any = guarded(self._plugin, self._made.encode, images)
        features = guarded(self._plugin, np.asarray, found)
        if features.dtype.kind not in "biuf" or features.ndim != 2 or len(features) != len(images):
            shape = features.shape if features.dtype.kind in "biuf" else type(found).__name__
            raise failed(self._plugin, f"features must have shape ({len(images)}, any), not {shape}")
        if features.shape[1] != (self._length or features.shape[1]) or features.shape[1] == 0:
            raise failed(self._plugin, f"features of {features.shape[1]} numbers, after {self._length or 'none'}")
        self._length = features.shape[1]
        return View(features.astype(np.float32), np.zeros((len(images), 0), np.float32))
