"""Two ways to be a studio: passing questions on to another one, and sharing them out among several workers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from surrogateshap.execute.backends import Studio
from surrogateshap.execute.encoders import View
from surrogateshap.execute.models import DenoisingLosses
from surrogateshap.execute.shards import Item
from surrogateshap.plan.check_encoders import EncoderInput


class PassingOn(Studio):
    """Asks another studio, which is there once something is asked."""

    @property
    @abstractmethod
    def _studio(self) -> Studio:
        """That is asked."""

    @property
    def device_name(self) -> str:
        """See Studio."""
        return self._studio.device_name

    def prepare(self, encoder: EncoderInput | None) -> None:
        """See Studio."""
        self._studio.prepare(encoder)

    def encode(self, encoder: EncoderInput, images: np.ndarray) -> View:
        """See Studio."""
        return self._studio.encode(encoder, images)

    def encode_texts(self, encoder: EncoderInput, texts: Sequence[str]) -> np.ndarray:
        """See Studio."""
        return self._studio.encode_texts(encoder, texts)

    def denoising_losses(self, items: Sequence[Item]) -> DenoisingLosses:
        """See Studio."""
        return self._studio.denoising_losses(items)


class SharingOut(ABC):
    """Asks several workers for what can be cut into batches, and one for the rest."""

    _size: int
    """Images in a batch."""

    @abstractmethod
    def _ask(self, method: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """What a workshop's method says to each call's arguments, in their order."""

    def encode(self, encoder: EncoderInput, images: np.ndarray) -> View:
        """See Studio: all workers take part, a batch at a time."""
        starts = range(0, len(images), self._size)
        parts = self._ask("encode", [(encoder, images[at : at + self._size]) for at in starts])
        return View(
            np.concatenate([part.features for part in parts]), np.concatenate([part.probabilities for part in parts])
        )

    def encode_texts(self, encoder: EncoderInput, texts: Sequence[str]) -> np.ndarray:
        """See Studio."""
        found: np.ndarray = self._ask("encode_texts", [(encoder, texts)])[0]
        return found

    def denoising_losses(self, items: Sequence[Item]) -> DenoisingLosses:
        """See Studio."""
        found: DenoisingLosses = self._ask("denoising_losses", [(items,)])[0]
        return found
