"""Encoders: networks that turn images into features and class probabilities."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class View:
    """What an encoder says of N images."""

    features: np.ndarray
    """(N, d) float32."""
    probabilities: np.ndarray
    """(N, k) float32; rows sum to 1."""


class Encoder(Protocol):
    """A frozen encoder on a device."""

    def encode(self, images: np.ndarray) -> View:
        """Of images (N, H, W, C) uint8, in one batch."""
        ...
