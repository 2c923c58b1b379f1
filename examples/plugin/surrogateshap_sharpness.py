"""Two utilities and an encoder for surrogateshap. It is not imported here, and needn't be."""

import math
from typing import Any

import numpy as np


class Grey:
    """Encoder: the images' grey values from 0 to 1, row by row."""

    def __init__(self, device: Any, *, weights: str = "rec601") -> None:
        """`device`, a torch.device, is where a network would go; grey values need none."""
        known = {"rec601": (0.299, 0.587, 0.114), "equal": (1 / 3, 1 / 3, 1 / 3)}
        if weights not in known:
            raise ValueError(f"weights must be one of {', '.join(known)}")
        self._weights = np.array(known[weights])

    def encode(self, images: np.ndarray) -> np.ndarray:
        """(N, H·W) of images (N, H, W, C) uint8."""
        pixels = images / 255
        grey = pixels @ self._weights if pixels.shape[-1] == 3 else pixels[..., 0]
        return grey.reshape(len(grey), -1)


def sharpness(encoded: Any, *, top: float = 1.0) -> np.ndarray:
    """
    Utility by scores (N,): mean absolute difference of neighbouring pixels, of square images' grey values (N, H·H).

    `top` caps each image's score.
    """
    side = math.isqrt(encoded.features.shape[1])
    if side * side != encoded.features.shape[1]:
        raise ValueError("the features are not the pixels of square images; use the encoder `grey`")
    images = encoded.features.reshape(-1, side, side)
    across, down = (np.abs(np.diff(images, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2))
    return np.minimum((across + down) / 2, top)


class Contrast:
    """
    Utility of the set as a whole: standard deviation of the grey values of all its pixels.

    It is no mean of scores, so it says how a weighting of the images is summarised, linearly in the weights (here by
    the first two moments), and what a summary is worth.
    """

    def __init__(self, encoded: Any) -> None:
        self._moments = np.stack([encoded.features.mean(axis=1), (encoded.features**2).mean(axis=1)], axis=1)

    def summarise(self, weights: Any) -> np.ndarray:
        """(K, 2) of K weightings (K, N), a dense or sparse array whose rows sum to 1."""
        return np.asarray(weights @ self._moments)

    def value(self, summaries: np.ndarray) -> np.ndarray:
        """(M,) of summaries (M, 2)."""
        mean, square = summaries.T
        return np.sqrt(np.maximum(square - mean**2, 0))
