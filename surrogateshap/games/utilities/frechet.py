"""Fréchet distance between features (Heusel et al. 2017, arXiv 1706.08500, equation 6)."""

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats
from surrogateshap.games.utilities.base import Utility


class Frechet(Utility):
    """Minus |μ − μ_r|² + tr(Σ + Σ_r − 2 (Σ_r^½ Σ Σ_r^½)^½), with population covariances. p = d + d(d + 1)/2.

    Features are expressed around μ_r in Σ_r's eigenvectors, which leaves the distance as it is, keeps second moments
    small, and turns Σ_r^½ into a scaling.
    """

    curved = True

    def __init__(self, features: Floats, reference: Floats) -> None:
        centre = reference.mean(axis=0)
        covariance = (reference - centre).T @ (reference - centre) / len(reference)
        spectrum, basis = np.linalg.eigh(covariance)
        self._spectrum = np.maximum(spectrum, 0.0)
        self._features = (features - centre) @ basis
        d = features.shape[1]
        self._upper = np.triu_indices(d)
        # Where each entry of a symmetric matrix lies in its upper triangle.
        self._unpack = np.empty((d, d), dtype=np.int64)
        self._unpack[self._upper] = self._unpack.T[self._upper] = np.arange(len(self._upper[0]))

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, p): means, then the upper triangle of the second moments."""
        sparse, d = sp.csr_array(weights), self._features.shape[1]
        out = np.empty((sparse.shape[0], d + len(self._upper[0])))
        for k in range(sparse.shape[0]):
            held = slice(sparse.indptr[k], sparse.indptr[k + 1])
            x = self._features[sparse.indices[held]]
            weighted = x * sparse.data[held, None]
            out[k, :d] = weighted.sum(axis=0)
            out[k, d:] = (weighted.T @ x)[self._upper]
        return out

    def value(self, summaries: Floats) -> Floats:
        """(M,); one (M, d, d) array at a time."""
        d = len(self._spectrum)
        mean, second = summaries[:, :d], summaries[:, d:][:, self._unpack]
        covariance = second - mean[:, :, None] * mean[:, None, :]
        trace = np.trace(covariance, axis1=1, axis2=2)
        scale = np.sqrt(self._spectrum)
        product = np.linalg.eigvalsh(covariance * (scale[:, None] * scale))
        overlap = np.sqrt(np.maximum(product, 0.0)).sum(axis=1)
        return np.asarray(2 * overlap - (mean**2).sum(axis=1) - trace - self._spectrum.sum())
