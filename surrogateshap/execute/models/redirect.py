"""Forgetting rows by leading what the model makes of them to the nearest rows of others."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from surrogateshap.execute.models.training import Prepared, Trainable
from surrogateshap.execute.models.tuning import TrainingRows

_CHUNK = 256
"""Rows whose distances are held at a time, on either side."""
_LEAST_NOISE = 1e-3
_TOO_FAR = 1e6
"""Added to the distance of rows under another condition: beyond any distance of images or latents, and small enough for
these to count beside it."""


class Redirect:
    """New targets for forgotten rows: the denoiser's best prediction if the nearest rows of others were all there is.

    ReTrack (Shi et al. 2025, arXiv 2509.13007): from a noised row x_t, the k nearest others x_j weigh by how likely x_t
    is as a noised x_j, w_j ∝ exp(−‖x_t − √ᾱ·x_j‖² / 2(1−ᾱ)), and the target is what Σ w_j·x_j implies. Neighbours have
    the same condition where others have it. A row's loss counts (1−ᾱ)/ᾱ, at most 1: as an error of the image, which
    stays bounded where there is little noise.
    """

    def __init__(
        self,
        model: Trainable,
        rows: TrainingRows,
        forgotten: np.ndarray,
        others: np.ndarray,
        neighbours: int,
        condition_of_row: np.ndarray,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`forgotten` and `others` are rows; others are looked at in their order, and the first of equals is nearer."""
        self._model, self._rows = model, rows
        self._nearest: dict[int, np.ndarray] = {}
        count = min(neighbours, len(others))
        for start in range(0, len(forgotten), _CHUNK):
            own = forgotten[start : start + _CHUNK]
            mine, distances = rows.clean(own.tolist()).flatten(1), []
            for at in range(0, len(others), _CHUNK):
                check()
                part = others[at : at + _CHUNK]
                found = torch.cdist(mine, rows.clean(part.tolist()).flatten(1)).numpy().astype(np.float64)
                apart = condition_of_row[own][:, None] != condition_of_row[part]
                distances.append(found + _TOO_FAR * apart)
            order = np.argsort(np.hstack(distances), axis=1, kind="stable")[:, :count]
            self._nearest |= {int(row): others[near] for row, near in zip(own, order, strict=True)}

    def nearest(self, row: int) -> np.ndarray:
        """(k,): the rows that a forgotten one is led to."""
        return self._nearest[row]

    def target(
        self, chosen: Sequence[int], prepared: Prepared, timesteps: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is to be predicted from forgotten rows (N, ...), and by how much each one's loss counts (N,)."""
        schedule, shape = self._model.schedule, (-1, *[1] * (prepared.clean.ndim - 1))
        shares = schedule.shares(timesteps)
        kept, added = shares[0].reshape(shape), shares[1].clamp(min=_LEAST_NOISE).reshape(shape)
        noisy, _ = schedule.noised(prepared.clean, noise, timesteps)
        near = [self._nearest[row] for row in chosen]
        flat = self._rows.clean(np.concatenate(near).tolist()).to(noisy.device)
        others = flat.reshape(len(chosen), len(near[0]), *noisy.shape[1:])
        off = (noisy[:, None] - kept[:, None] * others).flatten(2).square().sum(dim=2)
        weights = torch.softmax(-off / (2 * added.flatten()[:, None] ** 2), dim=1)
        clean = (weights.reshape(*weights.shape, *shape[1:]) * others).sum(dim=1)
        implied = (noisy - kept * clean) / added
        counts = (added / kept.clamp(min=_LEAST_NOISE)).square().clamp(max=1.0).flatten()
        return schedule.noised(clean, implied, timesteps)[1], counts
