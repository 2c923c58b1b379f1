"""Vendi score: the effective number of different images.

Friedman & Dieng 2023, arXiv 2210.02410, definition 3.1; of order q: Pasarkar & Dieng 2024, arXiv 2310.12952, section 3.
"""

import numpy as np
import scipy.sparse as sp
from scipy.special import xlogy

from surrogateshap.games.encoded import Floats, Ints, Views
from surrogateshap.games.spectra import eigvalsh
from surrogateshap.games.spill import release
from surrogateshap.games.utilities.base import Utility, double, rows, unit
from surrogateshap.games.utilities.moments import SecondMoments


class Vendi(Utility):
    """exp of the Rényi entropy of order q of the weighted cosine kernel's eigenvalues. p = r(r + 1)/2.

    The N × N matrix √w_x √w_y cos(x, y) has the eigenvalues of the second moment of features of length 1, which is
    linear in the weights. It is held in r coordinates of the features' span: r is at most the features and the images.
    Summaries are as large as those of `Frechet`.
    """

    curved = True

    def __init__(self, features: Views, order: float) -> None:
        self._features, self._order = features, order
        n, d = features.shape
        self._zeros = any(not some.any(axis=1).all() for _, some in rows(features))
        self._coordinates: Floats | None = None
        width = d + self._zeros
        if n < width:
            left, singular, _ = np.linalg.svd(self._scaled(np.arange(n)), full_matrices=False)
            self._coordinates = left * singular
            width = n
        self._second = SecondMoments(self._scaled, width)

    def _scaled(self, images: Ints) -> Floats:
        """(m, r): some images' features of length 1. Those of length 0 are alike and different from all others."""
        if self._coordinates is not None:
            return self._coordinates[images]
        found = unit(double(self._features, images))
        return np.column_stack([found, ~found.any(axis=1)]) if self._zeros else found

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, p): upper triangles of the second moments."""
        found = self._second.summarise(weights)
        release(self._features)
        return found

    def value(self, summaries: Floats) -> Floats:
        """(M,), from 1 to r; one (M, r, r) array at a time."""
        matrices, q = self._second.matrices(summaries), self._order
        if q == 2:  # needs no eigenvalues: the sum of their squares is that of the entries'
            total = (matrices**2).sum(axis=(1, 2))
        else:
            found = np.maximum(eigvalsh(matrices), 0.0)
            if abs(q - 1) < _NEAR:
                return np.asarray(np.exp(-xlogy(found, found).sum(axis=1)))
            total = (np.where(found > _ZERO, found, 0.0) ** q).sum(axis=1)
        return np.where(total > 0, total, 1.0) ** (1 / (1 - q))


_ZERO = 1e-12
"""Eigenvalues below are rounding errors, which would count at orders near 0."""
_NEAR = 1e-6
"""Orders that near to 1 are 1: the limit, where the formula divides 0 by 0."""
