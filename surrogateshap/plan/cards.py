"""What the planner must know of models: read from their JSON configs, nothing is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from surrogateshap.plan.configs import MOST_CLASSES, check_weights, class_index, class_names, read_json
from surrogateshap.plan.pipelines import DISTILLED, IMAGE_TO_IMAGE, Pipeline, read_pipeline
from surrogateshap.spec.model import ModelSection, SamplingSection

_SIDE = 4_096
_DIT_NULL = 1_000
"""The class that diffusers' DiTPipeline guides with, however many there are."""


@dataclass(frozen=True)
class ModelCard:
    """A diffusion model in diffusers layout."""

    labels: tuple[str, ...]
    """Names of the classes; the position is the index of the class embedding. Empty where it takes prompts."""
    null_class: int | None
    """Index of the embedding that means "no class"; None where the model has none."""
    height: int
    width: int
    channels: int
    predicts: str = "epsilon"
    """What the denoiser was trained to predict, by diffusers' name."""
    kind: Literal["classes", "prompts"] = "classes"
    """What it is conditioned on."""
    pipeline: str | None = None
    """Name of the diffusers pipeline that samples it; None for a class-conditional UNet, which needs none."""
    image_to_image: bool = True
    """Whether it can start from an image, as the image proxy does."""
    guided: bool = True
    """Whether guidance can be had, as far as the model goes."""
    distilled: bool = False
    """Whether guidance is an input of the denoiser, and takes no evaluation of its own."""
    flow: bool = False
    """Whether it was trained by flow matching, which has schedulers of its own."""
    variant: str | None = None
    """Of the weights' files, as the spec has it."""

    @property
    def unconditional(self) -> bool:
        """Whether it makes images without a condition; of prompts that is the empty one."""
        return self.kind == "prompts" or self.null_class is not None

    def index(self, condition: str) -> int | None:
        """Index of the class that a manifest's condition names, by label or by number; None for an unknown one."""
        return class_index(condition, self.labels)

    def label(self, condition: str) -> str | None:
        """What a condition is called: a class by its name, a prompt by itself; None for an unknown class."""
        if self.kind == "prompts":
            return condition
        index = self.index(condition)
        return None if index is None else self.labels[index]

    def evaluations_per_step(self, guidance_scale: float) -> int:
        """Evaluations of the denoiser for one step of one image under a condition."""
        asked = guidance_scale > 1 if self.pipeline else guidance_scale != 1
        return 2 if asked and self.guided and self.unconditional and not self.distilled else 1


def read_model_card(
    folder: Path, section: ModelSection, sampling: SamplingSection, listing: frozenset[str] | None = None
) -> ModelCard:
    """Reads a model folder's configs. Raises ValueError that says what is wrong.

    `listing` is that of `check_weights`.
    """
    index = read_json(folder / "model_index.json")
    if "unet" in index and "vae" not in index and "text_encoder" not in index:
        return _class_conditional_unet(folder, index, section, sampling, listing)
    found = read_pipeline(folder, index, section.variant, listing)
    height, width = _size(sampling, found)
    if found.prompts:
        if section.null_class is not None:
            raise ValueError(f"holds a {found.name}, which has no classes, so there is no `null_class`")
        return ModelCard(
            labels=(),
            null_class=None,
            height=height,
            width=width,
            channels=3,
            predicts=found.predicts,
            kind="prompts",
            pipeline=found.name,
            image_to_image=found.name in IMAGE_TO_IMAGE,
            distilled=found.name in DISTILLED,
            flow=found.flow,
            variant=section.variant,
        )
    return _class_conditional_transformer(index, section, found, (height, width))


def _size(sampling: SamplingSection, found: Pipeline) -> tuple[int, int]:
    """Height and width of its images: what the spec asks for, else what it was trained at."""
    sides = []
    for name, asked, own in (("height", sampling.height, found.height), ("width", sampling.width, found.width)):
        side = asked or own
        if side is None:
            raise ValueError(
                "doesn't say which size it was trained at: write `height` and `width`, in pixels, under [sampling]"
            )
        if side % found.factor or side > _SIDE:
            raise ValueError(
                f"makes images whose sides are multiples of {found.factor}, so `sampling.{name}` can't be {side}"
            )
        sides.append(side)
    return sides[0], sides[1]


def _class_conditional_transformer(
    index: dict[str, Any], section: ModelSection, found: Pipeline, size: tuple[int, int]
) -> ModelCard:
    """DiT (Peebles & Xie 2022, arXiv 2212.09748): the embedding after the classes' means "no class"."""
    count = found.classes
    if section.null_class not in (None, count):
        raise ValueError(f"has {count} classes, and class {count} means no class: `null_class` can be nothing else")
    if size != (found.height, found.width):
        raise ValueError(f"makes images of {found.height} × {found.width} pixels alone")
    return ModelCard(
        labels=class_names(index.get("id2label"), count),
        null_class=count,
        height=size[0],
        width=size[1],
        channels=3,
        predicts=found.predicts,
        pipeline=found.name,
        image_to_image=False,
        guided=count == _DIT_NULL,
        flow=found.flow,
        variant=section.variant,
    )


def _class_conditional_unet(
    folder: Path,
    index: dict[str, Any],
    section: ModelSection,
    sampling: SamplingSection,
    listing: frozenset[str] | None,
) -> ModelCard:
    null_class = section.null_class
    unet = read_json(folder / "unet" / "config.json")
    embeddings = unet.get("num_class_embeds")
    if (
        unet.get("_class_name") != "UNet2DModel"
        or not isinstance(embeddings, int)
        or not 1 <= embeddings <= MOST_CLASSES
    ):
        raise ValueError("its unet is not a UNet2DModel with `num_class_embeds`, so it takes no class labels")
    named = index.get("id2label")
    if null_class is not None and null_class >= embeddings:
        raise ValueError(f"has {embeddings} class embeddings, so `null_class` can be {embeddings - 1} at most")
    # Names cover every class but the null one; without names the last embedding is taken for it.
    if isinstance(named, dict):
        known = min(len(named), embeddings)
    else:
        known = embeddings - 1 if null_class is None else null_class
    if null_class is None and known < embeddings:
        null_class = known
    size = unet.get("sample_size")
    height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
    if not (
        isinstance(height, int) and isinstance(width, int) and 0 < min(height, width) <= max(height, width) <= _SIDE
    ):
        raise ValueError(f"its unet's config has no `sample_size` of 1 to {_SIDE:,} pixels")
    channels = unet.get("in_channels", 3)
    if channels not in (1, 3) or unet.get("out_channels", channels) != channels:
        raise ValueError("its unet doesn't turn grey or RGB images into images of as many channels")
    names = check_weights(folder / "unet", listing, "unet/")
    if section.variant and not any(f".{section.variant}." in name for name in names):
        raise ValueError(f"has no weights of the variant `{section.variant}`")
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    return ModelCard(
        labels=class_names(named, known),
        null_class=null_class,
        height=sampling.height or height,
        width=sampling.width or width,
        channels=channels,
        predicts=str(scheduler.get("prediction_type", "epsilon")),
        variant=section.variant,
    )
