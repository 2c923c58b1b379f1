"""Class-conditional UNets (`UNet2DModel` with class embeddings) with classifier-free guidance."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surrogateshap.errors import RunError
from surrogateshap.execute.loading import not_loaded, refuse_partial
from surrogateshap.execute.models import DenoisingLosses, Request
from surrogateshap.execute.models.noise import TrainingNoise
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
        self.card, self._sampling, self._strength, self.device = card, sampling, strength, device
        try:
            saved = json.loads((folder / "scheduler" / "scheduler_config.json").read_text("utf-8"))
            # float32 keeps small models exact on every device; safetensors alone is ever read.
            loaded: Any = UNet2DModel.from_pretrained(
                folder / "unet",
                torch_dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                variant=card.variant,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
            self.unet: Any = loaded[0]
            refuse_partial(loaded[1])
            self._scheduler = make_scheduler(sampling.scheduler, saved)
            self.trained = self._scheduler if sampling.scheduler == "model" else make_scheduler("model", saved)
        except Exception as error:  # what a stranger's config can break has no common base
            raise not_loaded("model", folder, error, "Save it with diffusers.") from error
        self.unet.to(device).eval().requires_grad_(False)
        self.dtype = "float32"

    def compile(self) -> None:
        """Has the UNet compiled when it is first used."""
        self.unet.compile()

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> np.ndarray:
        """Images (N, H, W, C) uint8. Requests with and without a source are not mixed in one batch."""
        card, scheduler, device = self.card, self._scheduler, self.device
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
            clean = self.clean(requests)
            sample = scheduler.add_noise(clean, noise, timesteps[:1].repeat(len(clean)))
        else:
            sample = noise * scheduler.init_noise_sigma
        classes = self.classes(requests).to(device)
        for timestep in timesteps:
            prediction = self._predict(scheduler.scale_model_input(sample, timestep), timestep, classes)
            sample = self._step(prediction, timestep, sample, generators)
        pixels = ((sample.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return np.asarray(pixels.permute(0, 2, 3, 1).cpu())

    @torch.inference_mode()
    def denoising_losses(self, requests: Sequence[Request], levels: int) -> DenoisingLosses:
        """Mean squared error of what the model predicts, per image, with and without its class.

        The mean over `levels` timesteps in the middle of equal strata of the training schedule, all of the same
        weight: the simple loss (Ho et al. 2020, equation 14) on a fixed grid. Both losses of an image see the same
        noise, so that their difference says what its class explains (Li et al. 2023, arXiv 2303.16203, section 3.2).
        The noise comes from the image's own seed and the schedule from the model's own scheduler, not from the one
        that samples: an image's losses don't depend on batch, sampler or guidance.
        """
        noise_levels = TrainingNoise(self.trained, levels)
        card, device, null = self.card, self.device, self.card.null_class
        shape = (levels, card.channels, card.height, card.width)
        drawn = [torch.randn(shape, generator=torch.Generator("cpu").manual_seed(one.seed)) for one in requests]
        noise = torch.stack(drawn, dim=1).to(device)
        clean, classes = self.clean(requests), self.classes(requests).to(device)
        losses = torch.zeros((2, len(requests)), dtype=torch.float64)
        for level in range(levels):
            noisy, target, timestep = noise_levels.noised(clean, noise[level], level)
            for row, labels in enumerate([classes] if null is None else [classes, torch.full_like(classes, null)]):
                error = (self.unet(noisy, timestep, class_labels=labels).sample - target).cpu().double().square()
                losses[row] += error.mean(dim=(1, 2, 3)).cpu() / levels
        return DenoisingLosses(np.asarray(losses[0]), None if null is None else np.asarray(losses[1]))

    def clean(self, requests: Sequence[Request]) -> torch.Tensor:
        """The requests' sources as the model was trained on them: (N, C, H, W), from -1 to 1."""
        sources = np.stack([request.source for request in requests if request.source is not None])
        return torch.from_numpy(sources).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1

    def classes(self, requests: Sequence[Request]) -> torch.Tensor:
        """(N,) of the requests' classes, the null one where they have none. Raises RunError where there is no such."""
        null = self.card.null_class
        if null is None and any(request.condition is None for request in requests):
            raise RunError(
                'the model has no class that means "no class"', 'Give v(∅) itself: `[empty] kind = "value"`.'
            )
        return torch.tensor([null if request.condition is None else int(request.condition) for request in requests])

    def _predict(self, sample: torch.Tensor, timestep: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Classifier-free guidance (Ho & Salimans 2022): null + scale × (conditional − null)."""
        scale, null = self._sampling.guidance_scale, self.card.null_class
        if scale == 1 or null is None or bool((classes == null).all()):
            return self.unet(sample, timestep, class_labels=classes).sample  # type: ignore[no-any-return]
        both = torch.cat([classes, torch.full_like(classes, null)])
        conditional, unconditional = self.unet(torch.cat([sample, sample]), timestep, class_labels=both).sample.chunk(2)
        return unconditional + scale * (conditional - unconditional)  # type: ignore[no-any-return]

    def _step(
        self, prediction: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor, generators: list[torch.Generator]
    ) -> torch.Tensor:
        import inspect

        takes_generator = "generator" in inspect.signature(self._scheduler.step).parameters
        extra = {"generator": generators} if takes_generator else {}
        return self._scheduler.step(prediction, timestep, sample, **extra).prev_sample  # type: ignore[no-any-return]
