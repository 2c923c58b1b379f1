"""The noise that a model was trained on: how an image is noised, and what the model is to predict from it."""

from typing import Any

import torch

from surrogateshap.errors import RunError
from surrogateshap.plan.check_model import PREDICTIONS
from surrogateshap.text import harmless

_OTHER_METHODS = "Leave out methods that train the model or take its gradients."
_REMEDY = "Set `denoising_loss = false` under [flags]."


class TrainingNoise:
    """A few levels of a model's training schedule, which its saved scheduler knows as ᾱ.

    `levels` timesteps stand in the middle of equal strata of all of them, from little noise to much. Raises RunError
    where the scheduler has no such schedule, or the model predicts something else than noise, velocity or image.
    """

    def __init__(self, scheduler: Any, levels: int) -> None:
        self._predicts = str(scheduler.config.get("prediction_type", "epsilon"))
        alphas = getattr(scheduler, "alphas_cumprod", None)
        if not isinstance(alphas, torch.Tensor) or alphas.ndim != 1 or len(alphas) < levels:
            raise RunError("the model's scheduler has no noise schedule that denoising losses can use", _REMEDY)
        if self._predicts not in PREDICTIONS:
            message = f"the model predicts `{harmless(self._predicts, 40)}`, which denoising losses don't know"
            raise RunError(message, _REMEDY)
        self._timesteps = [(2 * level + 1) * len(alphas) // (2 * levels) for level in range(levels)]
        self._alphas = [float(alphas[timestep]) for timestep in self._timesteps]

    def noised(
        self, clean: torch.Tensor, noise: torch.Tensor, level: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Noised images, what the model is to predict from them, both (N, C, H, W), and the timestep.

        x = √ᾱ·x₀ + √(1−ᾱ)·ε (Ho et al. 2020, equation 4); v = √ᾱ·ε − √(1−ᾱ)·x₀ (Salimans & Ho 2022, section 2.4).
        """
        kept, added = self._alphas[level] ** 0.5, (1 - self._alphas[level]) ** 0.5
        targets = {"epsilon": noise, "sample": clean, "v_prediction": kept * noise - added * clean}
        timestep = torch.tensor(self._timesteps[level], device=clean.device)
        return kept * clean + added * noise, targets[self._predicts], timestep


class TrainingSchedule:
    """All of a model's training schedule, from its saved scheduler: diffusion (ᾱ) or flow matching (σ).

    Raises RunError where the scheduler has neither, or the model predicts something else than noise, velocity or image.
    """

    def __init__(self, scheduler: Any, *, flow: bool) -> None:
        self.flow = flow
        levels = getattr(scheduler, "sigmas" if flow else "alphas_cumprod", None)
        known = isinstance(levels, torch.Tensor) and levels.ndim == 1 and len(levels) > 0
        if flow and not type(scheduler).__name__.startswith("FlowMatchEuler"):
            known = False  # others keep the σ of a sampler, not those of training
        if not known:
            raise RunError("the model's scheduler has no noise schedule to train on", _OTHER_METHODS)
        self._predicts = "flow" if flow else str(scheduler.config.get("prediction_type", "epsilon"))
        if not flow and self._predicts not in PREDICTIONS:
            message = f"the model predicts `{harmless(self._predicts, 40)}`, which training doesn't know"
            raise RunError(message, _OTHER_METHODS)
        self._levels: torch.Tensor = levels.double().sort().values if flow else levels.double()  # type: ignore[union-attr]
        self.timesteps = len(self._levels)

    def sigmas(self, timesteps: torch.Tensor) -> torch.Tensor:
        """(N,) float32: the share of noise at timesteps of flow matching."""
        return self._levels.to(timesteps.device, torch.float32)[timesteps]

    def shares(self, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N,) float32 each: what a sample and its noise are multiplied by at timesteps (N,)."""
        levels = self._levels.to(timesteps.device, torch.float32)[timesteps]
        return (1 - levels, levels) if self.flow else (levels.sqrt(), (1 - levels).sqrt())

    def noised(
        self, clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Noised samples and what the model is to predict from them, both (N, ...), at timesteps (N,).

        Diffusion: as `TrainingNoise.noised`. Flow matching: x = (1 − σ)·x₀ + σ·ε, predicted is ε − x₀ (Esser et al.
        2024, arXiv 2403.03206, equations 13 and 14: the conditional flow matching loss of rectified flow).
        """
        kept, added = (each.reshape(-1, *[1] * (clean.ndim - 1)) for each in self.shares(timesteps))
        targets = {
            "epsilon": noise,
            "sample": clean,
            "v_prediction": kept * noise - added * clean,
            "flow": noise - clean,
        }
        return kept * clean + added * noise, targets[self._predicts]

    def split(
        self, noisy: torch.Tensor, predicted: torch.Tensor, timesteps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The clean samples and the noise that a prediction stands for, both (N, ...): the inverse of `noised`."""
        shape = (-1, *[1] * (noisy.ndim - 1))
        if self.flow:
            added = self.sigmas(timesteps).reshape(shape)
            return noisy - added * predicted, noisy + (1 - added) * predicted
        alphas = self._levels.to(noisy.device, torch.float32)[timesteps].reshape(shape)
        kept, added = alphas.sqrt(), (1 - alphas).sqrt()
        if self._predicts == "v_prediction":
            return kept * noisy - added * predicted, added * noisy + kept * predicted
        if self._predicts == "sample":
            return predicted, (noisy - kept * predicted) / added
        return (noisy - added * predicted) / kept, predicted
