"""How an encoder wants its images: as its image processor was saved by transformers, done on the device.

Resizing is torch's, with antialiasing, in floating point: Pillow, which transformers uses, rounds in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from surrogateshap.plan.encoders import read_preprocessing

_RESAMPLING = {0: "nearest", 1: "bicubic", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, as image processors are saved with them, in torch's names; torch has no Lanczos (1)."""
_LARGEST = 4096
"""Pixels of a side."""
_BY_SHORTEST_EDGE = ("CLIP", "ChineseCLIP", "Bit", "ConvNext", "PoolFormer", "MobileNet", "Levit")
"""Processors that take a size of one number for the shorter edge; others make a square of it."""
_CONVNEXT_CROP = 224 / 256
"""Its processor's default."""
_CONVNEXT_WHOLE = 384
"""From this size on it crops nothing."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop, rescale, normalise."""

    channels: int
    size: Size | int | None
    """Height and width, or the shorter edge alone, which keeps the aspect; None for as it is."""
    crop: Size | None
    """Height and width of the centre that is kept; a smaller image gets a black margin."""
    mode: str
    scale: float
    mean: tuple[float, ...] | None
    deviation: tuple[float, ...] | None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, C, H, W), 0 to 255, as the network takes them."""
        pixels = _with_channels(images.float(), self.channels)
        if self.size is not None:
            pixels = resize(pixels, _target(pixels, self.size), self.mode)
        if self.crop is not None:
            pixels = _centre(pixels, self.crop)
        pixels = pixels * self.scale
        if self.mean is None or self.deviation is None:
            return pixels
        mean, deviation = (
            torch.tensor(values, device=pixels.device).view(1, -1, 1, 1) for values in (self.mean, self.deviation)
        )
        return (pixels - mean) / deviation


def preprocessing_of(folder: Path, channels: int) -> Preprocessing:
    """As a folder's image processor was saved, for a network of so many channels. Raises ValueError and TypeError."""
    saved = read_preprocessing(folder)
    size, crop = _sizes(saved) if saved.get("do_resize", True) else (None, _crop(saved))
    sides = [size] if isinstance(size, int) else list(size or ())
    if not all(type(side) is int and 0 < side <= _LARGEST for side in (*sides, *(crop or ()))):
        raise ValueError(f"its preprocessor_config.json has no size of 1 to {_LARGEST} pixels")
    normalises = saved.get("do_normalize", True) and saved.get("image_mean") is not None
    mean = _numbers(saved["image_mean"], "mean", channels) if normalises else None
    return Preprocessing(
        channels=channels,
        size=size,
        crop=crop,
        mode=_RESAMPLING.get(saved.get("resample", 2), "bilinear"),
        scale=float(saved.get("rescale_factor", 1 / 255)) if saved.get("do_rescale", True) else 1.0,
        mean=mean,
        deviation=_numbers(saved["image_std"], "std", channels) if normalises else None,
    )


def _sizes(saved: Mapping[str, Any]) -> tuple[Any, Any]:
    """To which size images are brought, and what is cut out of them."""
    kind = str(saved.get("image_processor_type") or saved.get("feature_extractor_type") or "")
    size, crop = saved.get("size"), _crop(saved)
    if isinstance(size, dict):
        edge = size.get("shortest_edge")
        size = edge if edge is not None else (size.get("height"), size.get("width"))
    elif size is not None and not kind.startswith(_BY_SHORTEST_EDGE):
        size = (size, size)
    share = saved.get("crop_pct", _CONVNEXT_CROP if kind.startswith("ConvNext") else None)
    if share is None or not isinstance(size, int):
        return size, crop
    if kind.startswith("ConvNext") and size >= _CONVNEXT_WHOLE:
        return (size, size), None
    return int(size / float(share)), crop or (size, size)


def _crop(saved: Mapping[str, Any]) -> Any:
    size = saved.get("crop_size")
    if size is None or not saved.get("do_center_crop", True):
        return None
    return (size.get("height"), size.get("width")) if isinstance(size, dict) else (size, size)


def _numbers(values: Any, name: str, channels: int) -> tuple[float, ...]:
    """One number per channel, or one for all."""
    found = tuple(float(value) for value in values) if isinstance(values, list) else (float(values),)
    if len(found) not in (1, channels):
        raise ValueError(f"its image_{name} has another number of channels than the model")
    return found


def _target(pixels: torch.Tensor, size: Size | int) -> Size:
    if not isinstance(size, int):
        return size
    height, width = pixels.shape[-2:]
    if height <= width:
        return size, int(size * width / height)
    return int(size * height / width), size


def resize(pixels: torch.Tensor, size: Size, mode: str = "bilinear") -> torch.Tensor:
    """Images (N, C, H, W), 0 to 255, of another height and width."""
    smooth: dict[str, Any] = {} if mode == "nearest" else {"antialias": True, "align_corners": False}
    # One direction after the other, as Pillow does: what overshoots is cut off in between.
    for wanted in ((pixels.shape[-2], size[1]), size):
        if tuple(pixels.shape[-2:]) != wanted:
            pixels = functional.interpolate(pixels, size=wanted, mode=mode, **smooth).clamp(0, 255)
    return pixels


def _centre(pixels: torch.Tensor, size: Size) -> torch.Tensor:
    lacking = [max(0, wanted - there) for wanted, there in zip(size, pixels.shape[-2:], strict=True)]
    if any(lacking):
        (above, beside) = ((lack + 1) // 2 for lack in lacking)
        pixels = functional.pad(pixels, (beside, lacking[1] - beside, above, lacking[0] - above))
    top, left = ((there - wanted) // 2 for wanted, there in zip(size, pixels.shape[-2:], strict=True))
    return pixels[..., top : top + size[0], left : left + size[1]]


def _with_channels(pixels: torch.Tensor, channels: int) -> torch.Tensor:
    if pixels.shape[1] == 3 and channels == 1:
        weights = torch.tensor([0.299, 0.587, 0.114], device=pixels.device).view(1, 3, 1, 1)
        return (pixels * weights).sum(1, keepdim=True)
    return pixels if pixels.shape[1] == channels else pixels[:, :1].expand(-1, channels, -1, -1)
