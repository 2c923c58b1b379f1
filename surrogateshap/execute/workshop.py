"""The models of one run, loaded when they are first needed: an attempt with nothing to generate never loads torch."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from surrogateshap.errors import DeviceError, RunError
from surrogateshap.execute.encoders import Encoder, TextEncoder, View
from surrogateshap.execute.images import decode
from surrogateshap.execute.memory import check_fits, free
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

    from surrogateshap.execute.models.training import Trainable

T = TypeVar("T")
_MODEL = ""
_KIND = "batch"
"""Of the rates of a store, whose units are here the most images at once."""
Batch = tuple[str, int]
"""A device's name, and how many images at once its memory turned out to allow."""


def known_batch(compiled: Compiled, store: Store) -> Batch | None:
    """What an earlier attempt found out about memory for the model at its size."""
    kept = store.latest_rate(_KIND, _subject(compiled))
    return None if kept is None else (kept[0], max(1, round(kept[1])))


def keep_batch(compiled: Compiled, store: Store, device: str, at_once: int) -> None:
    """Remembers it for later attempts."""
    store.add_rate(_KIND, _subject(compiled), device, float(at_once), 1.0)


def download(compiled: Compiled, roles: Iterable[str], say: Callable[[str], None]) -> None:
    """What inputs still lack, where they come from the hub. Raises RunError."""
    for role in roles:
        snapshot = compiled.checked.snapshots.get(role)
        if snapshot is not None and (missing := snapshot.missing()):
            say(f"downloading {size(sum(snapshot.sizes[name] for name in missing))} of {snapshot.name}")
            fetch(snapshot)


def _subject(compiled: Compiled) -> str:
    """Whose memory it is: the model's, at its size."""
    checked = compiled.checked
    return f"{checked.digest('model')} {checked.card.height}x{checked.card.width}"


