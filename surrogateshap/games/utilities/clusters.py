"""Entropy over clusters of images: evenness over kinds of images."""

import warnings

import numpy as np
import scipy.sparse as sp
from scipy.special import xlogy

from surrogateshap.games.encoded import Floats, Ints, Views
from surrogateshap.games.utilities.base import Utility, blocks, mixed, squared_distances

_ITERATIONS = 30
_SEED = 0


def find_clusters(features: Views, clusters: int) -> Floats:
    """Centres (k, d) by k-means++ (Arthur & Vassilvitskii 2007) and Lloyd's iterations, with a fixed seed.

    There are no more of them than different images, and empty ones are left out.
    """
    from scipy.cluster.vq import kmeans2  # a seventh of a second that planning needn't wait for

    features = np.asarray(features, dtype=np.float64)
    different = np.unique(features, axis=0)
    if len(different) <= clusters:
        return different
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty", UserWarning)
        centres, nearest = kmeans2(features, _far_apart(features, clusters), iter=_ITERATIONS, minit="matrix")
    return np.asarray(centres[np.unique(nearest)])


def _far_apart(features: Views, clusters: int) -> Floats:
    """(k, d): images drawn one after another with probability in proportion to the squared distance from the others."""
    rng = np.random.default_rng(_SEED)
    drawn = [int(rng.integers(len(features)))]
    nearest = squared_distances(features, features[drawn])[:, 0]
    while len(drawn) < clusters:
        cumulated = np.cumsum(nearest)
        drawn.append(int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right")))
        nearest = np.minimum(nearest, squared_distances(features, features[drawn[-1:]])[:, 0])
    return np.asarray(features[drawn], dtype=np.float64)


class ClusterEntropy(Utility):
    """−Σ_c s_c log s_c of the weighted shares s of the clusters, in nats. p = number of clusters."""

    curved = True
    step = 1.0  # s log s bends most where a cluster has few images, which a short step doesn't see

    def __init__(self, features: Views, centres: Floats) -> None:
        nearest: Ints = np.empty(len(features), dtype=np.int64)
        for part in blocks(len(features), max(centres.shape)):
            nearest[part] = squared_distances(features[part], centres).argmin(axis=1)
        images = np.arange(len(features))
        self._cluster_of_image = sp.csr_array((np.ones(len(images)), (images, nearest)), (len(images), len(centres)))

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, p): the clusters' shares."""
        return mixed(weights, self._cluster_of_image)

    def value(self, summaries: Floats) -> Floats:
        """(M,), from 0 to log p."""
        return np.asarray(-xlogy(summaries, summaries).sum(axis=1))
