"""The models of one run, loaded when they are first needed: an attempt with nothing to generate never loads torch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surrogateshap.errors import DeviceError, RunError
from surrogateshap.execute.encoders import Encoder, TextEncoder, View
from surrogateshap.execute.images import decode
from surrogateshap.execute.memory import check_fits
from surrogateshap.execute.models import DenoisingLosses, Model, Request
from surrogateshap.execute.shards import Item, model_condition
from surrogateshap.plan.batches import at_once
from surrogateshap.plan.cards import ModelCard
from surrogateshap.plan.check import AdapterInput
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled
from surrogateshap.plan.costs import model_bytes
from surrogateshap.plan.flags import NOISE_LEVELS
from surrogateshap.plan.hub import fetch
from surrogateshap.store import Store
from surrogateshap.units import size

if TYPE_CHECKING:
    import torch

_KIND = "batch"
"""Of the rates of a store, whose units are here the most images at once."""


class Workshop:
    """Makes and encodes images. Raises DeviceError and RunError where a device or a model is not what it should be."""

    def __init__(
        self, compiled: Compiled, store: Store | None = None, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """`say` is told what takes long before anything can be counted: downloads."""
        self._compiled, self._store, self._say = compiled, store, say
        self._encoders: dict[str, Encoder] = {}
        self._conditions = [_taken(compiled.checked.card, one) for one in compiled.checked.manifest.conditions]

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
        checked = self._compiled.checked
        check_fits(self.device, self.device_name, model_bytes(self._compiled, self.device.type))
        for role in ("model", *(f"adapter {position}" for position in range(len(checked.adapters)))):
            self._download(role)
        return self.load_model(checked.model_path, checked.card, checked.adapters)

    def load_model(self, folder: Path, card: ModelCard, adapters: Sequence[AdapterInput] = ()) -> Model:
        """A model of the frozen one's shape, sampled as the spec asks."""
        spec = self._compiled.spec
        asked = (folder, card, spec.sampling, spec.proxy.strength, self.device)
        made: Model
        if card.pipeline is None:
            from surrogateshap.execute.models.class_conditional import ClassConditionalModel

            made = ClassConditionalModel(*asked)
        else:
            from surrogateshap.execute.models.pipeline import PipelineModel

            made = PipelineModel(*asked, spec.model.dtype, adapters)
        if spec.execution.compile:
            made.compile()
        return made

    def prepare(self, encoder: EncoderInput) -> None:
        """Loads an encoder, once."""
        if encoder.name in self._encoders:
            return
        self._download(f"encoder {encoder.name}")
        if encoder.kind == "plugin":
            from surrogateshap.execute.encoders.plugin import PluginEncoder

            section = self._compiled.spec.encoder[encoder.position]
            self._encoders[encoder.name] = PluginEncoder(section, self.device)
        else:
            from surrogateshap.execute.encoders.factory import make_encoder

            self._encoders[encoder.name] = make_encoder(encoder, self.device)

    def _download(self, role: str) -> None:
        """What an input still lacks, where it comes from the hub. Raises RunError."""
        snapshot = self._compiled.checked.snapshots.get(role)
        if snapshot is not None and (missing := snapshot.missing()):
            self._say(f"downloading {size(sum(snapshot.sizes[name] for name in missing))} of {snapshot.name}")
            fetch(snapshot)

    def make(self, items: Sequence[Item], model: Model | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Images (N, H, W, C) uint8 of the frozen or of another model, and where they were made."""
        import torch

        chosen, requests = model or self.model, self._requests(items)
        images: list[np.ndarray] = []
        while (done := sum(map(len, images))) < len(requests):
            size = min(self._at_once, len(requests) - done)
            try:
                images.append(chosen.generate(requests[done : done + size]))
                continue
            except torch.OutOfMemoryError:
                if size == 1:
                    raise self._too_little(1) from None
            # Not in the handler: its exception keeps what filled the memory.
            self._at_once = size // 2
            self._keep()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        where = {"device": self.device_name, "dtype": chosen.dtype, "threads": torch.get_num_threads()}
        return np.concatenate(images), where

    @cached_property
    def _at_once(self) -> int:
        """Images that are made in one batch of the model, halved whenever the device has too little memory."""
        card = self._compiled.checked.card
        most = at_once(card.height, card.width, self._compiled.spec.execution.batch_size)
        kept = self._store.latest_rate(_KIND, self._subject) if self._store is not None else None
        if kept is not None and kept[0] == self.device_name:
            most = min(most, max(1, round(kept[1])))
        return most

    def _keep(self) -> None:
        if self._store is not None:
            self._store.add_rate(_KIND, self._subject, self.device_name, float(self._at_once), 1.0)

    @property
    def _subject(self) -> str:
        """Whose memory it is: the model's, at its size."""
        checked = self._compiled.checked
        return f"{checked.digest('model')} {checked.card.height}x{checked.card.width}"

    def denoising_losses(self, items: Sequence[Item]) -> DenoisingLosses:
        """How badly the model denoises the items' training images."""
        with self._memory_of(len(items)):
            return self.model.denoising_losses(self._requests(items), NOISE_LEVELS)

    def _requests(self, items: Sequence[Item]) -> list[Request]:
        """What a model is asked for, with the training images that it starts from."""
        card, manifest = self._compiled.checked.card, self._compiled.checked.manifest
        rows = np.array(sorted({item.row for item in items if item.row >= 0}), np.int64)
        sources = {
            row: decode(
                data, card.height, card.width, card.channels, f"row {manifest.number(row)} of {manifest.path.name}"
            )
            for row, data in (manifest.images(rows).items() if len(rows) else ())
        }
        return [
            Request(model_condition(item.condition, self._conditions), item.seed, sources.get(item.row))
            for item in items
        ]

    @contextmanager
    def _memory_of(self, images: int) -> Iterator[None]:
        """Raises DeviceError where a batch is too large for the device."""
        import torch

        try:
            yield
        except torch.OutOfMemoryError:
            raise self._too_little(images) from None

    def _too_little(self, images: int) -> DeviceError:
        what = "one image" if images == 1 else f"batches of {images} images"
        message = f"{self.device_name} has too little memory for {what}"
        remedy = "Lower `batch_size` under [execution]." if images > 1 else "Take a larger device or a smaller model."
        return DeviceError(message, remedy)

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


def _taken(card: ModelCard, condition: str) -> int | str:
    """A manifest's condition as the model takes it."""
    if card.kind == "prompts":
        return condition
    index = card.index(condition)
    return -1 if index is None else index
