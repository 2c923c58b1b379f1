"""What the stages of a plan take: as measured here before, or estimated, and always with the basis named.

Estimates aim at a factor of three. One formula serves all networks: operations ÷ (the device's peak × the share of it
that such networks reach).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from surrogateshap.plan.batches import DECODED_PIXELS, at_once
from surrogateshap.plan.beside import encoded_once, own_images
from surrogateshap.plan.check_references import REFERENCE_AT_MOST, Reference, list_images
from surrogateshap.plan.coalitions import bootstrap_seconds
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.device import Device
from surrogateshap.plan.flags import NOISE_LEVELS
from surrogateshap.plan.hub import offline
from surrogateshap.plan.manifest import count_images
from surrogateshap.plan.model import Stage
from surrogateshap.plan.networks import NOTHING, ModelSize, Network, encoder_size, model_size
from surrogateshap.store import Store
from surrogateshap.text import digest
from surrogateshap.units import count, size

_UTILISATION = {"cuda": 0.35, "mps": 0.25, "cpu": 0.3}
"""Share of the peak that convolutions and matrix products of these sizes reach."""
_PER_IMAGE = 2e-4
"""Seconds for each image beside the networks: decoding what it starts from, drawing noise, scaling, writing."""
_FEW_OPERATIONS = 5e-6
"""Seconds that an encoder takes for an image at least: small networks wait for Python."""
_STEP = {False: 0.0025, True: 0.03}
"""Seconds of a denoising step of one batch at least, for the same reason; True: of a pipeline."""
_FIT = 59 / 32_000 / 258
"""Seconds for each coalition and contributor of a surrogate's fit; measured, see plan/coalitions.py."""
_GAME = 0.25
"""Seconds of a game's evaluation, and of its fit, beside its coalitions: reading what was encoded, gathering."""
_COMPARE = 1.0
"""Seconds for one game's comparison with anchors."""
_ROUGHLY = "may be off by 3×"


def steps_per_image(compiled: Compiled, proxy: str) -> int:
    """Denoising steps of one image: all of them from noise, the last strength × steps of them from an image."""
    spec = compiled.spec
    return spec.sampling.steps if proxy == "prompt" else max(1, round(spec.sampling.steps * spec.proxy.strength))


def evaluations_per_loss(compiled: Compiled) -> int:
    """Evaluations of the denoiser for the losses of one training image."""
    return NOISE_LEVELS * (1 if compiled.checked.card.null_class is None else 2)


@dataclass(frozen=True)
class Time:
    """Of one stage."""

    seconds: float | None
    basis: str


@dataclass(frozen=True)
class RateKey:
    """What a measured speed belongs to."""

    kind: str
    subject: str
    """Digest of what the speed depends on besides the device."""
    per_unit: float
    """Of what is counted for one unit of the stage: of a generated image, evaluations of the denoiser."""
    on_device: bool
    """Whether the stage runs on the accelerator, where there is one."""


def rate_key(compiled: Compiled, stage: str) -> RateKey:
    """Of the stage with this id."""
    kind, _, rest = stage.partition(":")
    spec, card = compiled.spec, compiled.checked.card
    shape = [card.height, card.width]
    model = compiled.checked.digest("model")
    if kind in ("generate", "flags"):
        adapters = [file.digest for file in compiled.checked.inputs if file.role.startswith("adapter")]
        subject = digest({"model": model, "adapters": adapters, "dtype": spec.model.dtype, "shape": shape})
        if kind == "flags":
            return RateKey(kind, subject, evaluations_per_loss(compiled), True)
        proxy = next((pool.proxy for pool in compiled.pools if pool.id == rest), "prompt")
        return RateKey(kind, subject, steps_per_image(compiled, proxy) * passes(compiled), True)
    if kind in ("encode", "reference"):
        encoder = compiled.checked.encoders[rest.rpartition(":")[2]]
        return RateKey(kind, digest({"encoder": encoder.digest, "shape": shape}), 1.0, True)
    return RateKey(kind, model, 1.0, False)


def size_of(compiled: Compiled) -> ModelSize:
    """Of the frozen model's networks."""
    checked, spec = compiled.checked, compiled.spec
    snapshot = checked.snapshots.get("model")
    sizes = snapshot.sizes if snapshot is not None else None
    return model_size(checked.model_path, sizes, spec.model.variant, checked.card.height, checked.card.width)


def passes(compiled: Compiled) -> int:
    """Evaluations of the denoiser in one step of a conditional image: two with classifier-free guidance."""
    return compiled.checked.card.evaluations_per_step(compiled.spec.sampling.guidance_scale)


