"""Kernel distance between features.

KID: Bińkowski et al. 2018, arXiv 1801.01401, section 4. CMMD: Jayasumana et al. 2024, arXiv 2401.09603, section 4.
"""

from typing import Protocol

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats, Ints
from surrogateshap.games.utilities.base import Utility, blocks, squared_distances, unit


class KernelFunction(Protocol):
    """A positive definite function of two images."""

    def scaled(self, features: Floats) -> Floats:
        """Features (N, d) as the other two take them."""
        ...

    def between(self, x: Floats, y: Floats) -> Floats:
        """(len(x), len(y))."""
        ...

    def diagonal(self, x: Floats) -> Floats:
        """(len(x),): of each image with itself."""
        ...


class Polynomial:
    """KID's: (x·y / d + 1)³."""

    def scaled(self, features: Floats) -> Floats:
        return np.asarray(features / np.sqrt(features.shape[1]))

    def between(self, x: Floats, y: Floats) -> Floats:
        found = x @ y.T
        found += 1
        return np.asarray(found * found * found)

    def diagonal(self, x: Floats) -> Floats:
        return np.asarray(((x**2).sum(axis=1) + 1) ** 3)


class GaussianKernel:
    """CMMD's: exp(−|x − y|² / 2σ²) of features of length 1, less 1, which changes no distance and keeps more digits."""

    def __init__(self, sigma: float) -> None:
        self._scale = -0.5 / sigma**2

    def scaled(self, features: Floats) -> Floats:
        return unit(features)

    def between(self, x: Floats, y: Floats) -> Floats:
        return np.asarray(np.expm1(squared_distances(x, y) * self._scale))

    def diagonal(self, x: Floats) -> Floats:
        return np.zeros(len(x))


class Kernel(Utility):
    """Minus the squared maximum mean discrepancy to a reference; CMMD's authors show 1,000 times as much.

    Only mixtures of weightings that are known beforehand can be summarised: `around` takes them. There the summary is
    the mean embedding, less the reference's, in the coordinates of the space that the weightings' own embeddings span.
    Pairs of a reference image with itself don't count; those of the pool's do, until `own_pairs` is added.
    """

    def __init__(self, features: Floats, reference: Floats, function: KernelFunction) -> None:
        self._function, m = function, len(reference)
        self._features, scaled = function.scaled(features), function.scaled(reference)
        self._to_reference = self._means(self._features, scaled)
        self._reference = float(self._means(scaled, scaled).mean())
        own = float(function.diagonal(scaled).mean())
        distinct = (m * self._reference - own) / (m - 1) if m > 1 else own
        self._excess = distinct - self._reference

    def around(self, weights: sp.csr_array, *, apart: bool = False) -> Utility:
        """K coordinates for mixtures; one where each weighting stands alone."""
        if apart:
            return _Embedded(self._lone(weights), self)
        inner = np.empty(weights.shape)  # of each weighting's embedding with each image's
        for part in blocks(len(self._features), len(self._features)):
            inner[:, part] = weights @ self._function.between(self._features, self._features[part])
        inner += self._reference - self._to_reference - (weights @ self._to_reference)[:, None]
        gram = np.asarray(weights @ inner.T)
        spectrum, basis = np.linalg.eigh((gram + gram.T) / 2)
        kept = spectrum > 1e-13 * max(spectrum[-1], 0.0)
        return _Embedded(inner.T @ (basis[:, kept] / np.sqrt(spectrum[kept])), self)

    def _lone(self, weights: sp.csr_array) -> Floats:
        out = np.zeros((len(self._features), 1))
        for k in range(weights.shape[0]):
            held = slice(weights.indptr[k], weights.indptr[k + 1])
            images, own = weights.indices[held], weights.data[held]
            to_reference = self._to_reference[images]
            inner = self._means(self._features[images], self._features[images], own)
            inner += self._reference - to_reference - own @ to_reference
            length = np.sqrt(max(float(own @ inner), 0.0))
            out[images, 0] = inner / length if length > 0 else 0.0
        return out

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, K), as those of `around` these weightings."""
        return self.around(sp.csr_array(weights)).summarise(weights)

    def value(self, summaries: Floats) -> Floats:
        """(M,)."""
        return np.asarray(-(summaries**2).sum(axis=1) - self._excess)

    def own_pairs(self, groups: Ints) -> Floats:
        """(N,): the embeddings' variance in each image's group."""
        out = np.zeros(len(groups))
        for group in np.unique(groups):
            images = np.flatnonzero(groups == group)
            if len(images) > 1:
                x = self._features[images]
                spread = self._function.diagonal(x).mean() - self._means(x, x).mean()
                out[images] = spread * len(images) / (len(images) - 1)
        return out

    def _means(self, x: Floats, y: Floats, weights: Floats | None = None) -> Floats:
        """(len(x),): mean of the kernel over y, weighted."""
        means = np.empty(len(x))
        for part in blocks(len(x), len(y)):
            found = self._function.between(x[part], y)
            means[part] = found.mean(axis=1) if weights is None else found @ weights
        return means


class _Embedded(Utility):
    """A kernel distance in finitely many coordinates (N, p) of the images."""

    def __init__(self, coordinates: Floats, kernel: Kernel) -> None:
        self._coordinates, self._kernel = coordinates, kernel

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        return np.asarray(weights @ self._coordinates)

    def value(self, summaries: Floats) -> Floats:
        return self._kernel.value(summaries)
