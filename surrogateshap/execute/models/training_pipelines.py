"""Stable Diffusion (1, 2, XL, 3) and FLUX, open for training and gradients: as a whole or by LoRA."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from surrogateshap.errors import RunError
from surrogateshap.execute.models import Request
from surrogateshap.execute.models.noise import TrainingSchedule
from surrogateshap.execute.models.pipeline import PipelineModel
from surrogateshap.execute.models.schedulers import make_scheduler
from surrogateshap.execute.models.training import OpenModel, Prepared, Tensors, Trainable

ADAPTER = "surrogateshap"
"""Name of the LoRA that is trained."""
TARGETS = r".*\.(to_q|to_k|to_v|to_out\.0|add_q_proj|add_k_proj|add_v_proj|to_add_out)"
"""Layers with LoRA: attention's projections, as in Hu et al. 2021 (arXiv 2106.09685, section 4.2)."""


class _TrainablePipeline(OpenModel):
    """A latent text-to-image pipeline."""

    flow = False
    packed = 1
    """Latents a side that are packed into one token."""

    def __init__(self, model: PipelineModel, rank: int | None, seed: int) -> None:
        pipeline = model.pipeline
        denoiser = pipeline.transformer if getattr(pipeline, "transformer", None) is not None else pipeline.unet
        scheduler = make_scheduler("model", model.saved_scheduler, flow=self.flow)
        super().__init__(model, denoiser, TrainingSchedule(scheduler, flow=self.flow))
        self.pipeline: Any = pipeline
        self.card, self.sampling = model.card, model.sampling
        if rank is None:
            self._trained = dict(denoiser.requires_grad_(True).named_parameters())
        else:
            self._trained = add_lora(denoiser, rank, seed)

    @torch.no_grad()
    def clean(self, requests: Sequence[Request]) -> torch.Tensor:
        """Latents in the middle of the autoencoder's posterior, scaled as the denoiser knows them."""
        vae = self.pipeline.vae
        sources = np.stack([request.source for request in requests if request.source is not None])
        pixels = torch.from_numpy(sources).to(self.device).permute(0, 3, 1, 2).to(vae.dtype) / 127.5 - 1
        latents = torch.cat([vae.encode(part).latent_dist.mode() for part in torch.split(pixels, 8)]).float()
        shift, scale = float(vae.config.get("shift_factor") or 0.0), float(vae.config.scaling_factor)
        return (latents - shift) * scale

    @torch.no_grad()
    def conditions(self, requests: Sequence[Request]) -> tuple[Tensors, Tensors]:
        """What the pipeline's own text encoders make of their prompts."""
        found = self._encoded([str(request.condition or "") for request in requests])
        # Copies: what the cache keeps may have been made in inference mode, which no gradient passes.
        return {name: each.clone() for name, each in found.items()}, self._shared()

    @abstractmethod
    def _encoded(self, prompts: list[str]) -> Tensors:
        """By name, what becomes of prompts."""

    def _shared(self) -> Tensors:
        return {}

    @property
    def _shape(self) -> tuple[int, int, int]:
        # Rounded to what the pipeline packs: two latents a side where it packs them.
        factor = self.pipeline.vae_scale_factor * self.packed
        height, width = self.card.height // factor, self.card.width // factor
        return self.pipeline.vae.config.latent_channels, height * self.packed, width * self.packed

    @property
    def _dtype(self) -> torch.dtype:
        return self.pipeline.vae.dtype  # type: ignore[no-any-return]


class TrainableStableDiffusion(_TrainablePipeline):
    """Stable Diffusion 1 and 2 (Rombach et al. 2022)."""

    def _encoded(self, prompts: list[str]) -> Tensors:
        return {"texts": self.pipeline.encode_prompt(prompts, self.device, 1, False)[0]}

    def _arguments(self, noisy: torch.Tensor, timesteps: torch.Tensor, prepared: Prepared) -> dict[str, Any]:
        texts = prepared.conditions["texts"].to(self._dtype)
        return {"sample": noisy.to(self._dtype), "timestep": timesteps, "encoder_hidden_states": texts}