def bytes_per_number(compiled: Compiled, model: ModelSize, kind: str) -> int:
    """Of the model's weights on a device of this kind."""
    dtype = compiled.spec.model.dtype
    half = model.pipeline and kind != "cpu" if dtype == "auto" else dtype != "float32"
    return 2 if half else 4


def model_bytes(compiled: Compiled, kind: str) -> int:
    """Of the model's weights, all of its networks, on a device of this kind."""
    model = size_of(compiled)
    return model.parameters * bytes_per_number(compiled, model, kind)


class Costs:
    """Of one plan. Without a device, what was never measured is unknown."""

    def __init__(self, compiled: Compiled, store: Store | None, device: Device | None) -> None:
        self._compiled, self._store, self._device = compiled, store, device
        self._kind = device.kind if device is not None else "cpu"

    @cached_property
    def _model(self) -> ModelSize:
        return size_of(self._compiled)

    @cached_property
    def _encoders(self) -> dict[str, Network]:
        snapshots = self._compiled.checked.snapshots
        sizes = {name: snapshots.get(f"encoder {name}") for name in self._compiled.checked.encoders}
        return {
            name: encoder_size(encoder.path, None if (there := sizes[name]) is None else there.sizes)
            if encoder.path is not None
            else NOTHING
            for name, encoder in self._compiled.checked.encoders.items()
        }

    @cached_property
    def passes(self) -> int:
        """Evaluations of the denoiser in one step of a conditional image."""
        return passes(self._compiled)

    def time(self, stage: str, pending: int, total: int) -> Time:
        """Of `pending` of a stage's `total` units, on the clock: workers share what is made and encoded."""
        alone = self._alone(stage, pending, total)
        workers = self._device.workers if self._device is not None else 1
        if workers == 1 or alone.seconds is None or not stage.startswith(("generate:", "encode:", "reference:")):
            return alone
        return Time(alone.seconds / workers, f"{alone.basis}, by {workers} workers")

    def gpu_seconds(self, stages: Iterable[Stage]) -> float | None:
        """What the pending stages take of all GPUs together; None where that of one is unknown."""
        device = self._device
        if device is None or device.kind == "cpu":
            return None if device is None else 0.0
        seconds = 0.0
        for stage in stages:
            if stage.state == "cached" or stage.kind not in ("generate", "encode", "flags"):
                continue
            if stage.seconds is None:
                return None
            seconds += stage.seconds * (1 if stage.kind == "flags" else device.workers)
        return seconds

    def _alone(self, stage: str, pending: int, total: int) -> Time:
        """By one worker."""
        if stage == "record":
            return Time(None, "")
        key = rate_key(self._compiled, stage)
        if (measured := self._measured(key.kind, key)) is not None:
            return Time(pending * key.per_unit / measured[1], f"measured on {measured[0]}")
        if key.kind == "flags" and (measured := self._measured("generate", key)) is not None:
            return Time(pending * key.per_unit / measured[1], f"from images that were measured on {measured[0]}")
        if key.kind == "reference" and (measured := self._measured("encode", key)) is not None:
            images = self._reference_images(stage, pending)
            return Time(images / measured[1], f"from images that were measured on {measured[0]}")
        if self._device is None:
            return Time(None, "not measured yet")
        if not key.on_device:
            seconds = sum(self._game_seconds(stage, game) for game in self._compiled.games)
            return Time(seconds * pending / total, f"estimated from the games' sizes; {_ROUGHLY}")
        return self._estimated(key, stage, pending)

    def _measured(self, kind: str, key: RateKey) -> tuple[str, float] | None:
        """Device and units per second of an earlier run or calibration, on such a device as this run will have."""
        found = self._store.latest_rate(kind, key.subject) if self._store is not None else None
        return found if found is not None and (not key.on_device or self._is_ours(found[0])) else None

    def _is_ours(self, name: str) -> bool:
        """Whether a speed was measured on such a device as this run will have."""
        return self._device is None or name.partition(" ")[0].partition(":")[0] == self._device.kind

    def _estimated(self, key: RateKey, stage: str, pending: int) -> Time:
        """By the networks' operations. Autoencoders count with each image, the denoiser with each evaluation."""
        model, device = self._model, self._device
        if device is None:
            return Time(None, "not measured yet")
        if key.kind in ("generate", "flags"):
            speed = self._speed(bytes_per_number(self._compiled, model, device.kind) == 2)
            operations = key.per_unit * model.denoiser.operations + model.decoder.operations
            pipeline = self._compiled.checked.card.pipeline is not None
            least = key.per_unit / self.passes * _STEP[pipeline] / self._batch
            known = model.denoiser.parameters > 0
        else:
            name = stage.rpartition(":")[2]
            network = self._encoders[name]
            speed, operations, least = self._speed(False), network.operations, _FEW_OPERATIONS
            known = network.parameters > 0
            if key.kind == "reference":
                pending = self._reference_images(stage, pending)
        if not known:
            return Time(None, "not measured yet, and its weights don't say how large it is")
        each = max(operations / speed, least) + _PER_IMAGE
        what = f"{_operations(operations)} per image at {_operations(speed)}/s"
        return Time(pending * each, f"estimated for {device.name}: {what}; {_ROUGHLY}")

    def _speed(self, half: bool) -> float:
        """Operations per second that networks reach."""
        if self._device is None:
            return 0.0
        return (self._device.half if half else self._device.single) * _UTILISATION[self._device.kind]

    def _reference_images(self, stage: str, pending: int) -> int:
        """Of so many references that an encoder has not seen."""
        name = stage.rpartition(":")[2]
        games = [game for game in self._compiled.games if game.encoder.name == name]
        distinct = {(game.reference.digest, game.reference.column): game.reference for game in games if game.reference}
        own = len(own_images(self._compiled, name))
        units = len(set(encoded_once(self._compiled, name))) + own
        return round((sum(map(_images, distinct.values())) + own) * pending / max(1, units))

    def _game_seconds(self, stage: str, game: GameDesign) -> float:
        """Of one game: its coalitions; the fit with the intervals' resampled pools; the comparison with anchors."""
        n, resamples = len(game.grouping.contributors), self._compiled.spec.intervals.resamples
        if stage == "evaluate":
            return _GAME + game.coalitions * game.cost.value_seconds
        if stage != "fit":
            return _COMPARE
        trees = 0.0 if game.estimator == "exact" else game.coalitions * n * _FIT
        return _GAME + trees + bootstrap_seconds(n, resamples, game.cost)

    @property
    def memory(self) -> int:
        """Bytes at the peak: all weights, and the activations of one batch where they are most."""
        model, batch, card = self._model, self._compiled.spec.execution.batch_size, self._compiled.checked.card
        width = bytes_per_number(self._compiled, model, self._kind)
        made = self._batch * model.denoiser.activations * self.passes
        decoded = at_once(card.height, card.width, self._batch, DECODED_PIXELS) * model.decoder.activations
        encoders = self._encoders.values()
        seen = max((network.activations for network in encoders), default=0.0)
        weights = width * model.parameters + 4 * sum(network.parameters for network in encoders)
        return weights + round(max(made * width, decoded * width, batch * seen * 4))

    @property
    def _batch(self) -> int:
        """Images that the model makes at once."""
        card = self._compiled.checked.card
        return at_once(card.height, card.width, self._compiled.spec.execution.batch_size)

    def warnings(self) -> Iterator[str]:
        """What is still to be downloaded, and what the device is too small for; nothing without a device."""
        device = self._device
        for snapshot in self._compiled.checked.snapshots.values() if device is not None else ():
            if missing := snapshot.missing():
                length = size(sum(snapshot.sizes[name] for name in missing))
                stops = ", which HF_HUB_OFFLINE forbids" if offline() else ""
                yield f"`apply` downloads {length} of {snapshot.name}{stops}"
        if device is None or device.memory is None:
            return
        weights = self._model.parameters * bytes_per_number(self._compiled, self._model, device.kind)
        if weights > device.memory:
            yield (
                f"the model's weights take {size(weights)}, and {device.name} has {size(device.memory)}: `apply` will "
                f"refuse it; lower `model.dtype`, or choose a smaller model or another device"
            )
        elif self.memory > device.memory:
            yield (
                f"batches of {count(self._batch)} images may take {size(self.memory)} "
                f"with the weights, and {device.name} has {size(device.memory)}; lower `execution.batch_size`"
            )


def _images(reference: Reference) -> int:
    """Of a reference, as many as are encoded."""
    if reference.kind == "statistics":
        return 0
    if reference.manifest is not None:
        return min(REFERENCE_AT_MOST, reference.manifest.rows)
    try:
        folder = reference.kind == "folder"
        there = len(list_images(reference.path)) if folder else count_images(reference.path, reference.column)
    except OSError:
        there = REFERENCE_AT_MOST
    return min(REFERENCE_AT_MOST, there)


def _operations(number: float) -> str:
    """`8.2 MFLOP`, `1.3 TFLOP`."""
    for unit, scale in (("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6)):
        if number >= scale:
            return f"{number / scale:.2g} {unit}" if number < 100 * scale else f"{number / scale:,.0f} {unit}"
    return f"{number / 1e3:.2g} kFLOP"
