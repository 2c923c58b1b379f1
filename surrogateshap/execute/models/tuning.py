"""Short training of an opened model on some of the manifest's rows, the same whenever it is repeated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Literal

import numpy as np
import torch

from surrogateshap.execute.models import Request
from surrogateshap.execute.models.training import Prepared, Tensors, Trainable

MOST_KEPT = 1 << 30
"""Bytes of rows as the denoiser sees them that are kept; beyond that they are made again each time."""
_LARGEST_GRADIENT = 1.0
"""Norm to which a step's gradient is cut, as diffusers' training scripts do."""
Batches = Callable[[int, Callable[[slice], object]], None]
"""Calls the work on 0 to a number, in parts that fit the device's memory."""
Target = Callable[[Sequence[int], Prepared, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Given rows, the same prepared, timesteps and noise: what is to be predicted in place of their own targets, (N, ...),
and by how much each row's loss counts, (N,)."""


@dataclass(frozen=True)
class Tuning:
    """How a model is trained."""

    steps: int
    batch: int
    """Rows per step."""
    learning_rate: float
    drop_condition: float = 0.1
    """Share of rows that are trained without their condition, for classifier-free guidance (Ho & Salimans 2022)."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rate: as it is, or down to zero by half a cosine, after a linear rise in a tenth of the steps."""

    def factor(self, step: int) -> float:
        """Of the learning rate at a step from 0."""
        if self.schedule == "constant":
            return 1.0
        rise = max(1, self.steps // 10)
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + cos(pi * (step - rise) / max(1, self.steps - rise)))


class TrainingRows:
    """The manifest's rows as an opened model sees them, made when they are first asked for and kept on the CPU."""

    def __init__(
        self,
        model: Trainable,
        images: Callable[[Sequence[int]], Sequence[Request]],
        conditions: Callable[[Sequence[int], Sequence[bool]], Sequence[Request]],
    ) -> None:
        """`images` gives rows as requests with their sources; `conditions` without, those marked without condition."""
        self._model, self._images, self._conditions = model, images, conditions
        self._kept: dict[int, torch.Tensor] = {}
        self._bytes = 0

    def take(self, rows: Sequence[int], dropped: Sequence[bool]) -> Prepared:
        """Rows (N,), on the model's device; those `dropped` without their condition."""
        encoded, shared = self._model.conditions(self._conditions(rows, dropped))
        return Prepared(self.clean(rows).to(self._model.device), encoded, shared)

    def clean(self, rows: Sequence[int]) -> torch.Tensor:
        """(N, ...): images or latents of rows, on the CPU."""
        missing = [row for row in dict.fromkeys(rows) if row not in self._kept]
        made: dict[int, torch.Tensor] = {}
        if missing:
            found = self._model.clean(self._images(missing)).cpu()
            made = dict(zip(missing, found, strict=True))
            if self._bytes + found.nbytes <= MOST_KEPT:
                self._kept |= {row: each.clone() for row, each in made.items()}
                self._bytes += found.nbytes
        return torch.stack([made[row] if row in made else self._kept[row] for row in rows])


@dataclass
class Step:
    """What one step of training sees: the same numbers for the same seed, whatever the rows are."""

    places: np.ndarray
    """(N,) from 0 to 1: where among its rows."""
    dropped: np.ndarray
    timesteps: torch.Tensor
    seed: int
    """Of its noise."""


def draw_steps(tuning: Tuning, timesteps: int, seed: int) -> list[Step]:
    """All steps of a training."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(tuning.steps):
        uniform = rng.random((3, tuning.batch))
        levels = torch.from_numpy((uniform[2] * timesteps).astype(np.int64))
        made.append(Step(uniform[0], uniform[1] < tuning.drop_condition, levels, int(rng.integers(2**62))))
    return made


def tune(
    model: Trainable,
    rows: TrainingRows,
    own: np.ndarray,
    tuning: Tuning,
    seed: int,
    batches: Batches,
    *,
    check: Callable[[], None] = lambda: None,
    masks: Mapping[str, torch.Tensor] | None = None,
    forget: "Forget | None" = None,
) -> None:
    """Trains a model on the rows `own` (r,) with AdamW without decay, from its current weights.

    Rows, timesteps and noise come from `seed` alone: of two trainings on as many rows, the k-th step sees rows in the
    same places, at the same noise. Weights stay zero where `masks` are. `forget` adds rows with other targets.
    """
    parameters = model.parameters()
    optimizer = torch.optim.AdamW(parameters.values(), lr=tuning.learning_rate, weight_decay=0.0)
    sides: list[tuple[np.ndarray, float, Target | None]] = [(own, 1.0, None)]
    if forget is not None:
        sides.append((forget.rows, forget.weight, forget.target))
    for number, step in enumerate(draw_steps(tuning, model.timesteps, seed)):
        check()
        gradients: Tensors = {}
        for side, weight, target in sides:
            places = (step.places * len(side)).astype(np.int64)
            _accumulate(model, rows, side[places].tolist(), step, weight / tuning.batch, target, gradients, batches)
        for name, parameter in parameters.items():
            parameter.grad = gradients[name]
        torch.nn.utils.clip_grad_norm_(parameters.values(), _LARGEST_GRADIENT)
        for group in optimizer.param_groups:
            group["lr"] = tuning.learning_rate * tuning.factor(number)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, mask in (masks or {}).items():
                parameters[name].mul_(mask)


@dataclass(frozen=True)
class Forget:
    """Rows that a model is to forget while it is trained on others."""

    rows: np.ndarray
    weight: float
    """Of their loss beside the others'."""
    target: Target


def _accumulate(
    model: Trainable,
    rows: TrainingRows,
    chosen: list[int],
    step: Step,
    weight: float,
    target: Target | None,
    gradients: Tensors,
    batches: Batches,
) -> None:
    """Adds the gradients of weight × the sum of the rows' losses."""
    parameters = model.parameters()
    prototype = rows.clean(chosen[:1])
    generator = torch.Generator("cpu").manual_seed(step.seed)
    noise = torch.randn((len(chosen), *prototype.shape[1:]), generator=generator)

    def work(at: slice) -> None:
        prepared = rows.take(chosen[at], step.dropped[at].tolist())
        levels, drawn = step.timesteps[at].to(model.device), noise[at].to(model.device)
        if target is None:
            losses = model.losses(prepared, levels, drawn)
        else:
            aim, counts = target(chosen[at], prepared, levels, drawn)
            losses = counts * (model.outputs(prepared, levels, drawn) - aim).square().flatten(1).mean(dim=1)
        # Not by backward(): a part that the memory is too small for would leave half of its gradients behind.
        found = torch.autograd.grad(weight * losses.sum(), list(parameters.values()), allow_unused=True)
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True):
            made = torch.zeros_like(parameter) if gradient is None else gradient.detach()
            gradients[name] = gradients[name] + made if name in gradients else made

    batches(len(chosen), work)
