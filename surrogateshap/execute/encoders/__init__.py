"""Encoders: networks that turn images into features and class probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class View:
    """What an encoder says of N images."""

    features: np.ndarray
    """(N, d) float32."""
    probabilities: np.ndarray
    """(N, k) float32; rows sum to 1, or to the number of attributes. k is 0 for encoders without classes."""


class Encoder(Protocol):
    """A frozen encoder on a device."""

    def encode(self, images: np.ndarray) -> View:
        """Of images (N, H, W, C) uint8, in one batch."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """An encoder whose features texts have too."""

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(C, d) float32, in the space of the images' features; what is too long for the model is cut off."""
        ...
