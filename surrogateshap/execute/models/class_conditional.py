"""Class-conditional UNets (`UNet2DModel` with class embeddings) with classifier-free guidance."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surrogateshap.errors import RunError
from surrogateshap.execute.loading import not_loaded, refuse_partial
from surrogateshap.execute.models import Request
from surrogateshap.execute.models.schedulers import make_scheduler
from surrogateshap.plan.cards import ModelCard
from surrogateshap.spec.model import SamplingSection


class ClassConditionalModel:
    """A frozen UNet and its scheduler. Raises RunError where the folder's weights can't be loaded."""

    def __init__(
        self, folder: Path, card: ModelCard, sampling: SamplingSection, strength: float, device: torch.device
    ) -> None:
        from diffusers import UNet2DModel
        from diffusers.utils import logging

        logging.set_verbosity(logging.CRITICAL)  # its reports print strangers' names as they are
        self._card, self._sampling, self._strength, self._torch_device = card, sampling, strength, device
        try:
            saved = json.loads((folder / "scheduler" / "scheduler_config.json").read_text("utf-8"))
            # float32 keeps small models exact on every device; safetensors alone is ever read.
            loaded: Any = UNet2DModel.from_pretrained(
                folder / "unet",
                torch_dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
            self._unet: Any = loaded[0]
            refuse_partial(loaded[1])
            self._scheduler = make_scheduler(sampling.scheduler, saved)
        except Exception as error:  # what a stranger's config can break has no common base
            raise not_loaded("model", folder, error, "Save it with diffusers.") from error
        self._unet.to(device).eval().requires_grad_(False)
        self.dtype = "float32"

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> np.ndarray:
        """Images (N, H, W, C) uint8. Requests with and without a source are not mixed in one batch."""
        card, scheduler, device = self._card, self._scheduler, self._torch_device
        generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
        shape = (card.channels, card.height, card.width)
        noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(device)
        scheduler.set_timesteps(self._sampling.steps, device=device)
        timesteps = scheduler.timesteps
        if requests[0].source is not None:
            # SDEdit (Meng et al. 2022): only the last strength × steps are denoised.
            skipped = self._sampling.steps - max(1, round(self._sampling.steps * self._strength))
            timesteps = timesteps[skipped * scheduler.order :]  # a scheduler of order 2 visits most steps twice
            if hasattr(scheduler, "set_begin_index"):
                scheduler.set_begin_index(len(scheduler.timesteps) - len(timesteps))
            sources = np.stack([request.source for request in requests if request.source is not None])
            clean = torch.from_numpy(sources).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
            sample = scheduler.add_noise(clean, noise, timesteps[:1].repeat(len(clean)))
        else:
            sample = noise * scheduler.init_noise_sigma
        classes = self._classes(requests).to(device)
        for timestep in timesteps:
            prediction = self._predict(scheduler.scale_model_input(sample, timestep), timestep, classes)
            sample = self._step(prediction, timestep, sample, generators)
        pixels = ((sample.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return np.asarray(pixels.permute(0, 2, 3, 1).cpu())

    def _classes(self, requests: Sequence[Request]) -> torch.Tensor:
        null = self._card.null_class
        if null is None and any(request.condition is None for request in requests):
            raise RunError(
                'the model has no class that means "no class"', 'Give v(∅) itself: `[empty] kind = "value"`.'
            )
        return torch.tensor([null if request.condition is None else request.condition for request in requests])

    def _predict(self, sample: torch.Tensor, timestep: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Classifier-free guidance (Ho & Salimans 2022): null + scale × (conditional − null)."""
        scale, null = self._sampling.guidance_scale, self._card.null_class
        if scale == 1 or null is None or bool((classes == null).all()):
            return self._unet(sample, timestep, class_labels=classes).sample  # type: ignore[no-any-return]
        both = torch.cat([classes, torch.full_like(classes, null)])
        conditional, unconditional = self._unet(torch.cat([sample, sample]), timestep, class_labels=both).sample.chunk(
            2
        )
        return unconditional + scale * (conditional - unconditional)  # type: ignore[no-any-return]

    def _step(
        self, prediction: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor, generators: list[torch.Generator]
    ) -> torch.Tensor:
        import inspect

        takes_generator = "generator" in inspect.signature(self._scheduler.step).parameters
        extra = {"generator": generators} if takes_generator else {}
        return self._scheduler.step(prediction, timestep, sample, **extra).prev_sample  # type: ignore[no-any-return]
