"""What the planner must know of diffusers pipelines: from model_index.json and their components' configs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surrogateshap.plan.configs import MOST_CLASSES, check_weights, read_json

IMAGE_TO_IMAGE = frozenset(
    {
        "FluxPipeline",
        "IFPipeline",
        "Kandinsky3Pipeline",
        "KandinskyCombinedPipeline",
        "KandinskyV22CombinedPipeline",
        "KolorsPipeline",
        "LatentConsistencyModelPipeline",
        "QwenImagePipeline",
        "StableDiffusion3PAGPipeline",
        "StableDiffusion3Pipeline",
        "StableDiffusionPAGPipeline",
        "StableDiffusionPipeline",
        "StableDiffusionXLPAGPipeline",
        "StableDiffusionXLPipeline",
        "ZImagePipeline",
    }
)
"""Text-to-image pipelines with a counterpart that starts from a noised image (`strength`), by diffusers' names."""

TRAINABLE = frozenset(
    {"FluxPipeline", "StableDiffusion3Pipeline", "StableDiffusionPipeline", "StableDiffusionXLPipeline"}
)
"""Those that can be trained and whose gradients are known."""

DISTILLED = frozenset({"Flux2Pipeline", "FluxPipeline", "LatentConsistencyModelPipeline", "SanaSprintPipeline"})
"""Pipelines whose denoiser is told the guidance scale (Meng et al. 2022, arXiv 2210.03142): one evaluation a step."""

_PROMPTED = ("text_encoder", "tokenizer", "prior_text_encoder", "prior_tokenizer")
_WITHOUT_WEIGHTS = re.compile(r"(Tokenizer|TokenizerFast|Extractor|Processor|ProcessorPil|ProcessorFast)$|Scheduler")
UNUSED = frozenset({"safety_checker", "feature_extractor", "image_encoder", "watermarker"})
"""Components that are never loaded: checkers blacken images, the others take part in no text-to-image call."""
_LIBRARY = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Pipeline:
    """A pipeline as its configs describe it."""

    name: str
    """Its class."""
    prompts: bool
    """Whether it takes prompts; else class labels."""
    height: int | None
    """Pixels that it was trained at; None where the configs don't say."""
    width: int | None
    factor: int
    """Pixels per side of one latent."""
    classes: int
    """Class labels that it knows, less the one for no class; 0 where it takes prompts."""
    predicts: str
    flow: bool
    """Whether it was trained by flow matching."""


def read_pipeline(folder: Path, index: dict[str, Any], variant: str | None, listing: frozenset[str] | None) -> Pipeline:
    """Reads a pipeline's configs. Raises ValueError where it is none that this version runs, or none that is safe."""
    name = index.get("_class_name")
    if not isinstance(name, str):
        message = "names pipeline code of its own in model_index.json, and none is ever run"
        raise ValueError(message)  # noqa: TRY004 - the file is wrong, no argument
    components = dict(_components(folder, index, listing))
    if "controlnet" in components:
        raise ValueError(f"holds a {name}, which needs a control image besides the prompt")
    prompts = any(component in components for component in _PROMPTED)
    if not prompts and name != "DiTPipeline":
        raise ValueError(f"holds a {name}, which takes neither prompts nor class labels that are known of")
    variants = []
    for component, class_name in components.items():
        if component not in UNUSED and not _WITHOUT_WEIGHTS.search(class_name):
            names = check_weights(folder / component, listing, f"{component}/")
            variants += [file for file in names if f".{variant}." in file]
    if variant and not variants:
        raise ValueError(f"has no weights of the variant `{variant}`")
    denoiser = _config(folder, "transformer" if "transformer" in components else "unet", components)
    factor = _factor(_config(folder, "vae", components))
    size = denoiser.get("sample_size")
    height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
    latent = "vae" in components or denoiser.get("in_channels") == 3  # else in units that are not known here
    classes = 0 if prompts else denoiser.get("num_embeds_ada_norm")
    if not isinstance(classes, int) or not (prompts or 1 <= classes <= MOST_CLASSES):
        raise ValueError("its transformer's config doesn't say how many classes it knows (`num_embeds_ada_norm`)")
    scheduler = folder / "scheduler" / "scheduler_config.json"
    saved = read_json(scheduler) if "scheduler" in components else {}
    return Pipeline(
        name=name,
        prompts=prompts,
        height=_pixels(height, factor) if latent else None,
        width=_pixels(width, factor) if latent else None,
        factor=factor,
        classes=classes,
        predicts=str(saved.get("prediction_type", "epsilon")),
        flow=is_flow_matching(saved),
    )


def is_flow_matching(scheduler: dict[str, Any]) -> bool:
    """Whether a saved scheduler is one of flow matching (Lipman et al. 2022, arXiv 2210.02747)."""
    named = str(scheduler.get("_class_name", "")).startswith("FlowMatch")
    return named or scheduler.get("use_flow_sigmas") is True


def _components(folder: Path, index: dict[str, Any], listing: frozenset[str] | None) -> Iterator[tuple[str, str]]:
    """Names and classes of a pipeline's parts. Raises ValueError where one of them comes with code of its own."""
    for name, entry in index.items():
        if name.startswith("_") or not isinstance(entry, list) or not entry or set(entry) == {None}:
            continue
        if len(entry) != 2 or not all(isinstance(part, str) for part in entry) or not re.fullmatch(r"\w+", name):
            raise ValueError(f"has a `{name}` in model_index.json that is not a library and a class")
        library, class_name = entry
        code = f"{name}/{library}.py"
        shipped = (folder / code).exists() if listing is None else code in listing
        if shipped or not _LIBRARY.fullmatch(library):
            raise ValueError(f"brings code of its own for `{name}` ({library}), and none is ever run")
        if name not in UNUSED and any("auto_map" in config for config in _configs(folder / name)):
            raise ValueError(f"brings code of its own for `{name}` (`auto_map` in its config), and none is ever run")
        yield name, class_name


def _configs(folder: Path) -> Iterator[dict[str, Any]]:
    """All of a component's configs that may name code."""
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json"):
        if (folder / name).exists():
            yield read_json(folder / name)


def _config(folder: Path, component: str, components: dict[str, str]) -> dict[str, Any]:
    """A component's config; empty where there is none, as with schedulers and tokenizers."""
    path = folder / component / "config.json"
    return read_json(path) if component in components and path.exists() else {}


def _pixels(side: Any, factor: int) -> int | None:
    """Pixels of so many latents; None where that is no sensible number."""
    return side * factor if type(side) is int and 0 < side <= 1 << 16 else None


def _factor(vae: dict[str, Any]) -> int:
    """Pixels per side of one latent: every level of the autoencoder but the last halves them; 1 without one."""
    levels = vae.get("encoder_block_out_channels", vae.get("block_out_channels"))
    if isinstance(levels, list) and levels:
        return int(2 ** (min(len(levels), 12) - 1))
    multipliers = vae.get("dim_mult")  # QwenImage's autoencoder
    return int(2 ** (min(len(multipliers), 12) - 1)) if isinstance(multipliers, list) and multipliers else 1
