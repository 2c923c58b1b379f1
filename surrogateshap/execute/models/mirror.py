"""How losses on rows change once a model forgets some images: by one step against its Fisher information."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from surrogateshap.execute.models import Request
from surrogateshap.execute.models.training import Prepared, Tensors, Trainable

Batches = Callable[[int, Callable[[slice], object]], None]
"""Calls the work on 0 to a number, in parts that fit the device's memory."""
_TRIES, _FARTHEST = 4, 100.0
"""To find a step's length, and by how much each of them may change it."""
_LEAST = 1e-20
"""Added to a Fisher information that is 0 everywhere."""


class Mirror:
    """Losses and gradients of an opened model at its own weights, and beside them.

    The loss of an image is its mean over `levels` timesteps in the middle of equal strata of the training schedule, all
    images with the same noise.
    """

    def __init__(self, model: Trainable, levels: int, seed: int, batches: Batches) -> None:
        self._model, self._batches = model, batches
        self._timesteps = [(2 * level + 1) * model.timesteps // (2 * levels) for level in range(levels)]
        self._seed = seed
        self._weights = {name: each.detach().clone() for name, each in model.parameters().items()}

    def losses(self, requests: Sequence[Request], weights: Tensors) -> np.ndarray:
        """(N,) float64: of the requests' sources, by a model with other weights."""
        made = np.zeros(len(requests))

        @torch.no_grad()
        def work(at: slice) -> None:
            prepared, found = self._model.prepare(requests[at]), np.zeros(len(requests[at]))
            for timesteps, noise in self._noised(prepared):
                losses = self._model.losses(prepared, timesteps, noise, weights)
                found += losses.double().cpu().numpy() / len(self._timesteps)
            made[at] = found

        self._batches(len(requests), work)
        return made

    def gradient(self, requests: Sequence[Request], weights: np.ndarray) -> Tensors:
        """By parameter: the gradient of Σ w·loss over the requests' sources, with weights (N,)."""
        total = {name: torch.zeros_like(each) for name, each in self._weights.items()}

        def work(at: slice) -> None:
            prepared = self._model.prepare(requests[at])
            counts = torch.from_numpy(weights[at]).to(self._model.device, torch.float32) / len(self._timesteps)
            for timesteps, noise in self._noised(prepared):
                self._add(total, (counts * self._model.losses(prepared, timesteps, noise)).sum())

        self._batches(len(requests), work)
        return total

    def fisher(self, requests: Sequence[Request]) -> Tensors:
        """By parameter: the sum over the requests' sources of their squared gradients."""
        total = {name: torch.zeros_like(each) for name, each in self._weights.items()}
        every, device = len(self._timesteps), self._model.device
        timesteps = torch.tensor(self._timesteps, device=device)
        for request in requests:
            one = self._model.prepare([request])
            noise = torch.stack([self._noise(level, one.clean.shape[1:]) for level in range(every)]).to(device)
            own = {name: torch.zeros_like(each) for name, each in self._weights.items()}

            def work(at: slice, one: Prepared = one, noise: torch.Tensor = noise, own: Tensors = own) -> None:
                same = one.take(torch.zeros(len(timesteps[at]), dtype=torch.int64, device=device))
                self._add(own, self._model.losses(same, timesteps[at], noise[at]).sum() / every)

            self._batches(every, work)
            for name, each in own.items():
                total[name] += each.square()
        return total

    def beside(self, step: Tensors, factor: float) -> Tensors:
        """The model's own weights, so much of a step aside."""
        return {name: each + factor * step[name] for name, each in self._weights.items()}

    def factor(self, requests: Sequence[Request], step: Tensors, share: float) -> float:
        """How much of a step changes the losses on the requests' sources by that share of them, on average."""
        before, factor = self.losses(requests, self._weights), share
        for _ in range(_TRIES):
            change = float(np.abs(self.losses(requests, self.beside(step, factor)) - before).mean() / before.mean())
            if not 0 < change < np.inf:
                factor *= 1 / _FARTHEST if change > 0 or np.isnan(change) else _FARTHEST
                continue
            factor *= float(np.clip(share / change, 1 / _FARTHEST, _FARTHEST))
        return factor

    def _noised(self, prepared: Prepared) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Timesteps (N,) and noise (N, ...) of each level."""
        shape, device = prepared.clean.shape, self._model.device
        for level, timestep in enumerate(self._timesteps):
            noise = self._noise(level, shape[1:]).to(device).expand(shape)
            yield torch.full((shape[0],), timestep, device=device), noise

    def _noise(self, level: int, shape: Sequence[int]) -> torch.Tensor:
        return torch.randn(tuple(shape), generator=torch.Generator("cpu").manual_seed(self._seed + level))

    def _add(self, total: Tensors, loss: torch.Tensor) -> None:
        parameters = self._model.parameters()
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, found, strict=True):
            if gradient is not None:
                total[name] += gradient


def step_against(gradient: Tensors, fisher: Tensors, damping: float) -> tuple[Tensors, float]:
    """The direction D⁻¹·g and its length in the metric of D = F + damping·mean F, which is divided out.

    `fisher` is F, the diagonal of the mean of squared gradients. A gradient of zero gives no step, and a length of 0.
    """
    count = sum(each.numel() for each in fisher.values())
    least = damping * sum(float(each.double().sum()) for each in fisher.values()) / count + _LEAST
    step = {name: each / (fisher[name] + least) for name, each in gradient.items()}
    length = sum(float(((fisher[name] + least) * each.square()).double().sum()) for name, each in step.items()) ** 0.5
    if length == 0:
        return {name: torch.zeros_like(each) for name, each in step.items()}, 0.0
    return {name: each / length for name, each in step.items()}, length
