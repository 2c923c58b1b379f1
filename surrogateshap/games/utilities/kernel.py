"""Kernel distance between features (KID; Bińkowski et al. 2018, arXiv 1801.01401, section 4)."""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats, Ints
from surrogateshap.games.utilities.base import Utility

_BLOCK = 1 << 22
"""Numbers of a kernel matrix held at a time: 32 MiB."""


class Kernel(Utility):
    """Minus the squared maximum mean discrepancy to a reference, with the kernel k(x, y) = (x·y / d + 1)³.

    Only mixtures of weightings that are known beforehand can be summarised: `around` takes them. There the summary is
    the mean embedding, less the reference's, in the coordinates of the space that the weightings' own embeddings span.
    Pairs of a reference image with itself don't count; those of the pool's do, until `own_pairs` is added.
    """

    def __init__(self, features: Floats, reference: Floats) -> None:
        root, m = np.sqrt(features.shape[1]), len(reference)
        self._features = features / root
        scaled = reference / root
        self._to_reference = _means(self._features, scaled)
        self._reference = float(_means(scaled, scaled).mean())
        own = float(_kernel_diagonal(scaled).mean())
        distinct = (m * self._reference - own) / (m - 1) if m > 1 else own
        self._excess = distinct - self._reference

    def around(self, weights: sp.csr_array, *, apart: bool = False) -> Utility:
        """K coordinates for mixtures; one where each weighting stands alone."""
        if apart:
            return _Embedded(self._lone(weights), self)
        inner = np.empty(weights.shape)  # of each weighting's embedding with each image's
        for part in _blocks(len(self._features), len(self._features)):
            inner[:, part] = weights @ _kernel(self._features, self._features[part])
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
            inner = _means(self._features[images], self._features[images], own)
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
                out[images] = (_kernel_diagonal(x).mean() - _means(x, x).mean()) * len(images) / (len(images) - 1)
        return out


class _Embedded(Utility):
    """A kernel distance in finitely many coordinates (N, p) of the images."""

    def __init__(self, coordinates: Floats, kernel: Kernel) -> None:
        self._coordinates, self._kernel = coordinates, kernel

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        return np.asarray(weights @ self._coordinates)

    def value(self, summaries: Floats) -> Floats:
        return self._kernel.value(summaries)


def _kernel(x: Floats, y: Floats) -> Floats:
    found = x @ y.T
    found += 1
    return np.asarray(found * found * found)


def _kernel_diagonal(x: Floats) -> Floats:
    return np.asarray(((x**2).sum(axis=1) + 1) ** 3)


def _means(x: Floats, y: Floats, weights: Floats | None = None) -> Floats:
    """(len(x),): mean of the kernel over y, weighted."""
    means = np.empty(len(x))
    for part in _blocks(len(x), len(y)):
        found = _kernel(x[part], y)
        means[part] = found.mean(axis=1) if weights is None else found @ weights
    return means


def _blocks(rows: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK // width)
    return (slice(start, start + step) for start in range(0, rows, step))
