"""Moments of features: linear in the images' weights."""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats, Ints, Moments, Views
from surrogateshap.games.spill import release, room
from surrogateshap.games.utilities.base import blocks, mean_of, rows


def moments(features: Views) -> Moments:
    """Mean and population covariance of features (N, d)."""
    mean = mean_of(features)
    covariance = np.zeros((len(mean), len(mean)))
    for _, some in rows(features):
        centred = some - mean
        covariance += centred.T @ centred
    return Moments(mean, covariance / len(features))


class SecondMoments:
    """Weighted second moments Σ_x w_x x xᵀ of d numbers for each image, as upper triangles of p = d(d + 1)/2 numbers.

    `of_images` gives the numbers (m, d) of some images (m,). `means`: their weighted means come first.
    """

    def __init__(self, of_images: Callable[[Ints], Floats], d: int, *, means: bool = False) -> None:
        self._of_images, self._upper, self._first = of_images, np.triu_indices(d), d if means else 0
        size = len(self._upper[0])
        # Where each entry of a symmetric matrix lies in its upper triangle.
        self._unpack = np.empty((d, d), dtype=np.int64)
        self._unpack[self._upper] = self._unpack.T[self._upper] = np.arange(size)
        self._size = self._first + size

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, p), or (K, d + p), from weights (K, N), one row after another."""
        sparse, d = sp.csr_array(weights), len(self._unpack)
        out = room((sparse.shape[0], self._size))
        for k in range(sparse.shape[0]):
            held = slice(sparse.indptr[k], sparse.indptr[k + 1])
            images, own = sparse.indices[held].astype(np.int64), sparse.data[held]
            second = np.zeros((d, d))
            for part in blocks(len(images), d):
                x = self._of_images(images[part])
                second += (x * own[part, None]).T @ x
                if self._first:
                    out[k, :d] += own[part] @ x
            out[k, self._first :] = second[self._upper]
            if k % 64 == 0:  # now and then, for it isn't free
                release(out)
        return np.asarray(out)

    def matrices(self, summaries: Floats) -> Floats:
        """(M, d, d) from summaries (M, p), or (M, d + p)."""
        return np.asarray(summaries[:, self._first :][:, self._unpack])
