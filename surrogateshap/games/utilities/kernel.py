"""Kernel distance between features.

KID: Bińkowski et al. 2018, arXiv 1801.01401, section 4. CMMD: Jayasumana et al. 2024, arXiv 2401.09603, section 4.
"""

from collections.abc import Sequence
from math import isqrt
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats, Ints, Views
from surrogateshap.games.spill import release, room
from surrogateshap.games.utilities import base
from surrogateshap.games.utilities.base import Utility, blocks, double, squared_distances, unit


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
        squared = found * found
        found *= squared
        return np.asarray(found)

    def diagonal(self, x: Floats) -> Floats:
        return np.asarray(((x**2).sum(axis=1) + 1) ** 3)


class GaussianKernel:
    """CMMD's: exp(−|x − y|² / 2σ²) of features of length 1, less 1, which changes no distance and keeps more digits."""

    def __init__(self, sigma: float) -> None:
        self._scale = -0.5 / sigma**2

    def scaled(self, features: Floats) -> Floats:
        return unit(features)

    def between(self, x: Floats, y: Floats) -> Floats:
        found = squared_distances(x, y)
        found *= self._scale
        return np.asarray(np.expm1(found, out=found))

    def diagonal(self, x: Floats) -> Floats:
        return np.zeros(len(x))


class Kernel(Utility):
    """Minus the squared maximum mean discrepancy to a reference; CMMD's authors show 1,000 times as much.

    Only mixtures of weightings that are known beforehand can be summarised: `around` takes them. There the summary is
    the mean embedding, less the reference's, in the coordinates of the space that the weightings' own embeddings span.
    Pairs of a reference image with itself don't count; those of the pool's do, until `own_pairs` is added.
    """

    def __init__(self, features: Views, reference: Views, function: KernelFunction) -> None:
        self._features, self._function, m = features, function, len(reference)
        pool, target = self._images(features), self._images(reference)
        self._to_reference = self._means(pool, target)
        self._reference = float(self._means(target, target).mean())
        own = float(np.concatenate([function.diagonal(target[part]) for part in target.tiles]).mean())
        distinct = (m * self._reference - own) / (m - 1) if m > 1 else own
        self._excess = distinct - self._reference

    def around(self, weights: sp.csr_array, *, apart: bool = False) -> Utility:
        """K coordinates for mixtures; one where each weighting stands alone.

        Takes time in proportion to N² d: the kernel of every two images is found, once.
        """
        if apart:
            return _Embedded(self._lone(weights), None, self)
        inner = self._inner(weights)
        gram = _summed(weights, inner)
        spectrum, basis = np.linalg.eigh((gram + gram.T) / 2)
        kept = spectrum > 1e-13 * max(spectrum[-1], 0.0)
        return _Embedded(inner, basis[:, kept] / np.sqrt(spectrum[kept]), self)

    def _inner(self, weights: sp.csr_array) -> Floats:
        """(K, N): products of each weighting's embedding with each image's, both less the reference's."""
        columns = sp.csc_array(weights)
        columns.sort_indices()
        first = np.full(columns.shape[1], len(self._features))
        held = np.diff(columns.indptr) > 0
        first[held] = columns.indices[columns.indptr[:-1][held]]
        # Images of the same weightings lie together, so that a tile has to do with few of them.
        images = self._images(self._features, np.argsort(first, kind="stable"))
        out = room((weights.shape[0], len(self._features)))

        def add(by: Ints, to: Ints, found: Floats) -> None:
            part = sp.csr_array(columns[:, by])
            rows = np.flatnonzero(np.diff(part.indptr))
            out[np.ix_(rows, to)] += part[rows] @ found

        for place, across in enumerate(images.tiles):
            some = images[across]
            for down in images.tiles[place:]:
                by, to = images.images[across], images.images[down]
                found = self._function.between(some, some if down == across else images[down])
                add(by, to, found)
                if down != across:
                    add(to, by, found.T)
            release(out)
        offset = weights @ self._to_reference
        for part in blocks(*out.shape):
            out[part] += self._reference - self._to_reference - offset[part, None]
            release(out)
        release(self._features)
        return np.asarray(out)

    def _lone(self, weights: sp.csr_array) -> Floats:
        """(1, N): of each image with the mean of the weighting that it is in."""
        out = np.zeros((1, len(self._features)))
        for k in range(weights.shape[0]):
            held = slice(weights.indptr[k], weights.indptr[k + 1])
            images, own = weights.indices[held].astype(np.int64), weights.data[held]
            to_reference, seen = self._to_reference[images], self._images(self._features, images)
            inner = self._means(seen, seen, own)
            inner += self._reference - to_reference - own @ to_reference
            length = np.sqrt(max(float(own @ inner), 0.0))
            out[0, images] = inner / length if length > 0 else 0.0
        return out

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, K), as those of `around` these weightings."""
        return self.around(sp.csr_array(weights)).summarise(weights)

    def value(self, summaries: Floats) -> Floats:
        """(M,)."""
        return np.asarray(-(summaries**2).sum(axis=1) - self._excess)

    def own_pairs(self, groups: Ints) -> Floats:
        """(N,): the embeddings' variance in each image's group."""
        out, order = np.zeros(len(groups)), np.argsort(groups, kind="stable")
        for images in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
            if len(images) > 1:
                seen = self._images(self._features, images)
                diagonal = np.concatenate([self._function.diagonal(seen[part]) for part in seen.tiles])
                spread = diagonal.mean() - self._means(seen, seen).mean()
                out[images] = spread * len(images) / (len(images) - 1)
        release(self._features)
        return out

    def _images(self, features: Views, images: Ints | None = None) -> "_Images":
        return _Images(features, self._function, np.arange(len(features)) if images is None else images)

    def _means(self, x: "_Images", y: "_Images", weights: Floats | None = None) -> Floats:
        """(len(x),): mean of the kernel over y, weighted."""
        means, own = np.zeros(len(x.images)), np.full(len(y.images), 1 / len(y.images)) if weights is None else weights
        for across in x.tiles:
            some = x[across]
            for down in y.tiles:
                means[across] += self._function.between(some, y[down]) @ own[down]
        return means


class _Images:
    """Some images as a kernel takes them, in tiles of which two have 16 MiB of kernel between them."""

    def __init__(self, features: Views, function: KernelFunction, images: Ints) -> None:
        self._features, self._function, self.images = features, function, images
        side = isqrt(base.BLOCK // 2)
        self.tiles: Sequence[slice] = [slice(at, min(at + side, len(images))) for at in range(0, len(images), side)]

    def __getitem__(self, part: slice) -> Floats:
        return self._function.scaled(double(self._features, self.images[part]))


class _Embedded(Utility):
    """A kernel distance in finitely many coordinates of the images: products (K, N), turned into (K, p) where given."""

    def __init__(self, inner: Floats, turned: Floats | None, kernel: Kernel) -> None:
        self._inner, self._turned, self._kernel = inner, turned, kernel

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        found = _summed(weights, self._inner)
        return found if self._turned is None else np.asarray(found @ self._turned)

    def value(self, summaries: Floats) -> Floats:
        return self._kernel.value(summaries)


def _summed(weights: sp.csr_array | Floats, inner: Floats) -> Floats:
    """(K', K): weightings (K', N) of the columns of `inner` (K, N), some at a time."""
    of_image = sp.csc_array(weights) if sp.issparse(weights) else np.asarray(weights)
    out = np.zeros((of_image.shape[0], len(inner)))
    for part in blocks(inner.shape[1], len(inner)):
        out += of_image[:, part] @ np.ascontiguousarray(inner[:, part].T)
        release(inner)
    return out
