"""What the planner must know of models: read from their JSON configs, nothing is loaded."""

from dataclasses import dataclass
from pathlib import Path

from surrogateshap.plan.configs import MOST_CLASSES, check_weights, class_index, class_names, read_json

_SIDE = 4_096


@dataclass(frozen=True)
class ModelCard:
    """A class-conditional diffusion model in diffusers layout."""

    labels: tuple[str, ...]
    """Names of the classes; the position is the index of the class embedding."""
    null_class: int | None
    """Index of the embedding that means "no class"; None where the model has none."""
    height: int
    width: int
    channels: int
    predicts: str = "epsilon"
    """What the denoiser was trained to predict, by diffusers' name."""

    def index(self, condition: str) -> int | None:
        """Index of the class that a manifest's condition names, by label or by number; None for an unknown one."""
        return class_index(condition, self.labels)


def read_model_card(folder: Path, null_class: int | None, listing: frozenset[str] | None = None) -> ModelCard:
    """Reads a model folder's configs. Raises ValueError that says what is wrong.

    `listing` is that of `check_weights`.
    """
    index = read_json(folder / "model_index.json")
    if "unet" not in index:
        raise ValueError(
            f"holds a {index.get('_class_name', 'pipeline')}; this version runs class-conditional UNets "
            "(a `unet` of class UNet2DModel)"
        )
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
    check_weights(folder / "unet", listing, "unet/")
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    predicts = str(scheduler.get("prediction_type", "epsilon"))
    return ModelCard(class_names(named, known), null_class, height, width, channels, predicts)
