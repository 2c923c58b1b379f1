"""Aesthetic score: a learned head on an image's features (LAION; Schuhmann et al. 2022, arXiv 2210.08402)."""

from collections.abc import Sequence

import numpy as np

from surrogateshap.games.encoded import Floats
from surrogateshap.games.utilities.base import unit


def aesthetic_scores(features: Floats, head: Sequence[tuple[Floats, Floats]]) -> Floats:
    """(N,): linear layers, weights (out, in) and biases (out,), one after another on features (N, d) of length 1.

    Raises ValueError where they don't fit each other or the features, or don't end in one number.
    """
    if not head:
        raise ValueError("an aesthetic score needs a head")
    found = unit(features)
    for place, (weights, biases) in enumerate(head):
        if weights.ndim != 2 or weights.shape[1] != found.shape[1] or biases.shape != weights.shape[:1]:
            shapes = f"weights {weights.shape} and biases {biases.shape}"
            raise ValueError(f"layer {place} of the head has {shapes}, but gets {found.shape[1]} features")
        found = found @ weights.T + biases
    if found.shape[1] != 1:
        raise ValueError(f"the head gives {found.shape[1]} numbers for an image, not 1")
    return np.asarray(found[:, 0], dtype=np.float64)
