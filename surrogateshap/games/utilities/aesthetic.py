"""Aesthetic score: a learned head on an image's features (LAION; Schuhmann et al. 2022, arXiv 2210.08402)."""

from collections.abc import Sequence

import numpy as np

from surrogateshap.games.encoded import Floats, Views
from surrogateshap.games.utilities.base import rows, unit


def aesthetic_scores(features: Views, head: Sequence[tuple[Floats, Floats]]) -> Floats:
    """(N,): linear layers, weights (out, in) and biases (out,), one after another on features (N, d) of length 1.

    Raises ValueError where they don't fit each other or the features, or don't end in one number.
    """
    if not head:
        raise ValueError("an aesthetic score needs a head")
    width = features.shape[1]
    for place, (weights, biases) in enumerate(head):
        if weights.ndim != 2 or weights.shape[1] != width or biases.shape != weights.shape[:1]:
            shapes = f"weights {weights.shape} and biases {biases.shape}"
            raise ValueError(f"layer {place} of the head has {shapes}, but gets {width} features")
        width = len(biases)
    if width != 1:
        raise ValueError(f"the head gives {width} numbers for an image, not 1")
    scores = np.empty(len(features))
    for part, some in rows(features):
        found = unit(some)
        for weights, biases in head:
            found = found @ weights.T + biases
        scores[part] = found[:, 0]
    return scores
