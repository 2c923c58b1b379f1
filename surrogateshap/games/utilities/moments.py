"""Moments of features: linear in the images' weights."""

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats, Moments


def moments(features: Floats) -> Moments:
    """Mean and population covariance of features (N, d)."""
    mean = features.mean(axis=0)
    return Moments(mean, (features - mean).T @ (features - mean) / len(features))


class SecondMoments:
    """Weighted second moments Σ_x w_x x xᵀ of features (N, d), as upper triangles of p = d(d + 1)/2 numbers."""

    def __init__(self, features: Floats) -> None:
        d = features.shape[1]
        self._features, self._upper = features, np.triu_indices(d)
        self.size = len(self._upper[0])
        # Where each entry of a symmetric matrix lies in its upper triangle.
        self._unpack = np.empty((d, d), dtype=np.int64)
        self._unpack[self._upper] = self._unpack.T[self._upper] = np.arange(self.size)

    def summarise(self, weights: sp.csr_array | Floats, out: Floats) -> None:
        """Fills `out` (K, p) from weights (K, N), one row after another."""
        sparse = sp.csr_array(weights)
        for k in range(sparse.shape[0]):
            held = slice(sparse.indptr[k], sparse.indptr[k + 1])
            x = self._features[sparse.indices[held]]
            out[k] = ((x * sparse.data[held, None]).T @ x)[self._upper]

    def matrices(self, triangles: Floats) -> Floats:
        """(M, d, d) from (M, p)."""
        return np.asarray(triangles[:, self._unpack])
