"""How much each training image weighs in the optimal denoiser of generated ones, patch by patch.

Nonparametric data attribution (Zhao et al. 2025, arXiv 2510.14269): the denoiser that fits finitely many images best is
a softmax over them, and one that sees a neighbourhood alone is a softmax over
their patches. Nothing is trained and no model is asked.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

Rows = Callable[[], Iterable[np.ndarray]]
"""Opens the training images: chunks (m, H, W, C) uint8, in the same order each time."""
OUTSIDE = 10.0
"""How far apart a pixel and what is outside an image are, pixels being from -1 to 1: borders match borders."""
_STEPS = 1000
_HELD = 1 << 26
"""Numbers (patches × rows) held through one reading of the rows: 256 MiB."""
_BLOCK = 1 << 20
"""Similarities computed at once: 4 MiB."""


@dataclass(frozen=True)
class Scale:
    """Patches of one size."""

    patch: int
    """Side in pixels."""
    pool: int = 1
    """Patches are scaled down by this: averaged over squares of so many pixels a side, which divide `patch`."""


def kept_at(timestep: int) -> float:
    """ᾱ at a timestep of 1,000: the share of an image that is left, on the linear schedule (Ho et al. 2020)."""
    return float(np.prod(1 - np.linspace(1e-4, 0.02, _STEPS)[: timestep + 1]))


def scaled_down(images: np.ndarray, side: int) -> np.ndarray:
    """Images (N, H, W, C) uint8, averaged over pixels until neither side is longer than `side`."""
    height, width = images.shape[1:3]
    factor = side / max(height, width)
    if factor >= 1:
        return images
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    small = functional.interpolate(pixels, size, mode="area").round().to(torch.uint8)
    return np.asarray(small.permute(0, 2, 3, 1))


def patch_weights(
    generated: np.ndarray,
    noise: np.ndarray,
    rows: Rows,
    kept: float,
    scale: Scale,
    top: int | None = None,
    allowed: np.ndarray | None = None,
    device: torch.device | str = "cpu",
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """(G, R): the mean weight of each row in the denoiser's patches of each generated image; a row of it sums to 1.

    Each patch x of √ᾱ·image + √(1−ᾱ)·noise weighs each patch y of a training image, at any place, by
    softmax(−|x − √ᾱ·y|²/(2(1−ᾱ))) over all patches of all rows. `generated` is (G, H, W, C) uint8, `noise`
    (G, C, H, W), `kept` ᾱ. With `top`, a row counts by that many of its patches, those that weigh most, and sums are
    below 1. `allowed`, (G, R) booleans, leaves rows out of the denoiser of an image; one without any row gets zeros.
    `check` is called between blocks. Memory doesn't grow with rows, nor with images.
    """
    noised = math.sqrt(kept) * _pixels(generated, device) + math.sqrt(1 - kept) * torch.from_numpy(noise).to(device)
    height, width = generated.shape[1:3]
    apart = _mismatches(height, width, scale, device)
    patches = _patches(noised, scale)
    images, places = patches.shape[:2]
    patches = patches.reshape(images * places, -1)
    image_of_patch = torch.arange(images, device=device).repeat_interleave(places)
    count = sum(len(chunk) for chunk in rows())
    out = torch.zeros((images, count), dtype=torch.float64, device=device)
    step = max(1, _HELD // max(1, count))
    for start in range(0, len(patches), step):
        part = slice(start, start + step)
        some, owner = patches[part], image_of_patch[part]
        place = torch.arange(start, start + len(some), device=device) % places
        total = torch.empty((len(some), count), device=device)
        best = total if top is None or top >= places else torch.empty_like(total)
        at = 0
        for chunk in rows():
            here = slice(at, at + len(chunk))
            _weigh(chunk, some, place, apart, kept, scale, top, total[:, here], best[:, here], check)
            at += len(chunk)
        if allowed is not None:
            total.masked_fill_(~torch.from_numpy(allowed).to(device)[owner], -math.inf)
        normaliser = torch.logsumexp(total, 1, keepdim=True)
        share = torch.exp(best - normaliser)
        share[torch.isneginf(total)] = 0
        out.index_add_(0, owner, share.double())
    return np.asarray((out / places).cpu())


def _weigh(
    chunk: np.ndarray,
    patches: torch.Tensor,
    place: torch.Tensor,
    apart: torch.Tensor,
    kept: float,
    scale: Scale,
    top: int | None,
    total: torch.Tensor,
    best: torch.Tensor,
    check: Callable[[], None],
) -> None:
    """Fills in logarithms of the weights (patches, rows) of a chunk: of all of a row's patches, and of the best ones.

    |x|² is the same for all of a softmax and left out, so one matrix product and two tables are all there is.
    """
    theirs = _patches(math.sqrt(kept) * _pixels(chunk, patches.device), scale)
    rows, places = theirs.shape[:2]
    half = theirs.square().sum(2) / 2
    step = max(1, _BLOCK // (rows * places))
    for start in range(0, len(patches), step):
        check()
        part = slice(start, start + step)
        logits = patches[part] @ theirs.reshape(rows * places, -1).T
        logits = logits.reshape(-1, rows, places).sub_(half).sub_(apart[place[part], None]).div_(1 - kept)
        total[part] = torch.logsumexp(logits, 2)
        if top is not None and top < places:
            best[part] = torch.logsumexp(torch.topk(logits, top, dim=2, sorted=False).values, 2)


def _pixels(images: np.ndarray, device: torch.device | str) -> torch.Tensor:
    """(N, C, H, W), from -1 to 1."""
    held = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return held.permute(0, 3, 1, 2).float() / 127.5 - 1


def _patches(images: torch.Tensor, scale: Scale) -> torch.Tensor:
    """(N, P, d): the patches at every place of images (N, C, H, W), zero outside of them.

    Sums over squares divided by their side keep the length of what they keep: a scaled-down patch is an orthogonal
    projection of the patch. Squares are summed once for all patches, which then take every `pool`th of the sums.
    """
    margin = (scale.patch - 1) // 2
    padded = functional.pad(images, (margin, margin, margin, margin))
    if scale.pool > 1:
        padded = functional.avg_pool2d(padded, scale.pool, stride=1) * scale.pool
    return functional.unfold(padded, scale.patch // scale.pool, dilation=scale.pool).transpose(1, 2).contiguous()


def _mismatches(height: int, width: int, scale: Scale, device: torch.device | str) -> torch.Tensor:
    """(P, P): half the squared distance between what two places have inside and the other outside of the image."""
    inside = _patches(torch.ones((1, 1, height, width), device=device), Scale(scale.patch))[0]
    outside = 1 - inside
    return (inside @ outside.T + outside @ inside.T) * (OUTSIDE**2 / 2)
