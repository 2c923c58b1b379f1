"""The door to diffusion models: images for requests, whatever the family behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Request:
    """One image to make."""

    condition: int | str | None
    """Index of the class, or the prompt; None for no condition."""
    seed: int
    """Of the image's noise, which is drawn on the CPU: the same on every device and in every batch."""
    source: np.ndarray | None
    """Image proxy: the training image to start from, (H, W, C) uint8; None to start from noise alone."""


@dataclass(frozen=True)
class DenoisingLosses:
    """How badly a frozen model denoises N given images; mean squared errors in the unit of what it predicts."""

    conditional: np.ndarray
    """(N,) float64: under each image's own condition."""
    unconditional: np.ndarray | None
    """(N,) float64: without a condition, on the same noise; None where the model has no such thing."""


class Model(Protocol):
    """A frozen model on a device."""

    dtype: str
    """Such as `float32`."""

    def generate(self, requests: Sequence[Request]) -> np.ndarray:
        """Images (N, H, W, C) uint8, in the order of the requests, in one batch."""
        ...

    def compile(self) -> None:
        """Has the denoiser compiled when it is first used."""
        ...

    def denoising_losses(self, requests: Sequence[Request], levels: int) -> DenoisingLosses:
        """Losses of the requests' sources under their conditions, at `levels` levels of noise, in one batch.

        Every request has a condition and a source. Raises RunError where the model's noise schedule or what it
        predicts isn't known, or where its losses aren't.
        """
        ...
