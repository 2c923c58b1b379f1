"""LPIPS (Zhang et al. 2018, arXiv 1801.03924, equation 1; VGG16, linear weights) as a squared distance of features."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from surrogateshap.execute.encoders import View
from surrogateshap.execute.encoders.preprocessing import resize
from surrogateshap.execute.loading import not_loaded
from surrogateshap.plan.encoders import LPIPS_FEATURES, LPIPS_LAYERS, VGG16, linear_name

LARGEST = 224
"""Pixels of the longer edge: larger images are scaled down to it."""
SMALLEST = 32
"""Pixels of the shorter edge: smaller images are scaled up to it, since VGG16 halves them four times."""
_AT_ONCE = 16
"""Images whose activations are held together: 60 MB each at 224 × 224."""
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
"""By which the published code normalises images from -1 to 1."""
_LEAST = 1e-10


class Lpips:
    """Features (N, 4096) whose squared Euclidean distance is LPIPS, up to a projection's error.

    Activations of five layers, scaled to length 1 over channels and by the root of (linear weight / places), have that
    squared distance exactly, but there are millions of them. A count sketch (Charikar et al. 2002; Weinberger et al.
    2009, arXiv 0902.2206, lemma 2), the same for all images, projects them: each is added with a random sign to one of
    4,096 numbers. Squared distances stay unbiased, with a standard error of at most √(2 / 4096) = 2.2 % of each. Raises
    RunError where the file can't be loaded.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        from safetensors.torch import load_file

        self._device = device
        try:
            weights = {name: value.float() for name, value in load_file(path).items()}
            self._layers = {
                index: (weights[f"features.{index}.weight"].to(device), weights[f"features.{index}.bias"].to(device))
                for index in VGG16
                if index is not None
            }
            linear = [weights[linear_name(weights, layer)].flatten().to(device) for layer in range(len(LPIPS_LAYERS))]
            if any(bool((each < 0).any()) for each in linear):
                raise ValueError("its linear weights are negative, so that it is no distance")
        except Exception as error:  # what a stranger's file can break has no common base
            raise not_loaded("encoder", path, error, "Save VGG16's `features` and LPIPS' lin0 to lin4.") from error
        self._roots = [each.sqrt() for each in linear]
        self._sketches: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> View:
        """Features (N, 4096) of images (N, H, W, C) uint8, without probabilities."""
        parts = [self._encode(images[at : at + _AT_ONCE]) for at in range(0, len(images), _AT_ONCE)]
        return View(np.concatenate(parts), np.zeros((len(images), 0), np.float32))

    def _encode(self, images: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float()
        pixels = resize(pixels, fitting(*pixels.shape[-2:]))
        features = torch.zeros((len(images), LPIPS_FEATURES), device=self._device)
        at = 0
        for activations in self.activations(pixels):
            flat = activations.flatten(1)
            where, signs = self._sketch(at, flat.shape[1])
            features.index_add_(1, where, flat * signs)
            at += flat.shape[1]
        return features.cpu().numpy()

    def activations(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Of images (N, C, H, W), 0 to 255: five times (N, channels, height, width), before they are projected."""
        shift, scale = (torch.tensor(each, device=pixels.device).view(1, 3, 1, 1) for each in (_SHIFT, _SCALE))
        x = (pixels.expand(-1, 3, -1, -1) / 127.5 - 1 - shift) / scale
        found: list[torch.Tensor] = []
        for index in VGG16:
            if index is None:
                x = functional.max_pool2d(x, 2)
                continue
            x = functional.conv2d(x, *self._layers[index], padding=1).relu()
            if index in LPIPS_LAYERS:
                root = self._roots[len(found)].view(1, -1, 1, 1)
                places = x.shape[2] * x.shape[3]
                length = x.square().sum(dim=1, keepdim=True).sqrt() + _LEAST
                found.append(x / length * root / places**0.5)
        return found

    def _sketch(self, at: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Where each of `size` activations from position `at` on goes, and its sign: the same on every machine."""
        if (at, size) not in self._sketches:
            mixed = _mixed(np.arange(at, at + size, dtype=np.uint64))
            where = torch.from_numpy((mixed % np.uint64(LPIPS_FEATURES)).astype(np.int64))
            signs = torch.from_numpy((mixed >> np.uint64(63)).astype(np.float32) * 2 - 1)
            self._sketches[at, size] = where.to(self._device), signs.to(self._device)
        return self._sketches[at, size]


def fitting(height: int, width: int) -> tuple[int, int]:
    """Height and width at which images are compared: as they are, but for large and for very small ones."""
    scale = min(1.0, LARGEST / max(height, width))
    scale = max(scale, SMALLEST / min(height, width))
    return max(SMALLEST, round(height * scale)), max(SMALLEST, round(width * scale))


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Random bits of each number (splitmix64)."""
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
