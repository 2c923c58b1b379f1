"""Pipelines from folders: their components loaded one by one, safetensors alone, no code of strangers."""

import warnings
from pathlib import Path
from typing import Any

import torch

from surrogateshap.execute.loading import refuse_partial
from surrogateshap.plan.configs import read_json
from surrogateshap.plan.pipelines import UNUSED
from surrogateshap.text import harmless


def load_pipeline(folder: Path, variant: str | None, dtype: torch.dtype) -> Any:
    """A diffusers pipeline on the CPU, in evaluation mode. Raises whatever a stranger's folder can break.

    Checkers and watermarks are left out: both would change images.
    """
    from diffusers import DiffusionPipeline

    index = read_json(folder / "model_index.json")
    if not isinstance(index.get("_class_name"), str):
        raise ValueError("it names pipeline code of its own")  # noqa: TRY004 - the file is wrong, no argument
    parts: dict[str, Any] = {}
    for name, entry in index.items():
        if name.startswith("_") or not isinstance(entry, list) or not entry:
            continue
        if name in UNUSED or set(entry) == {None}:
            parts[name] = None
            continue
        component = _component_class(*entry)
        if issubclass(component, torch.nn.Module):
            parts[name] = _load_module(component, folder / name, variant, dtype)
    if "requires_safety_checker" in index:
        parts["requires_safety_checker"] = False
    # Its modules are all given, so that number format and variant matter no more.
    pipeline: Any = DiffusionPipeline.from_pretrained(
        folder, use_safetensors=True, local_files_only=True, trust_remote_code=False, **parts
    )
    if type(pipeline).__name__ != index["_class_name"]:
        raise ValueError(f"diffusers made a {type(pipeline).__name__} of it")
    return quiet(pipeline)


def quiet(pipeline: Any) -> Any:
    """The pipeline without progress bars and without a watermark, which only some installations would draw."""
    pipeline.set_progress_bar_config(disable=True)
    if getattr(pipeline, "watermark", None) is not None:
        pipeline.watermark = None
    return pipeline


def _component_class(library: Any, name: Any) -> type[Any]:
    """The class of a component, from diffusers or transformers and from nowhere else."""
    import diffusers
    import transformers

    places = {"diffusers": diffusers, "transformers": transformers}
    place = places.get(library, getattr(diffusers.pipelines, str(library), None))
    found = getattr(place, str(name), None)
    if not isinstance(found, type) or not found.__module__.startswith(("diffusers.", "transformers.")):
        raise ValueError(f"neither diffusers nor transformers has a {harmless(f'{library}.{name}', 80)}")
    if issubclass(found, diffusers.DiffusionPipeline):
        # diffusers would open it by itself, with whatever code and weights it names.
        raise ValueError(f"its {harmless(str(name), 40)} is a pipeline of its own")  # noqa: TRY004 - the file is wrong
    if found.__module__.startswith("transformers.models.auto") and "Model" in found.__name__:
        raise ValueError(f"it doesn't say which model its {harmless(str(name), 40)} is")
    return found


def _load_module(component: type[Any], folder: Path, variant: str | None, dtype: torch.dtype) -> Any:
    has_variant = variant is not None and any(folder.glob(f"*.{variant}.*"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the oldest versions know no other name than `torch_dtype`
        loaded: Any = component.from_pretrained(
            folder,
            torch_dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            variant=variant if has_variant else None,
            output_loading_info=True,
        )
    refuse_partial(loaded[1])
    return loaded[0].eval().requires_grad_(False)
