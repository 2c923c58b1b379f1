"""Multi-scale structural similarity of two images (MS-SSIM; Wang, Simoncelli & Bovik 2003, equation 7)."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogateshap.games.encoded import Floats, Ints, Views
from surrogateshap.games.utilities.base import BLOCK

_WINDOW, _SIGMA = 11, 1.5
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales, finest first."""
_LUMINANCE = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601."""
_C1, _C2 = 0.01**2, 0.03**2
"""For pixels in [0, 1]."""

Singles = npt.NDArray[np.float32]
AnyFloats = npt.NDArray[Any]


class StructuralSimilarity:
    """MS-SSIM of pairs of N images, given as pixels (N, d) in [0, 1], where d is size² or size² · 3, channels last.

    It looks at luminance. Scales whose images are smaller than the window of 11 pixels are left out, and the others'
    exponents scaled so that they sum to 1: five scales from 176 pixels, two from 22, one (SSIM) from 11. At the
    coarsest scale images go on beyond their borders as mirrored, as torchmetrics has it, so that a small one has more
    than a few windows. Negative similarities count as 0. Each image's local moments are kept in single precision, about
    45 kB for 64 pixels. Raises ValueError for other numbers of pixels.
    """

    def __init__(self, pixels: Views) -> None:
        size = _size(pixels.shape[1])
        self.scales = next(s for s in range(5, 0, -1) if size >> (s - 1) >= _WINDOW)
        kept = np.array(_EXPONENTS[: self.scales])
        self._exponents = kept / kept.sum()
        self._levels: list[_Level] = []
        self._pairs_at_once = max(1, BLOCK // (4 * size**2))
        images = np.empty((len(pixels), size, size), dtype=np.float32)
        for start in range(0, len(pixels), self._pairs_at_once):
            some = pixels[start : start + self._pairs_at_once]
            grey = some if some.shape[1] == size**2 else some.reshape(len(some), -1, 3) @ _LUMINANCE
            images[start : start + len(some)] = grey.reshape(len(some), size, size)
        for scale in range(self.scales):
            self._levels.append(_Level(images, self._pairs_at_once, coarsest=scale == self.scales - 1))
            images = _halved(images)

    def __call__(self, first: Ints, second: Ints) -> Floats:
        """(P,): of the pairs of images at two arrays of positions, each (P,)."""
        found = np.empty(len(first))
        for start in range(0, len(first), self._pairs_at_once):
            pairs = slice(start, start + self._pairs_at_once)
            product = np.ones(len(first[pairs]))
            for level, exponent in zip(self._levels, self._exponents, strict=True):
                product *= np.maximum(level.similarity(first[pairs], second[pairs]), 0.0) ** exponent
            found[pairs] = product
        return found


class _Level:
    """Images of one scale, and their local means and variances."""

    def __init__(self, images: Singles, at_once: int, *, coarsest: bool) -> None:
        self._images, self._coarsest = images, coarsest
        blur = _blur(images.shape[1], mirrored=coarsest)
        self._blur = blur.astype(np.float32)
        self._mean = np.empty((len(images), blur.shape[1], blur.shape[1]), dtype=np.float32)
        self._variance = np.empty_like(self._mean)
        for start in range(0, len(images), at_once):
            part = slice(start, start + at_once)
            some = images[part].astype(np.float64)
            mean = _blurred(some, blur)
            self._mean[part], self._variance[part] = mean, _blurred(some**2, blur) - mean**2

    def similarity(self, first: Ints, second: Ints) -> Floats:
        """(P,): contrast and structure; at the coarsest scale with luminance."""
        across = self._mean[first] * self._mean[second]
        covariance = _blurred(self._images[first] * self._images[second], self._blur) - across
        found = (2 * covariance + _C2) / (self._variance[first] + self._variance[second] + _C2)
        if self._coarsest:
            found *= (2 * across + _C1) / (self._mean[first] ** 2 + self._mean[second] ** 2 + _C1)
        return np.asarray(found.mean(axis=(1, 2)), dtype=np.float64)


def _size(d: int) -> int:
    for channels in (1, 3):
        size = math.isqrt(d // channels)
        if size**2 * channels == d and size >= _WINDOW:
            return size
    raise ValueError(
        f"MS-SSIM needs the pixels of square images of {_WINDOW} × {_WINDOW} or more, grey or RGB, not {d} features: "
        "use an encoder of kind `pixels`"
    )


def _blur(size: int, *, mirrored: bool) -> Floats:
    """(size, windows): weights of the pixels of a line in each window, inside the image or around all its pixels."""
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    pixels = np.pad(np.arange(size), _WINDOW // 2, mode="reflect") if mirrored else np.arange(size)
    found = np.zeros((size, len(pixels) - _WINDOW + 1))
    for place in range(found.shape[1]):
        np.add.at(found[:, place], pixels[place : place + _WINDOW], window / window.sum())
    return found


def _blurred(images: AnyFloats, blur: AnyFloats) -> AnyFloats:
    """(B, v, v) of (B, s, s): along both axes, where the window fits; transposed, all alike."""
    return np.asarray((images @ blur).transpose(0, 2, 1) @ blur)


def _halved(images: Singles) -> Singles:
    """Means of 2 × 2 pixels."""
    n, half = len(images), images.shape[1] // 2
    return np.asarray(images[:, : 2 * half, : 2 * half].reshape(n, half, 2, half, 2).mean(axis=(2, 4)))
