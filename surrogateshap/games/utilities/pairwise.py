"""Mean distance between two images, drawn independently: diversity."""

from typing import Literal

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats, Ints
from surrogateshap.games.utilities.base import Utility, unit


class Pairwise(Utility):
    """Mean of |x − y|² = 2 (E|x|² − |E x|²), or of the cosine distance 1 − cos = |x/|x| − y/|y||²/2. p = d + 1.

    The two draws may be the same image, as in Σ_ij w_i w_j |x_i − x_j|²; `own_pairs` makes up for that.
    """

    def __init__(self, features: Floats, metric: Literal["squared_euclidean", "cosine"]) -> None:
        self._scale = 2.0
        if metric == "cosine":
            features, self._scale = unit(features), 1.0
        # Distances don't change with the origin; near the mean, the difference of squares loses no digits.
        centred = features - features.mean(axis=0)
        self._terms = np.hstack([centred, (centred**2).sum(axis=1, keepdims=True)])

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, d + 1): means of the centred features and of their squared length."""
        return np.asarray(weights @ self._terms)

    def value(self, summaries: Floats) -> Floats:
        """(M,), not negative."""
        spread = summaries[:, -1] - (summaries[:, :-1] ** 2).sum(axis=1)
        return np.asarray(self._scale * np.maximum(spread, 0.0))

    def own_pairs(self, groups: Ints) -> Floats:
        """(N,): the features' total variance in each image's group, times the scale."""
        _, of_image, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        means = np.column_stack([np.bincount(of_image, weights=column) / sizes for column in self._terms.T])
        variance = means[:, -1] - (means[:, :-1] ** 2).sum(axis=1)
        return np.asarray((self._scale * np.maximum(variance, 0.0) * sizes / np.maximum(sizes - 1, 1))[of_image])
