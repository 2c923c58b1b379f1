"""Scores of single images, of whatever origin, and their statistics: mean, quantile and exceedance rate."""

from math import isqrt
from typing import Literal, assert_never

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Encoded, Floats, Ints
from surrogateshap.games.spill import release, room
from surrogateshap.games.utilities.base import Utility, blocks, class_index, mixed
from surrogateshap.spec.utilities import Above, ClassScore, Quantile, Statistic

_TOLERANCE = 1e-12
"""Sums of weights that should be equal differ by less than this."""


def score_of(score: Literal["confidence", "condition"] | ClassScore, encoded: Encoded) -> Floats:
    """Scores (N,) in [0, 1]. An image that was asked to show nothing has the condition score of a blind guess, 1/k."""
    probabilities = encoded.probabilities
    if isinstance(score, ClassScore):
        return np.array(probabilities[:, class_index(score.class_, encoded.labels)])
    if score == "confidence":
        return np.asarray(probabilities.max(axis=1))
    asked = probabilities[np.arange(len(probabilities)), np.maximum(encoded.conditions, 0)]
    return np.where(encoded.conditions < 0, 1 / len(encoded.labels), asked)


def statistic_of(scores: Floats, statistic: Statistic) -> Utility:
    """The utility that sums up scores (N,)."""
    match statistic:
        case Quantile(quantile=q):
            return WeightedQuantile(scores, q)
        case Above(above=threshold):
            return Mean((scores >= threshold).astype(np.float64))
        case "mean":
            return Mean(scores)
        case _:
            assert_never(statistic)


class Mean(Utility):
    """Weighted mean of scores (N,); of indicators, a rate. p = 1."""

    def __init__(self, scores: Floats) -> None:
        self._scores = scores[:, None]

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, 1): the means themselves."""
        return np.asarray(weights @ self._scores)

    def value(self, summaries: Floats) -> Floats:
        """(M,)."""
        return summaries[:, 0]


class WeightedQuantile(Utility):
    """Lower weighted quantile: the smallest score whose cumulated weight reaches q. p = number of distinct scores.

    The cumulated weights are linear in the weights, so a coalition's are the mixture of its contributors'.
    """

    step = 1.0

    def __init__(self, scores: Floats, q: float) -> None:
        self._levels, of_image = np.unique(scores, return_inverse=True)
        images = np.arange(len(scores))
        self._level_of_image = sp.csr_array((np.ones(len(scores)), (images, of_image)))
        self._q = q

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, p): cumulated weight at each distinct score, ascending."""
        sparse = sp.csr_array(weights)
        out = room((sparse.shape[0], len(self._levels)))
        for part in blocks(*out.shape):
            np.cumsum(mixed(sparse[part], self._level_of_image), axis=1, out=out[part])
            release(out)
        return np.asarray(out)

    def value(self, summaries: Floats) -> Floats:
        """(M,)."""
        return self._at((summaries < self._q - _TOLERANCE).sum(axis=1))

    def width(self, summaries: Floats) -> int:
        """√p."""
        return isqrt(summaries.shape[1])

    def mixtures(self, shares: Floats, summaries: Floats) -> Floats:
        """(M,): found among every √p-th level first, and then between two of these."""
        p = len(self._levels)
        step = isqrt(p)
        coarse = np.empty((len(summaries), p // step))
        for part in blocks(*summaries.shape):
            coarse[part] = summaries[part, step - 1 :: step]
            release(summaries)
        below = step * (shares @ coarse < self._q - _TOLERANCE).sum(axis=1)
        for start in np.unique(below[below < p]):
            here = np.flatnonzero(below == start)
            near = summaries[:, start : start + step - 1]
            below[here] += (shares[here] @ near < self._q - _TOLERANCE).sum(axis=1)
            release(summaries)
        return self._at(below)

    def _at(self, below: Ints) -> Floats:
        return np.asarray(self._levels[np.minimum(below, len(self._levels) - 1)])
