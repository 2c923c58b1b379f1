"""How large the networks of a run are, from configs and the headers of their weights: nothing is loaded.

Operations per evaluation are 2 × parameters × the positions that a parameter is applied at. In a transformer that is
every token. In a convolutional network it depends on the level: parameters go with the square of a level's channels,
positions fall by four from level to level. So counted, SD 1.5 at 512 pixels comes to 0.6 of 0.7 TFLOP, its decoder to
1.9 of 2.5, and the DDPM of CIFAR-10 to 13 of 12 GFLOP. Attention between tokens is left out: it is a small part up to
1,024 pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surrogateshap.plan.configs import read_json
from surrogateshap.plan.encoders import read_preprocessing
from surrogateshap.plan.files import loaded_files
from surrogateshap.plan.tensors import read_tensors

_LARGE = 4 << 30
"""Bytes of weights beyond which a network on the hub is taken to be stored in half precision."""
_TENSORS = 10
"""Activations of one layer's size that are alive at the widest place: residual, queries, keys, values, four times the
width inside an MLP, and what comes out."""


@dataclass(frozen=True)
class Network:
    """One network's size."""

    parameters: int
    operations: float
    """Floating point operations for one image."""
    activations: float
    """Numbers alive at the widest place, for one image."""


NOTHING = Network(0, 0.0, 0.0)


@dataclass(frozen=True)
class ModelSize:
    """A diffusion model's networks."""

    denoiser: Network
    decoder: Network
    """Of latents to pixels; nothing where the model works on pixels."""
    parameters: int
    """Of all networks together, text encoders included."""
    pipeline: bool
    """Whether it has more networks than the denoiser."""