class Workshop:
    """Makes and encodes images. Raises DeviceError and RunError where a device or a model is not what it should be."""

    def __init__(
        self,
        compiled: Compiled,
        device: str | None = None,
        *,
        threads: int | None = None,
        batch: Batch | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """On `device`, by default the first that the spec asks for; with so many CPU `threads`, by default the spec's.

        `batch` is what is known of the device's memory; `say` is told what takes long before anything can be counted:
        downloads.
        """
        self._compiled, self._asked, self._batch, self._say = compiled, device, batch, say
        self.threads = threads or compiled.spec.execution.threads
        self._loading = threading.Lock()
        """Held while one loads: two threads at once break what transformers and diffusers import late."""
        self._at_once: dict[str, int] = {}
        """By encoder, and for the model: images in a batch, once the device had too little memory for more."""
        self._encoders: dict[str, Encoder] = {}
        self._conditions = [_taken(compiled.checked.card, one) for one in compiled.checked.manifest.conditions]

    @cached_property
    def device(self) -> "torch.device":
        """That it computes on."""
        import torch

        from surrogateshap.execute.device import choose_devices

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return torch.device(self._asked or choose_devices(self._compiled.spec.execution.devices)[0])

    @property
    def device_name(self) -> str:
        """Such as `cpu` or `cuda:0 NVIDIA H100`."""
        from surrogateshap.execute.device import device_name

        return device_name(self.device)

    def name_device(self) -> str:
        """The same, for who can only call."""
        return self.device_name

    @cached_property
    def model(self) -> Model:
        """The frozen model."""
        checked = self._compiled.checked
        check_fits(self.device, self.device_name, model_bytes(self._compiled, self.device.type))
        download(self._compiled, [role for role in checked.snapshots if not role.startswith("encoder ")], self._say)
        return self.load_model(checked.model_path, checked.card, checked.adapters)

    def load_model(self, folder: Path, card: ModelCard, adapters: Sequence[AdapterInput] = ()) -> Model:
        """A model of the frozen one's shape, sampled as the spec asks."""
        made = self._load(folder, card, adapters, self._compiled.spec.model.dtype)
        if self._compiled.spec.execution.compile:
            made.compile()
        return made

    def _load(self, folder: Path, card: ModelCard, adapters: Sequence[AdapterInput], dtype: str) -> Model:
        spec = self._compiled.spec
        asked = (folder, card, spec.sampling, spec.proxy.strength, self.device)
        made: Model
        with self._loading:
            if card.pipeline is None:
                from surrogateshap.execute.models.class_conditional import ClassConditionalModel

                made = ClassConditionalModel(*asked)
            else:
                from surrogateshap.execute.models.pipeline import PipelineModel

                made = PipelineModel(*asked, dtype, adapters)
        return made

    def open_model(self, rank: int | None = None, seed: int = 0) -> "Trainable":
        """A copy of the frozen model that can be trained, as a whole or by a LoRA of that rank.

        The frozen one gives up its memory, and is loaded again when it is next asked for. Raises RunError where the
        model's family isn't known.
        """
        from surrogateshap.execute.models.training import open_model

        checked = self._compiled.checked
        self.forget_model()
        check_fits(self.device, self.device_name, model_bytes(self._compiled, self.device.type))
        download(self._compiled, [role for role in checked.snapshots if not role.startswith("encoder ")], self._say)
        # All weights of a model take steps that half precision would lose; those of a LoRA are apart.
        dtype = "float32" if rank is None else self._compiled.spec.model.dtype
        return open_model(self._load(checked.model_path, checked.card, checked.adapters, dtype), rank, seed)

    def forget_model(self) -> None:
        """Gives up the frozen model's memory until it is next asked for."""
        if self.__dict__.pop("model", None) is not None:
            free(self.device)

    def encoder(self, name: str) -> EncoderInput:
        """The spec's encoder of that name, loaded."""
        found = self._compiled.checked.encoders[name]
        self.prepare(found)
        return found

    def prepare(self, encoder: EncoderInput | None) -> None:
        """Loads an encoder, or the frozen model, once."""
        if encoder is None:
            _ = self.model
            return
        if encoder.name in self._encoders:
            return
        download(self._compiled, [f"encoder {encoder.name}"], self._say)
        with self._loading:
            if encoder.kind == "plugin":
                from surrogateshap.execute.encoders.plugin import PluginEncoder

                section = self._compiled.spec.encoder[encoder.position]
                self._encoders[encoder.name] = PluginEncoder(section, self.device)
            else:
                from surrogateshap.execute.encoders.factory import make_encoder

                self._encoders[encoder.name] = make_encoder(encoder, self.device)

    def make(self, requests: Sequence[Request], model: Model | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Images (N, H, W, C) uint8 of the frozen or of another model, and where they were made."""
        import torch

        chosen = model or self.model
        images = list(self.in_batches(_MODEL, len(requests), lambda at: chosen.generate(requests[at])))
        where = {"device": self.device_name, "dtype": chosen.dtype, "threads": torch.get_num_threads()}
        return np.concatenate(images), where

    def in_batches(self, who: str, number: int, work: Callable[[slice], T]) -> Iterator[T]:
        """Work on 0 to `number`, in batches that are halved whenever the device has too little memory.

        Raises DeviceError where one image alone is too much.
        """
        import torch

        at = 0
        while at < number:
            size = min(self._at_once.get(who, self._most(who)), number - at)
            try:
                made = work(slice(at, at + size))
            except torch.OutOfMemoryError:
                if size == 1:
                    raise self._too_little(1) from None
                self._at_once[who] = size // 2
            else:
                yield made
                at += size
                continue
            # Not in the handler: its exception keeps what filled the memory.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _most(self, who: str) -> int:
        """Of images in a batch, before the device's memory says otherwise."""
        size = self._compiled.spec.execution.batch_size
        if who != _MODEL:
            return size
        card = self._compiled.checked.card
        most = at_once(card.height, card.width, size)
        return min(most, self._batch[1]) if self._batch and self._batch[0] == self.device_name else most

    @property
    def halved(self) -> int | None:
        """Images of the model at once, where the device's memory didn't allow more."""
        return self._at_once.get(_MODEL)

    def denoising_losses(self, items: Sequence[Item]) -> DenoisingLosses:
        """How badly the model denoises the items' training images."""
        with self._memory_of(len(items)):
            return self.model.denoising_losses(self.requests(items), NOISE_LEVELS)

    def requests(self, items: Sequence[Item]) -> list[Request]:
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
        chosen = self._encoders[encoder.name]
        parts = list(self.in_batches(encoder.name, len(images), lambda at: chosen.encode(images[at])))
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
