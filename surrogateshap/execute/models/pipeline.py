"""Any diffusers pipeline that makes images of prompts or class labels, without a class per family.

What a pipeline is called with follows from the signature of its own `__call__`.
"""

import inspect
from collections.abc import Sequence
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surrogateshap.errors import RunError
from surrogateshap.execute.loading import not_loaded
from surrogateshap.execute.models import DenoisingLosses, Request
from surrogateshap.execute.models.adapters import add_adapters
from surrogateshap.execute.models.components import load_pipeline, quiet
from surrogateshap.execute.models.prompts import PromptCache
from surrogateshap.execute.models.schedulers import make_scheduler
from surrogateshap.plan.batches import DECODED_PIXELS
from surrogateshap.plan.cards import ModelCard
from surrogateshap.plan.check import AdapterInput
from surrogateshap.spec.model import SamplingSection
from surrogateshap.text import harmless


class PipelineModel:
    """A frozen pipeline. Raises RunError where the folder can't be loaded."""

    def __init__(
        self,
        folder: Path,
        card: ModelCard,
        sampling: SamplingSection,
        strength: float,
        device: torch.device,
        dtype: str = "auto",
        adapters: Sequence[AdapterInput] = (),
    ) -> None:
        self.card, self.sampling, self._strength = card, sampling, strength
        _silence()
        self.dtype = _resolve(dtype, device)
        self._generators: list[torch.Generator] = []
        self.prompts = PromptCache()
        try:
            self.pipeline: Any = load_pipeline(folder, card.variant, getattr(torch, self.dtype))
            scheduler = self.pipeline.scheduler
            saved = {**scheduler.config, "_class_name": type(scheduler).__name__}
            self.saved_scheduler = saved
            self.pipeline.scheduler = self._seeded(make_scheduler(sampling.scheduler, saved, flow=card.flow))
            add_adapters(self.pipeline, adapters)
        except Exception as error:  # what a stranger's folder can break has no common base
            raise not_loaded("model", folder, error, "Save it with diffusers, its weights as safetensors.") from error
        self.pipeline.to(device)
        for name in ("unet", "vae"):
            part = getattr(self.pipeline, name, None)
            # Video's autoencoders, which some image pipelines have too, know no such layout.
            if device.type == "cuda" and part is not None and all(each.ndim < 5 for each in part.parameters()):
                part.to(memory_format=torch.channels_last)
        self.prompts.serve(self.pipeline)
        self._decode_in_parts()

    def compile(self) -> None:
        """Has the denoiser compiled when it is first used."""
        for name in ("unet", "transformer"):
            if getattr(self.pipeline, name, None) is not None:
                getattr(self.pipeline, name).compile()

    @cached_property
    def image_to_image(self) -> Any:
        """The counterpart that starts from images, of the same components."""
        from diffusers import AutoPipelineForImage2Image

        try:
            made = quiet(AutoPipelineForImage2Image.from_pipe(self.pipeline))
        except ValueError:
            message = f"{type(self.pipeline).__name__} has no counterpart that starts from images"
            raise RunError(message, 'Write `kind = "prompt"` under [proxy].') from None
        self.prompts.serve(made)
        return made

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> np.ndarray:
        """Images (N, H, W, 3) uint8. Requests with and without a source are not mixed in one batch."""
        # On the CPU and one for each image: the same noise on every device and in every batch.
        self._generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
        from_images = requests[0].source is not None
        pipeline = self.image_to_image if from_images else self.pipeline
        try:
            images = pipeline(**self._arguments(pipeline, requests)).images
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # pipelines raise all sorts of errors on settings that they don't know
            reason = harmless(str(error).strip().partition("\n")[0]) or type(error).__name__
            message = f"{type(pipeline).__name__} can't be sampled as the spec asks: {reason}"
            raise RunError(message, "Look at [sampling] and at the model's own documentation.") from error
        return self._pixels(images)

    def denoising_losses(self, requests: Sequence[Request], levels: int) -> DenoisingLosses:
        """Raises RunError: what a pipeline's denoiser was trained to predict from what isn't known."""
        raise RunError("denoising losses of pipelines are not known", "Set `denoising_loss = false` under [flags].")

    def _arguments(self, pipeline: Any, requests: Sequence[Request]) -> dict[str, Any]:
        """What the pipeline is called with: of all that is known, what its signature takes."""
        card, sampling = self.card, self.sampling
        takes = inspect.signature(pipeline.__call__).parameters
        arguments: dict[str, Any] = {
            "num_inference_steps": sampling.steps,
            "guidance_scale": sampling.guidance_scale,
            "height": card.height,
            "width": card.width,
            "generator": self._generators,
            "output_type": "pt",
            "use_resolution_binning": False,  # it would make images of other sizes than those asked for
            "clean_caption": False,  # it would change prompts, and only where certain packages are installed
        }
        if card.kind == "prompts":
            arguments["prompt"] = [str(request.condition or "") for request in requests]
        else:
            null = card.null_class
            arguments["class_labels"] = [null if one.condition is None else int(one.condition) for one in requests]
        scale = takes.get("guidance_scale")
        if "true_cfg_scale" in takes and (scale is None or scale.default is None):
            # Guidance that evaluates twice has this name where `guidance_scale` means that of distilled models.
            arguments |= {"true_cfg_scale": sampling.guidance_scale, "negative_prompt": [" "] * len(requests)}
            del arguments["guidance_scale"]
        if requests[0].source is not None:
            sources = np.stack([request.source for request in requests if request.source is not None])
            arguments["image"] = torch.from_numpy(sources).permute(0, 3, 1, 2).float() / 255
            arguments["strength"] = Strength(sampling.steps, self._strength)
        return {name: value for name, value in arguments.items() if name in takes}

    def _pixels(self, images: Any) -> np.ndarray:
        """(N, H, W, 3) uint8 of images from 0 to 1, rounded where they are."""
        found = images if isinstance(images, torch.Tensor) else torch.from_numpy(np.asarray(images))
        if found.shape[1:] == (3, self.card.height, self.card.width):
            found = found.permute(0, 2, 3, 1)
        if found.shape != (len(self._generators), self.card.height, self.card.width, 3):
            asked = f"{self.card.height} × {self.card.width}"
            message = f"{type(self.pipeline).__name__} makes images of shape {tuple(found.shape)} where {asked} is due"
            raise RunError(message, "Set `height` and `width` under [sampling] to multiples of 64.")
        if not bool(torch.isfinite(found).all()):
            message = f"{type(self.pipeline).__name__} makes images that are not finite numbers in {self.dtype}"
            raise RunError(message, 'Set `dtype = "float32"` or `dtype = "bfloat16"` under [model].')
        return np.asarray((found.float() * 255).round().clamp(0, 255).to(torch.uint8).cpu())

    def _seeded(self, scheduler: Any) -> Any:
        """The scheduler with each image's own generator where a pipeline passes none to its steps."""
        step = scheduler.step
        if "generator" not in inspect.signature(step).parameters:
            return scheduler

        @wraps(step)
        def seeded(output: Any, timestep: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if not args and kwargs.get("generator") is None:
                # Some pipelines guide by stepping through twice as many images, of which they keep the first half.
                kwargs["generator"] = (self._generators * len(sample))[: len(sample)]
            return step(output, timestep, sample, *args, **kwargs)

        scheduler.step = seeded
        return scheduler

    def _decode_in_parts(self) -> None:
        vae = getattr(self.pipeline, "vae", None)
        if vae is None or not hasattr(vae, "decode"):
            return
        decode, card = vae.decode, self.card
        most = max(1, DECODED_PIXELS // (card.height * card.width))

        @wraps(decode)
        def decode_in_parts(z: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            parts = [decode(part, *args, **kwargs) for part in torch.split(z, most)]
            if len(parts) == 1:
                return parts[0]
            if isinstance(parts[0], tuple):
                return (torch.cat([part[0] for part in parts]),)
            return type(parts[0])(sample=torch.cat([part.sample for part in parts]))

        vae.decode = decode_in_parts


class Strength(float):
    """A share of steps that comes to a whole number of them: max(1, round(steps × strength)), as a UNet's would.

    Pipelines cut steps × strength off to a whole number, some of them after they have taken it from steps. For some
    steps no float makes both come out right, so the product is exact here.
    """

    def __new__(cls, steps: int, strength: float) -> "Strength":
        """For a generation of so many steps."""
        kept = max(1, round(steps * strength))
        made = super().__new__(cls, kept / steps)
        made._steps, made._kept = steps, kept
        return made

    _steps: int
    _kept: int

    def __mul__(self, other: float) -> float:
        return self._kept if other == self._steps else float(self) * other

    __rmul__ = __mul__


def _resolve(dtype: str, device: torch.device) -> str:
    if dtype != "auto":
        return dtype
    return "float32" if device.type == "cpu" else "bfloat16"


def _silence() -> None:
    """Their reports print strangers' names as they are, and their bars would run through ours."""
    import diffusers.utils.logging
    import transformers.utils.logging

    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.set_verbosity(50)
        library.disable_progress_bar()
