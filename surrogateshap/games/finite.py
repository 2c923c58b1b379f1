"""What a finite pool does to utilities that are no means, and how games take it off.

A utility that is curved in the images' distribution is biased by about b/m where m images stand for it, so small
coalitions more than large ones. Quadratic utilities are corrected exactly (`Utility.own_pairs`), other smooth ones by
the delete-a-group jackknife, and quantiles not at all.
"""

from collections.abc import Callable

import numpy as np

from surrogateshap.games.encoded import Floats, Ints

PARTS = 5
"""Parts that every group of images falls into; each is left out once."""


def leave_out(groups: Ints) -> list[Floats]:
    """Image weights (N,) without one PARTS-th of each group's images, for each part.

    Of a group with fewer than PARTS images one at a time is left out, by so much that the PARTS replicates show the
    variance of the group's mean all the same; a group of one keeps its image.
    """
    order, sizes = np.argsort(groups, kind="stable"), np.bincount(groups)
    part = np.empty(len(groups), dtype=np.int64)
    part[order] = np.arange(len(groups)) % PARTS
    m = np.maximum(sizes, 2)
    ratio = np.sqrt(PARTS / ((PARTS - 1) * m * (m - 1)))
    share = np.where(sizes < PARTS, m * ratio / (1 + ratio), 1.0)
    share[sizes < 2] = 0.0
    return [1 - np.where(part == left, share[groups], 0.0) for left in range(PARTS)]


def jackknife(whole: Floats, without: Callable[[Floats], Floats], groups: Ints) -> Floats:
    """Values (M,) less their bias of order 1/m, given those `without` some images (Quenouille 1956; Kott 2001)."""
    mean = sum((without(weights) for weights in leave_out(groups)), start=np.zeros_like(whole)) / PARTS
    return np.asarray(PARTS * whole - (PARTS - 1) * mean)
