"""Inception score (Salimans et al. 2016, arXiv 1606.03498, section 4)."""

import numpy as np
import scipy.sparse as sp
from scipy.special import xlogy

from surrogateshap.games.encoded import Floats
from surrogateshap.games.utilities.base import Utility, weighted


class Inception(Utility):
    """exp of the mean Kullback–Leibler divergence of class probabilities (N, k) from their mean. p = k + 1."""

    curved = True

    def __init__(self, probabilities: Floats) -> None:
        self._probabilities = probabilities

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, k + 1): mean probabilities, and the mean of Σ p log p."""
        return weighted(weights, self._probabilities, _terms, self._probabilities.shape[1] + 1)

    def value(self, summaries: Floats) -> Floats:
        """(M,), between 1 and k."""
        mean = np.maximum(summaries[:, :-1], 0.0)
        return np.asarray(np.exp(summaries[:, -1] - xlogy(mean, mean).sum(axis=1)))


def _terms(probabilities: Floats) -> Floats:
    """(m, k + 1): probabilities (m, k), and Σ p log p of each image."""
    return np.hstack([probabilities, xlogy(probabilities, probabilities).sum(axis=1, keepdims=True)])
