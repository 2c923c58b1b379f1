"""Projected gradients of a diffusion model's outputs, one for each image, and the ridge kernel between them.

A function f of an image is the mean over timesteps of the model's loss on it (TRAK and journey-TRAK), or of the mean
square of what the model predicts (D-TRAK; Zheng et al. 2024). Φ has f's projected gradients of the
training images as rows; an image's features φ against them are worth φᵀ(ΦᵀΦ + λI)⁻¹Φᵀ (Park et al. 2023,
with the ridge of Zheng et al. 2024).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from surrogateshap.execute.models import Request
from surrogateshap.execute.models.training import Prepared, Trainable
from surrogateshap.methods.projection import Projection
from surrogateshap.text import digest

Function = Literal["loss", "square"]
Gradients = dict[str, torch.Tensor]
Level = tuple[int, torch.Tensor]
"""A timestep, and the clean samples (N, ...) that are noised to it."""
Shards = Callable[[], Iterable[np.ndarray]]
"""Reads the training rows' features again from the start: parts (m, k) float32 of (R, k)."""
_BYTES = 1 << 28
"""For gradients of several rows at once."""
_HELD = 1 << 27
"""Numbers of features held while the others pass by: 512 MiB."""


def content_seed(request: Request, seed: int) -> int:
    """Of the noise on an image: equal images under equal conditions have the same, so that duplicates are equal."""
    image = b"" if request.source is None else np.ascontiguousarray(request.source).tobytes()
    return int(digest({"seed": seed, "condition": request.condition, "image": digest(image)})[:15], 16)