class TrainableStableDiffusionXL(TrainableStableDiffusion):
    """SDXL (Podell et al. 2023): texts pooled too, and the size of the image."""

    def _encoded(self, prompts: list[str]) -> Tensors:
        texts, _, pooled, _ = self.pipeline.encode_prompt(
            prompt=prompts, device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        return {"texts": texts, "pooled": pooled}

    def _arguments(self, noisy: torch.Tensor, timesteps: torch.Tensor, prepared: Prepared) -> dict[str, Any]:
        pooled, size = prepared.conditions["pooled"].to(self._dtype), (self.card.height, self.card.width)
        second = self.pipeline.text_encoder_2
        width = pooled.shape[-1] if second is None else second.config.projection_dim
        sizes = self.pipeline._get_add_time_ids(size, (0, 0), size, self._dtype, text_encoder_projection_dim=width)
        sizes = sizes.to(self.device).repeat(len(pooled), 1)
        more = {"text_embeds": pooled, "time_ids": sizes}
        return {**super()._arguments(noisy, timesteps, prepared), "added_cond_kwargs": more}


class TrainableStableDiffusion3(_TrainablePipeline):
    """Stable Diffusion 3 (Esser et al. 2024, arXiv 2403.03206)."""

    flow = True

    def _encoded(self, prompts: list[str]) -> Tensors:
        texts, _, pooled, _ = self.pipeline.encode_prompt(
            prompt=prompts,
            prompt_2=None,
            prompt_3=None,
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        return {"texts": texts, "pooled": pooled}

    def _arguments(self, noisy: torch.Tensor, timesteps: torch.Tensor, prepared: Prepared) -> dict[str, Any]:
        conditions = {name: each.to(self._dtype) for name, each in prepared.conditions.items()}
        return {
            "hidden_states": noisy.to(self._dtype),
            "timestep": self.schedule.sigmas(timesteps) * self.timesteps,
            "encoder_hidden_states": conditions["texts"],
            "pooled_projections": conditions["pooled"],
        }


class TrainableFlux(_TrainablePipeline):
    """FLUX.1: latents packed in two by two, the guidance of distilled models as they are sampled with."""

    flow = True
    packed = 2

    def clean(self, requests: Sequence[Request]) -> torch.Tensor:
        """(N, tokens, channels)."""
        return self._pack(super().clean(requests))

    def noise(self, requests: Sequence[Request]) -> torch.Tensor:
        """(N, tokens, channels)."""
        return self._pack(super().noise(requests))

    def _pack(self, latents: torch.Tensor) -> torch.Tensor:
        rows, channels, height, width = latents.shape
        return self.pipeline._pack_latents(latents, rows, channels, height, width)  # type: ignore[no-any-return]

    def _encoded(self, prompts: list[str]) -> Tensors:
        texts, pooled, _ = self.pipeline.encode_prompt(
            prompt=prompts, prompt_2=None, device=self.device, num_images_per_prompt=1, max_sequence_length=512
        )
        return {"texts": texts, "pooled": pooled}

    def _shared(self) -> Tensors:
        factor = 2 * self.pipeline.vae_scale_factor
        height, width = self.card.height // factor, self.card.width // factor
        return {"img_ids": self.pipeline._prepare_latent_image_ids(1, height, width, self.device, self._dtype)}

    def _arguments(self, noisy: torch.Tensor, timesteps: torch.Tensor, prepared: Prepared) -> dict[str, Any]:
        conditions = {name: each.to(self._dtype) for name, each in prepared.conditions.items()}
        texts, guidance = conditions["texts"], None
        if self.pipeline.transformer.config.guidance_embeds:
            guidance = torch.full((len(noisy),), self.sampling.guidance_scale, device=self.device)
        return {
            "hidden_states": noisy.to(self._dtype),
            "timestep": self.schedule.sigmas(timesteps).to(self._dtype),
            "guidance": guidance,
            "pooled_projections": conditions["pooled"],
            "encoder_hidden_states": texts,
            "txt_ids": torch.zeros(texts.shape[1], 3, device=self.device, dtype=self._dtype),
            "img_ids": prepared.shared["img_ids"],
        }


FAMILIES: dict[str, type[_TrainablePipeline]] = {
    "StableDiffusionPipeline": TrainableStableDiffusion,
    "StableDiffusionXLPipeline": TrainableStableDiffusionXL,
    "StableDiffusion3Pipeline": TrainableStableDiffusion3,
    "FluxPipeline": TrainableFlux,
}
"""By diffusers' names."""


def open_pipeline(model: PipelineModel, rank: int | None, seed: int) -> Trainable:
    """Raises RunError where the pipeline's family isn't known."""
    name = type(model.pipeline).__name__
    if name not in FAMILIES:
        message = f"training and gradients of a {name} are not known"
        raise RunError(message, f"They are of {', '.join(FAMILIES)}; leave out methods that need them.")
    return FAMILIES[name](model, rank, seed)


def add_lora(denoiser: Any, rank: int, seed: int) -> dict[str, torch.nn.Parameter]:
    """A new LoRA on a denoiser's attention, in float32, that changes nothing yet: its parameters by name.

    The first factor is N(0, 1/rank²) from `seed`, the second 0, and the scale 1 (alpha = rank), as in diffusers'
    scripts. Raises RunError where no layer has a name that is known.
    """
    from peft import LoraConfig

    try:
        denoiser.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS), adapter_name=ADAPTER)
    except ValueError:
        message = f"no layer of {type(denoiser).__name__} is an attention that LoRA knows"
        raise RunError(message, "Train all of the model, or leave out methods that train it.") from None
    found = {name: each for name, each in denoiser.named_parameters() if f".{ADAPTER}." in name}
    generator = torch.Generator("cpu").manual_seed(seed)
    with torch.no_grad():
        for name in sorted(found):
            each = found[name]
            each.data = each.data.float()  # half precision would lose small steps
            first = "lora_A" in name
            each.copy_(torch.randn(each.shape, generator=generator) / rank if first else torch.zeros(each.shape))
            each.requires_grad_(True)
    return found
