"""Mean distance between two images, drawn independently: diversity."""

from typing import Literal

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats, Ints, Views
from surrogateshap.games.spill import release
from surrogateshap.games.utilities.base import Utility, blocks, double, mean_of, rows, unit, weighted


class Pairwise(Utility):
    """Mean of |x − y|² = 2 (E|x|² − |E x|²), or of the cosine distance 1 − cos = |x/|x| − y/|y||²/2. p = d + 1.

    The two draws may be the same image, as in Σ_ij w_i w_j |x_i − x_j|²; `own_pairs` makes up for that.
    """

    def __init__(self, features: Views, metric: Literal["squared_euclidean", "cosine"]) -> None:
        self._features, self._cosine, self._scale = features, metric == "cosine", 1.0 if metric == "cosine" else 2.0
        # Distances don't change with the origin; near the mean, the difference of squares loses no digits.
        self._mean = mean_of(features)
        if self._cosine:
            self._mean = np.asarray(sum(unit(some).sum(axis=0) for _, some in rows(features)) / len(features))

    def _terms(self, some: Floats) -> Floats:
        """(m, d + 1): centred features (m, d), and their squared lengths."""
        centred = (unit(some) if self._cosine else some) - self._mean
        return np.hstack([centred, (centred**2).sum(axis=1, keepdims=True)])

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, d + 1): means of the centred features and of their squared length."""
        return weighted(weights, self._features, self._terms, len(self._mean) + 1)

    def value(self, summaries: Floats) -> Floats:
        """(M,), not negative."""
        spread = summaries[:, -1] - (summaries[:, :-1] ** 2).sum(axis=1)
        return np.asarray(self._scale * np.maximum(spread, 0.0))

    def own_pairs(self, groups: Ints) -> Floats:
        """(N,): the features' total variance in each image's group, times the scale."""
        _, of_image, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        n, d = self._features.shape
        lengths, squared = np.ones((n, 1)), np.zeros(n)
        for part, some in rows(self._features):
            squared[part] = self._terms(some)[:, -1]
            if self._cosine:
                lengths[part] = np.linalg.norm(some, axis=1, keepdims=True)
        lengths[lengths == 0] = 1.0  # such features stay zeros
        mean = sp.csr_array((1 / sizes[of_image], (of_image, np.arange(n))), shape=(len(sizes), n))
        variance = np.asarray(mean @ squared)
        for part in blocks(d, n):
            centred = double(self._features[:, part], slice(None)) / lengths - self._mean[part]
            variance -= (np.asarray(mean @ centred) ** 2).sum(axis=1)
        release(self._features)
        return np.asarray((self._scale * np.maximum(variance, 0.0) * sizes / np.maximum(sizes - 1, 1))[of_image])