def even_timesteps(levels: int, of: int) -> list[int]:
    """`levels` timesteps in the middle of equal strata of all `of` them (at equal distances, as in both papers)."""
    return [(2 * level + 1) * of // (2 * levels) for level in range(levels)]


def rows_at_once(model: Trainable, most: int) -> int:
    """How many rows' gradients are taken together: two copies of them are held."""
    size = sum(each.numel() * 4 for each in model.parameters().values())
    return max(1, min(most, _BYTES // (2 * size)))


def row_gradients(
    model: Trainable, prepared: Prepared, timesteps: torch.Tensor, noise: torch.Tensor, function: Function
) -> Gradients:
    """By parameter, (N, ...): gradients of f of each row at its own timestep (N,) and noise (N, ...)."""
    parameters = {name: each.detach() for name, each in model.parameters().items()}

    def value(parameters: Gradients, clean: Any, conditions: Any, timestep: Any, noise: Any) -> torch.Tensor:
        one = Prepared(clean[None], {name: each[None] for name, each in conditions.items()}, prepared.shared)
        if function == "square":
            return model.outputs(one, timestep[None], noise[None], parameters).square().mean()
        return model.losses(one, timestep[None], noise[None], parameters)[0]

    gradient = torch.func.grad(value)
    if len(prepared) == 1:  # large models: a batch of one by vmap only costs
        conditions = {name: each[0] for name, each in prepared.conditions.items()}
        found = gradient(parameters, prepared.clean[0], conditions, timesteps[0], noise[0])
        return {name: each[None] for name, each in found.items()}
    every = torch.func.vmap(gradient, in_dims=(None, 0, 0, 0, 0))
    with sdpa_kernel(SDPBackend.MATH):  # vmap would call the fused ones row by row
        return every(parameters, prepared.clean, prepared.conditions, timesteps, noise)  # type: ignore[no-any-return]


def image_features(
    model: Trainable, requests: Sequence[Request], levels: int, function: Function, projection: Projection, seed: int
) -> torch.Tensor:
    """(N, k) float32: features of the requests' sources under their conditions, in one batch."""
    prepared = model.prepare(requests)
    path = ((timestep, prepared.clean) for timestep in even_timesteps(levels, model.timesteps))
    return _along(model, prepared, path, [content_seed(one, seed) for one in requests], function, projection)


def journey_features(
    model: Trainable, requests: Sequence[Request], steps: int, guidance: float, projection: Projection, seed: int
) -> torch.Tensor:
    """(N, k) float32: features of the requests' trajectories: mean loss where each step believes the image to be.

    Journey-TRAK (Georgiev et al. 2023): at every timestep t of the sampler, f is the loss at t of the
    image x̂₀ that the sample x_t is denoised to. The sampler is DDIM (Song et al. 2021, equation 12, η = 0), or
    Euler's for flow matching, with classifier-free guidance, from the noise that the requests' images start from.
    """
    prepared = model.prepare(requests)
    seeds = [content_seed(one, seed) for one in requests]
    path = _trajectory(model, requests, prepared, steps, guidance)
    return _along(model, prepared, path, seeds, "loss", projection)


def _along(
    model: Trainable,
    prepared: Prepared,
    path: Iterable[Level],
    seeds: Sequence[int],
    function: Function,
    projection: Projection,
) -> torch.Tensor:
    """Projected means of the gradients over the levels of a path."""
    generators = [torch.Generator("cpu").manual_seed(one) for one in seeds]
    total: Gradients = {}
    count = 0
    for timestep, clean in path:
        noise = torch.stack([torch.randn(clean.shape[1:], generator=each) for each in generators]).to(clean.device)
        at = torch.full((len(clean),), timestep, device=clean.device)
        here = Prepared(clean, prepared.conditions, prepared.shared)
        for name, each in row_gradients(model, here, at, noise, function).items():
            total[name] = total[name].add_(each) if name in total else each.float()
        count += 1
    return projection.project({name: each.div_(count) for name, each in total.items()})


def _trajectory(
    model: Trainable, requests: Sequence[Request], prepared: Prepared, steps: int, guidance: float
) -> Iterator[Level]:
    """Timesteps of a sampler from noise to image, each with what it denoises the samples to."""
    noise, clean = model.noise(requests), torch.zeros_like(prepared.clean)
    without = None
    if guidance != 1:
        conditions, shared = model.conditions([Request(None, one.seed, one.source) for one in requests])
        without = Prepared(clean, conditions, shared)
    for timestep in reversed(even_timesteps(steps, model.timesteps)):
        at = torch.full((len(clean),), timestep, device=clean.device)
        with torch.no_grad():  # here alone: the caller's gradients are taken in between
            noisy, _ = model.schedule.noised(clean, noise, at)
            predicted = model.outputs(Prepared(clean, prepared.conditions, prepared.shared), at, noise)
            if without is not None:
                unguided = model.outputs(Prepared(clean, without.conditions, without.shared), at, noise)
                predicted = unguided + guidance * (predicted - unguided)
            clean, noise = model.schedule.split(noisy, predicted, at)
        yield timestep, clean


def ridge_scores(
    shards: Shards, counts: np.ndarray, queries: np.ndarray, damping: float, check: Callable[[], None] = lambda: None
) -> np.ndarray:
    """(Q, R): what each training row is worth to each of Q queries (Q, k): qᵀ(ΦᵀΦ + λI)⁻¹φ.

    `counts` (R,) say how often a row stands in Φ, whose rows are here without repetition. λ is `damping` times the
    mean of the kernel's eigenvalues, those that are zero for want of rows left out (Grosse et al. 2023, arXiv
    2308.03296). A row without gradient gets exactly 0. Holds up to 4·min(R, k)² numbers of 8 bytes.
    `check` is called between blocks.
    """
    weights = np.sqrt(np.asarray(counts, dtype=np.float64))
    rows, width = len(weights), queries.shape[1]
    if rows <= width:
        kernel = np.zeros((rows, rows))
        for first, group in _groups(shards, max(1, _HELD // width)):
            for second, part in _numbered(shards):
                if second > first + len(group):
                    break
                check()
                below = max(0, second - first)  # the rest is symmetric
                kernel[first + below : first + len(group), second : second + len(part)] = group[below:] @ part.T
        kernel = np.tril(kernel)
        kernel += np.tril(kernel, -1).T
        kernel *= weights[:, None] * weights
    else:
        kernel = np.zeros((width, width))
        for first, part in _numbered(shards):
            check()
            own = part * weights[first : first + len(part), None]
            kernel += own.T @ own
    ridge = damping * float(np.trace(kernel)) / len(kernel)
    if ridge == 0:
        return np.zeros((len(queries), rows))
    kernel[np.diag_indices(len(kernel))] += ridge
    if rows > width:
        solved = np.linalg.solve(kernel, queries.T.astype(np.float64))
        return np.concatenate([solved.T @ part.T for _, part in _numbered(shards)], axis=1)
    against = np.concatenate([queries @ part.T for _, part in _numbered(shards)], axis=1)
    solved = np.linalg.solve(kernel, (against * weights).T)
    # Divided as if a row stood there once; rows of zeros have no part in any other's.
    return np.asarray(solved.T / weights)


def _numbered(shards: Shards) -> Iterator[tuple[int, np.ndarray]]:
    """Parts of the features in double precision, each with the number of its first row."""
    at = 0
    for part in shards():
        yield at, part.astype(np.float64)
        at += len(part)


def _groups(shards: Shards, rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """The same, in parts of about so many rows."""
    held: list[np.ndarray] = []
    start = 0
    for first, part in _numbered(shards):
        if held and first + len(part) - start > rows:
            yield start, np.concatenate(held)
            held, start = [], first
        held.append(part)
    if held:
        yield start, np.concatenate(held)


def sizes(model: Trainable) -> dict[str, int]:
    """Numbers of trained parameters by name."""
    return {name: math.prod(each.shape) for name, each in model.parameters().items()}
