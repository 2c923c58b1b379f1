"""How images and a reference lie in each other's neighbourhoods.

Precision and recall: Kynkäänniemi et al. 2019, arXiv 1904.06991, section 2. Density and coverage: Naeem et al. 2020,
arXiv 2002.09797, section 3. A neighbourhood is the closed ball around an image that reaches to its k-th nearest other
image of the same set.
"""

from functools import cached_property

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats, Ints, Views
from surrogateshap.games.utilities.base import Utility, blocks, mixed, squared_distances

_TOLERANCE = 1e-12
"""Sums of weights that should be equal differ by less than this."""


def inside(features: Views, reference: Views, neighbours: int) -> sp.csr_array:
    """(N, m): 1 where an image lies in the neighbourhood of a reference image.

    Raises ValueError where there are too few reference images for a k-th nearest.
    """
    m = len(reference)
    if m <= neighbours:
        raise ValueError(f"{neighbours} neighbours need more reference images than the {m} there are")
    radius = np.empty(m)
    for part in blocks(m, m):
        apart = squared_distances(reference[part], reference)
        apart[np.arange(len(apart)), np.arange(m)[part]] = np.inf
        radius[part] = np.partition(apart, neighbours - 1, axis=1)[:, neighbours - 1]
    parts = []
    for part in blocks(len(features), max(m, features.shape[1])):
        near = squared_distances(features[part], reference) <= radius
        parts.append(sp.csr_array(near.astype(np.float64)))
    return sp.csr_array(sp.vstack(parts))


def precision_scores(held: sp.csr_array) -> Floats:
    """(N,): 1 for images in some neighbourhood; their mean is the precision. `held` (N, m) is that of `inside`."""
    return np.asarray(np.diff(held.indptr) > 0, dtype=np.float64)


def density_scores(held: sp.csr_array, neighbours: int) -> Floats:
    """(N,): neighbourhoods that an image lies in, over k; their mean is the density, 1 for like images."""
    return np.asarray(np.diff(held.indptr) / neighbours)


class Coverage(Utility):
    """Expected share of the m reference neighbourhoods with one of m independent draws in them. p = m.

    The mean over them of 1 − (1 − p_j)^m, where p_j is the weight inside: the published share, of as many images as the
    reference has, is one such draw. Contributors with far fewer images than that can't tell it: their values stay too
    low, and intervals too narrow (bench/RESULTS.md).
    """

    curved, step = True, 1.0  # whether a neighbourhood has its one image or none, a short step doesn't see

    def __init__(self, held: sp.csr_array) -> None:
        self._held = held

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, m): the weight in each neighbourhood."""
        return mixed(weights, self._held)

    def value(self, summaries: Floats) -> Floats:
        """(M,), from 0 to 1."""
        m = summaries.shape[1]
        return np.asarray(1 - np.exp(m * np.log1p(-np.minimum(summaries, 1 - 1e-15))).mean(axis=1))


class Recall(Utility):
    """Share of the m reference images that lie in the neighbourhood of some image with a weight. p = N.

    An image's neighbourhood reaches as far as the weight of the others in it is k/m: on m images of equal weight to
    the k-th nearest, and with fewer or more images to the same share of them. Each coalition takes time in proportion
    to N(N + m) at most: 4 ms with 1,000 each; orders of neighbours take 4 N(N + m) bytes.
    """

    step = 1.0

    def __init__(self, features: Views, reference: Views, neighbours: int, *, apart: bool = False) -> None:
        self._features, self._reference, self._neighbours, self._apart = features, reference, neighbours, apart

    def around(self, weights: sp.csr_array, *, apart: bool = False) -> Utility:
        """Where each weighting stands alone, the orders of its own images only are found, whenever it is evaluated."""
        return Recall(self._features, self._reference, self._neighbours, apart=apart)

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, N): the weights."""
        return np.asarray(weights.toarray() if sp.issparse(weights) else weights)

    def value(self, summaries: Floats) -> Floats:
        """(M,), from 0 to 1."""
        share = self._neighbours / len(self._reference)
        if not self._apart:
            return np.array([self._orders.recalled(weights, share) for weights in summaries])
        found = []
        for weights in summaries:
            held = np.flatnonzero(weights)
            found.append(_Orders(self._features[held], self._reference).recalled(weights[held], share))
        return np.array(found)

    @cached_property
    def _orders(self) -> "_Orders":
        return _Orders(self._features, self._reference)


class _Orders:
    """N images in the order of their distance from each, and the places of the m reference images among them."""

    def __init__(self, features: Views, reference: Views) -> None:
        n, m = len(features), len(reference)
        self._others = np.empty((n, n - 1), dtype=np.int32)
        self._closer = np.empty((n, m), dtype=np.int32)
        for part in blocks(n, n + m):
            apart = squared_distances(features[part], features)
            to_reference = squared_distances(features[part], reference)
            apart[np.arange(len(apart)), np.arange(n)[part]] = np.inf
            order = apart.argsort(axis=1)[:, :-1]
            self._others[part] = order
            sorted_apart = np.take_along_axis(apart, order, axis=1)
            for row, image in enumerate(range(n)[part]):
                self._closer[image] = np.searchsorted(sorted_apart[row], to_reference[row])

    def recalled(self, weights: Floats, share: float) -> float:
        """Share of the reference in the neighbourhood of an image with a weight, given weights (N,) that sum to 1."""
        images = np.flatnonzero(weights)
        if not len(images):
            return 0.0
        reach = self._reach(images, weights, share)
        # The t-th nearest is the neighbourhood's rim: whatever has less than t closer images lies inside.
        hit = np.zeros(self._closer.shape[1], dtype=np.bool_)
        for part in blocks(len(images), len(hit)):
            hit |= (self._closer[images[part]] < reach[part, None]).any(axis=0)
        return float(hit.mean())

    def _reach(self, images: Ints, weights: Floats, share: float) -> Ints:
        """(len(images),): how many of the nearest others it takes to reach the share, or all there is."""
        others = 1 - weights[images]
        wanted = np.minimum(share, others) - _TOLERANCE
        reach, open_ = np.zeros(len(images), dtype=np.int64), np.flatnonzero(others > _TOLERANCE)
        held = np.zeros((len(open_), 1))
        start, width = 0, 64
        while len(open_) and start < self._others.shape[1]:
            near = self._others[images[open_], start : start + width]
            cumulated = held + np.cumsum(weights[near], axis=1)
            short = cumulated < wanted[open_, None]
            reach[open_] = start + short.sum(axis=1) + 1
            unfinished = short[:, -1]
            held, open_ = cumulated[unfinished, -1:], open_[unfinished]
            start, width = start + width, 2 * width
        return reach
