"""The door to diffusion models for training and gradients: losses per row, whatever the family behind it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from surrogateshap.errors import RunError
from surrogateshap.execute.models import Model, Request
from surrogateshap.execute.models.class_conditional import ClassConditionalModel
from surrogateshap.execute.models.noise import TrainingSchedule
from surrogateshap.execute.models.pipeline import PipelineModel

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Prepared:
    """Training rows as a denoiser sees them, on the device."""

    clean: torch.Tensor
    """(N, ...) float32: images from -1 to 1, or latents in the unit that the denoiser knows."""
    conditions: Tensors
    """By name, (N, ...): encoded conditions."""
    shared: Tensors
    """By name: what is the same for all rows, such as positions."""

    def __len__(self) -> int:
        return len(self.clean)

    def take(self, rows: slice | torch.Tensor) -> "Prepared":
        """Some of the rows."""
        return Prepared(self.clean[rows], {name: each[rows] for name, each in self.conditions.items()}, self.shared)


class Trainable(Protocol):
    """A model's denoiser, open for gradients; its autoencoder and text encoders stay frozen."""

    schedule: TrainingSchedule
    timesteps: int
    """Of the training schedule: a row's timestep is one of 0 (little noise) to `timesteps` − 1."""
    denoiser: torch.nn.Module
    model: Model

    @property
    def device(self) -> torch.device:
        """That the denoiser is on."""
        ...

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Those that are trained, by name: all of the denoiser's, or those of its LoRA."""
        ...

    def prepare(self, requests: Sequence[Request]) -> Prepared:
        """The requests' sources and conditions, in one batch. Every request has a source."""
        ...

    def clean(self, requests: Sequence[Request]) -> torch.Tensor:
        """(N, ...): the requests' sources alone."""
        ...

    def conditions(self, requests: Sequence[Request]) -> tuple[Tensors, Tensors]:
        """The requests' conditions alone: those of each row, and what all rows share."""
        ...

    def noise(self, requests: Sequence[Request]) -> torch.Tensor:
        """(N, ...): what the requests' images start from, as `generate` draws it."""
        ...

    def outputs(
        self,
        prepared: Prepared,
        timesteps: torch.Tensor,
        noise: torch.Tensor,
        parameters: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """(N, ...) float32: what the denoiser predicts from rows that are noised to `timesteps` (N,) with `noise`.

        With `parameters` these take the place of the denoiser's own, for torch.func. Differentiable in both.
        """
        ...

    def losses(
        self,
        prepared: Prepared,
        timesteps: torch.Tensor,
        noise: torch.Tensor,
        parameters: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """(N,) float32: mean squared error of `outputs`: the simple loss (Ho et al. 2020, equation 14), or that of
        flow matching (Lipman et al. 2022, arXiv 2210.02747).
        """
        ...

    def generate(self, requests: Sequence[Request]) -> np.ndarray:
        """Images (N, H, W, C) uint8 by the current weights."""
        ...

    def state(self) -> Tensors:
        """Copies of the trained parameters, on the CPU."""
        ...

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Puts back what `state` gave. Raises ValueError where it is of another model."""
        ...


class OpenModel(ABC):
    """What all families have in common."""

    def __init__(self, model: ClassConditionalModel | PipelineModel, denoiser: Any, schedule: TrainingSchedule) -> None:
        self.model: Model = model
        self.denoiser: torch.nn.Module = denoiser
        self.schedule, self.timesteps = schedule, schedule.timesteps
        self._trained: dict[str, torch.nn.Parameter] = {}

    @property
    def device(self) -> torch.device:
        """That the denoiser is on."""
        return next(self.denoiser.parameters()).device

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Those that are trained, by name."""
        return self._trained

    def prepare(self, requests: Sequence[Request]) -> Prepared:
        """The requests' sources and conditions."""
        conditions, shared = self.conditions(requests)
        return Prepared(self.clean(requests), conditions, shared)

    def outputs(
        self,
        prepared: Prepared,
        timesteps: torch.Tensor,
        noise: torch.Tensor,
        parameters: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """What the denoiser predicts."""
        noisy, _ = self.schedule.noised(prepared.clean, noise, timesteps)
        return self._predict(noisy, timesteps, prepared, parameters)

    def losses(
        self,
        prepared: Prepared,
        timesteps: torch.Tensor,
        noise: torch.Tensor,
        parameters: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Mean squared errors of that."""
        noisy, target = self.schedule.noised(prepared.clean, noise, timesteps)
        error = self._predict(noisy, timesteps, prepared, parameters) - target
        return error.square().flatten(1).mean(dim=1)

    def generate(self, requests: Sequence[Request]) -> np.ndarray:
        """Images by the current weights."""
        return self.model.generate(requests)

    def state(self) -> Tensors:
        """Copies of the trained parameters."""
        return {name: each.detach().to("cpu", copy=True).contiguous() for name, each in self._trained.items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Puts them back."""
        if {name: each.shape for name, each in state.items()} != {n: e.shape for n, e in self._trained.items()}:
            raise ValueError("these are the parameters of another model")
        with torch.no_grad():
            for name, each in self._trained.items():
                each.copy_(state[name])

    def noise(self, requests: Sequence[Request]) -> torch.Tensor:
        """What their images start from."""
        generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
        drawn = [torch.randn(self._shape, generator=generator, dtype=self._dtype) for generator in generators]
        return torch.stack(drawn).to(self.device).float()

    @property
    @abstractmethod
    def _shape(self) -> tuple[int, int, int]:
        """Of one sample, channels first."""

    @property
    def _dtype(self) -> torch.dtype:
        """In which noise is drawn."""
        return torch.float32

    @abstractmethod
    def clean(self, requests: Sequence[Request]) -> torch.Tensor:
        """The requests' sources."""

    @abstractmethod
    def conditions(self, requests: Sequence[Request]) -> tuple[Tensors, Tensors]:
        """The requests' conditions."""

    @abstractmethod
    def _arguments(self, noisy: torch.Tensor, timesteps: torch.Tensor, prepared: Prepared) -> dict[str, Any]:
        """What the denoiser is called with for noised rows."""

    def _predict(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        prepared: Prepared,
        parameters: Mapping[str, torch.Tensor] | None,
    ) -> torch.Tensor:
        """The denoiser's prediction in float32, by other parameters where these are given."""
        asked = {**self._arguments(noisy, timesteps, prepared), "return_dict": False}
        if parameters is None:
            made = self.denoiser(**asked)
        else:
            made = torch.func.functional_call(self.denoiser, dict(parameters), (), asked)
        return made[0].float()  # type: ignore[no-any-return]


class TrainableUNet(OpenModel):
    """A class-conditional UNet, trained as a whole."""

    def __init__(self, model: ClassConditionalModel) -> None:
        super().__init__(model, model.unet, TrainingSchedule(model.trained, flow=False))
        self._model = model
        self._trained = dict(model.unet.requires_grad_(True).named_parameters())

    @property
    def _shape(self) -> tuple[int, int, int]:
        card = self._model.card
        return card.channels, card.height, card.width

    def clean(self, requests: Sequence[Request]) -> torch.Tensor:
        """(N, C, H, W), from -1 to 1."""
        return self._model.clean(requests)

    def conditions(self, requests: Sequence[Request]) -> tuple[Tensors, Tensors]:
        """Their classes."""
        return {"classes": self._model.classes(requests).to(self.device)}, {}

    def _arguments(self, noisy: torch.Tensor, timesteps: torch.Tensor, prepared: Prepared) -> dict[str, Any]:
        return {"sample": noisy, "timestep": timesteps, "class_labels": prepared.conditions["classes"]}


def open_model(model: Model, rank: int | None = None, seed: int = 0) -> Trainable:
    """A loaded model, open for gradients: all of its denoiser, or a new LoRA of that rank on its attention.

    The model's frozen weights change with training where there is no LoRA: open one that nobody else uses. `seed` is
    that of the LoRA's first weights. Raises RunError where the family, its noise schedule or what it predicts isn't
    known.
    """
    if isinstance(model, ClassConditionalModel):
        if rank is not None:
            raise RunError("LoRA goes on pipelines, and the model is a class-conditional UNet", "Train all of it.")
        return TrainableUNet(model)
    if isinstance(model, PipelineModel):
        from surrogateshap.execute.models.training_pipelines import open_pipeline

        return open_pipeline(model, rank, seed)
    raise RunError(f"a {type(model).__name__} can't be trained", "Leave out methods that train the model.")