def model_size(
    folder: Path, sizes: Mapping[str, int] | None, variant: str | None, height: int, width: int
) -> ModelSize:
    """Of a model in diffusers layout for images of `height` × `width` pixels.

    `sizes` are the bytes of the files that there will be, where the weights are still on the hub. What can't be read
    counts nothing: this is an estimate, and other parts say what is wrong.
    """
    files = _files(folder, sizes, variant)
    place = next((name for name in ("transformer", "unet") if any(file.startswith(f"{name}/") for file in files)), "")
    counts = _counts(folder, files, variant)
    config, decoder = _config(folder / place), _config(folder / "vae")
    vae_channels = _channels(decoder)
    shrink = 2 ** (len(vae_channels) - 1) if vae_channels else 8 if decoder else 1
    rows, columns = max(1, height // shrink), max(1, width // shrink)
    denoiser = _denoiser(config, counts.get(place, 0), rows, columns, decoder)
    parameters = counts.get("vae", 0)
    pixels = height * width
    return ModelSize(
        denoiser=denoiser,
        # Half of an autoencoder decodes; at the top some four feature maps are alive.
        decoder=Network(
            parameters,
            parameters * _positions(vae_channels or (1,), pixels) if parameters else 0.0,
            4.0 * pixels * vae_channels[0] if vae_channels else 0.0,
        ),
        parameters=sum(counts.values()),
        pipeline=len([name for name, count in counts.items() if count]) > 1,
    )


def encoder_size(path: Path, sizes: Mapping[str, int] | None) -> Network:
    """Of an encoder, for one image at the size that it scales images to."""
    if path.is_file():
        files, folder, config = {path.name: path.stat().st_size}, path.parent, dict[str, Any]()
    else:
        files = {name: size for name, size in _files(path, sizes, None).items() if "/" not in name}
        folder, config = path, _config(path)
    parameters = sum(_counts(folder, files, None).values())
    inner = config.get("vision_config")
    vision: dict[str, Any] = inner if isinstance(inner, dict) else config
    side = _side(folder, vision)
    patch = vision.get("patch_size")
    stages = _numbers(config.get("hidden_sizes"))
    if isinstance(patch, int) and patch > 0:
        positions = (side / patch) ** 2
        share = 0.7 if vision is not config else 1.0  # the rest of a CLIP reads texts
    else:  # convolutional networks begin with a stem that makes an image four times smaller
        positions = _positions(stages, (side / 4) ** 2) if stages else (side / 16) ** 2
        share = 1.0
    widths = (vision.get(key) for key in ("hidden_size", "embedding_size"))
    width = next((value for value in widths if isinstance(value, int) and _is_size(value)), 64)
    return Network(parameters, 2 * share * parameters * max(1.0, positions), _TENSORS * width * max(1.0, positions))


def _denoiser(
    config: Mapping[str, Any], parameters: int, rows: int, columns: int, decoder: Mapping[str, Any]
) -> Network:
    channels = _channels(config)
    if channels:
        operations = 2 * parameters * _positions(channels, rows * columns)
        return Network(parameters, operations, float(_TENSORS * rows * columns * channels[0]))
    patch = config.get("patch_size")
    patch = patch if isinstance(patch, int) and 1 <= patch <= 64 else 2
    latents = decoder.get("latent_channels")
    if patch == 1 and isinstance(latents, int) and config.get("in_channels") == 4 * latents:
        patch = 2  # FLUX and its kin pack two by two latents into one token
    tokens = max(1, rows // patch) * max(1, columns // patch)
    heads, length = config.get("num_attention_heads"), config.get("attention_head_dim")
    width = heads * length if isinstance(heads, int) and isinstance(length, int) and heads * length > 0 else 1_024
    return Network(parameters, 2.0 * parameters * tokens, float(_TENSORS * tokens * width))


def _positions(channels: Sequence[int], top: float) -> float:
    """Positions that a convolutional network's parameters are applied at, on average; `top` of them at its first level.

    A level's parameters count by the square of its channels.
    """
    weights = [float(number) ** 2 for number in channels]
    places = [max(1.0, top / 4**level) for level in range(len(weights))]
    return float(sum(weight * place for weight, place in zip(weights, places, strict=True)) / sum(weights))


def _channels(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Channels of a network's levels, the largest level first."""
    for key in ("block_out_channels", "decoder_block_out_channels"):
        if found := _numbers(config.get(key)):
            return found
    return ()


def _numbers(value: Any) -> tuple[int, ...]:
    whole = isinstance(value, list) and 0 < len(value) <= 16 and all(map(_is_size, value))
    return tuple(value) if whole else ()


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1 << 20


def _side(folder: Path, vision: Mapping[str, Any]) -> int:
    """Pixels of a side of what an encoder sees."""
    try:
        size = read_preprocessing(folder).get("size")
    except ValueError:
        size = None
    if isinstance(size, dict):
        size = size.get("height", size.get("shortest_edge"))
    for value in (size, vision.get("image_size")):
        if _is_size(value):
            return min(int(value), 4_096)  # type: ignore[arg-type]
    return 224


def _config(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / "config.json")
    except ValueError:
        return {}


def _files(folder: Path, sizes: Mapping[str, int] | None, variant: str | None) -> dict[str, int]:
    """Bytes of the weights that are loaded, by name relative to the folder."""
    there = dict(sizes) if sizes is not None else _on_disk(folder)
    try:
        names = loaded_files(folder, there, "pipeline", variant)
    except ValueError:
        names = [*there]
    return {name: there[name] for name in names if name.endswith(".safetensors")}


def _on_disk(folder: Path) -> dict[str, int]:
    try:
        paths = [*folder.glob("*"), *folder.glob("*/*")]
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths if path.is_file()}
    except OSError:
        return {}


def _counts(folder: Path, files: Mapping[str, int], variant: str | None) -> dict[str, int]:
    """Parameters by component: from headers, or, where a file isn't here yet, from its size."""
    whole: dict[str, int] = {}
    for name, length in files.items():
        whole[name.rpartition("/")[0]] = whole.get(name.rpartition("/")[0], 0) + length
    counts: dict[str, int] = {}
    for name, length in files.items():
        place = name.rpartition("/")[0]
        width = 2 if variant in ("fp16", "bf16") or whole[place] > _LARGE else 4
        known = count_parameters(folder / name)
        counts[place] = counts.get(place, 0) + (length // width if known is None else known)
    return counts


def count_parameters(path: Path) -> int | None:
    """Numbers in a safetensors file, by its header; None where there is no such file or header."""
    try:
        # No more than there are bytes, whatever the header says.
        return min(sum(tensor.size for tensor in read_tensors(path).values()), path.stat().st_size)
    except (OSError, ValueError):
        return None
