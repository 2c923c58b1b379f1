"""The models of one run, loaded when they are first needed: an attempt with nothing to generate never loads torch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surrogateshap.errors import DeviceError, RunError
from surrogateshap.execute.encoders import Encoder, TextEncoder, View
from surrogateshap.execute.images import decode
from surrogateshap.execute.models import DenoisingLosses, Model, Request
from surrogateshap.execute.shards import Item, model_condition
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled
from surrogateshap.plan.flags import NOISE_LEVELS

if TYPE_CHECKING:
    import torch


class Workshop:
    """Makes and encodes images. Raises DeviceError and RunError where a device or a model is not what it should be."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._encoders: dict[str, Encoder] = {}
        indices = [compiled.checked.card.index(condition) for condition in compiled.checked.manifest.conditions]
        self._class_of_condition = [-1 if index is None else index for index in indices]

    @cached_property
    def device(self) -> "torch.device":
        """The device that the spec asks for."""
        import torch

        from surrogateshap.execute.device import choose_device

        execution = self._compiled.spec.execution
        if execution.threads is not None:
            torch.set_num_threads(execution.threads)
        return choose_device(execution.device)

    @property
    def device_name(self) -> str:
        """Such as `cpu` or `cuda:0 NVIDIA H100`."""
        from surrogateshap.execute.device import device_name

        return device_name(self.device)

    @cached_property
    def model(self) -> Model:
        """The frozen model."""
        return self.load_model(self._compiled.checked.model_path)

    def load_model(self, folder: Path) -> Model:
        """A model of the frozen one's shape, sampled as the spec asks."""
        from surrogateshap.execute.models.class_conditional import ClassConditionalModel

        spec, card = self._compiled.spec, self._compiled.checked.card
        return ClassConditionalModel(folder, card, spec.sampling, spec.proxy.strength, self.device)

    def prepare(self, encoder: EncoderInput) -> None:
        """Loads an encoder, once."""
        if encoder.name not in self._encoders:
            from surrogateshap.execute.encoders.factory import make_encoder

            self._encoders[encoder.name] = make_encoder(encoder, self.device)

    def make(self, items: Sequence[Item], model: Model | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Images (N, H, W, C) uint8 of the frozen or of another model, and where they were made."""
        import torch

        chosen, requests = model or self.model, self._requests(items)
        with self._memory_of(len(requests)):
            images = chosen.generate(requests)
        return images, {"device": self.device_name, "dtype": chosen.dtype, "threads": torch.get_num_threads()}

    def denoising_losses(self, items: Sequence[Item]) -> DenoisingLosses:
        """How badly the model denoises the items' training images."""
        with self._memory_of(len(items)):
            return self.model.denoising_losses(self._requests(items), NOISE_LEVELS)

    def _requests(self, items: Sequence[Item]) -> list[Request]:
        """What a model is asked for, with the training images that it starts from."""
        card, manifest = self._compiled.checked.card, self._compiled.checked.manifest
        rows = np.array(sorted({item.row for item in items if item.row >= 0}), np.int64)
        sources = {
            row: decode(data, card.height, card.width, card.channels, f"row {row} of {manifest.path.name}")
            for row, data in (manifest.images(rows).items() if len(rows) else ())
        }
        return [
            Request(model_condition(item.condition, self._class_of_condition), item.seed, sources.get(item.row))
            for item in items
        ]

    @contextmanager
    def _memory_of(self, images: int) -> Iterator[None]:
        """Raises DeviceError where a batch is too large for the device."""
        import torch

        try:
            yield
        except torch.OutOfMemoryError:
            message = f"{self.device_name} has too little memory for batches of {images} images"
            raise DeviceError(message, "Lower `batch_size` under [execution].") from None

    def encode(self, encoder: EncoderInput, images: np.ndarray) -> View:
        """What an encoder says of images (N, H, W, C) uint8, in batches."""
        self.prepare(encoder)
        size = self._compiled.spec.execution.batch_size
        with self._memory_of(size):
            parts = [self._encoders[encoder.name].encode(images[at : at + size]) for at in range(0, len(images), size)]
        return View(
            np.concatenate([part.features for part in parts]), np.concatenate([part.probabilities for part in parts])
        )

    def encode_texts(self, encoder: EncoderInput, texts: Sequence[str]) -> np.ndarray:
        """(C, d): what an encoder of images and texts says of C texts."""
        self.prepare(encoder)
        chosen = self._encoders[encoder.name]
        if not isinstance(chosen, TextEncoder):
            raise RunError(f"encoder `{encoder.name}` encodes no texts", 'Name an encoder of the kind "clip".')
        with self._memory_of(len(texts)):
            return chosen.encode_texts(texts)
