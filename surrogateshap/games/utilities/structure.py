"""Diversity as structural dissimilarity of two images drawn independently.

Odena et al. 2017, arXiv 1610.09585, section 4.2, measure it so within classes.
"""

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats, Ints, Views
from surrogateshap.games.utilities.base import Utility, mixed
from surrogateshap.games.utilities.score import Mean
from surrogateshap.games.utilities.similarity import StructuralSimilarity
from surrogateshap.games.utilities.strata import PAIRS, Strata, proportional, separate

_STRATA = 1_447
"""Strata at most, where not all pairs of images are compared: a million pairs, one of every two strata."""


class Structure(Utility):
    """1 − Σ_xy w_x w_y MS-SSIM(x, y).

    The two draws may be the same image, as in `Pairwise`; `own_pairs` makes up for that. Only mixtures of weightings
    that are known beforehand can be summarised: `around` takes them. Images whose weights are in proportion in all of
    these form a stratum: a contributor's own, or those of a condition that several share. Every two strata have a mean
    similarity, of all their pairs of images or of a seeded sample drawn by weight (`strata.PAIRS` in all). How it
    changes with the weights inside a stratum is known to first order.
    """

    def __init__(self, pixels: Views) -> None:
        self._similarity = StructuralSimilarity(pixels)
        self._known = (np.zeros(0, dtype=np.int64), np.zeros(0))

    def around(self, weights: sp.csr_array, *, apart: bool = False) -> Utility:
        """In the strata's shares. Raises ValueError where contributors share conditions in more than 1,447 ways."""
        strata = separate(weights) if apart else proportional(weights)
        images, s = int(strata.sizes.sum()), strata.number
        if not apart and s > _STRATA and images * (images - 1) > 2 * PAIRS:
            message = f"MS-SSIM between images of {s:,} sets of conditions, which contributors share in different ways"
            raise ValueError(f"{message}, takes too long (at most {_STRATA:,}): use a coarser grouping, or `pairwise`")
        means, slopes = self._means(strata, within=apart)
        held = np.flatnonzero(strata.of_image >= 0)
        if apart:
            scores, of_image = np.zeros(len(strata.of_image)), strata.of_image[held]
            scores[held] = 1 - means[of_image] - 2 * np.asarray(slopes.sum(axis=1)).ravel()[held]
            return Mean(scores)
        matrix = np.empty((s, s))
        a, b = strata.blocks(within=False)
        matrix[a, b] = matrix[b, a] = means
        indicator = sp.csr_array((np.ones(len(held)), (held, strata.of_image[held])), shape=slopes.shape)
        return _Mixed(sp.csr_array(sp.hstack([indicator, slopes])), matrix)

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, 1): the values; only what `around` gives has summaries that mix."""
        rows = sp.csr_array(weights)
        return np.vstack([self.around(rows[[k]], apart=True).summarise(rows[[k]]) for k in range(rows.shape[0])])

    def value(self, summaries: Floats) -> Floats:
        """(M,), from 0 to 1."""
        return np.asarray(summaries[:, 0])

    def own_pairs(self, groups: Ints) -> Floats:
        """(N,): mean dissimilarity of two different images of each image's group."""
        _, of_image, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        strata = Strata(of_image.astype(np.int64), 1 / sizes[of_image])
        means, _ = self._means(strata, within=True)
        return np.asarray(((1 - means) * sizes / np.maximum(sizes - 1, 1))[of_image])

    def _means(self, strata: Strata, *, within: bool) -> tuple[Floats, sp.csr_array]:
        """Mean similarity (B,) of two images of each block's strata, an image paired with itself too, and slopes.

        Slopes (N, S): how the mean between an image's stratum and another changes with the image's weight.
        """
        pairs, (a, b) = strata.pairs(within=within), strata.blocks(within=within)
        found = self._compare(pairs.first, pairs.second)
        distinct = np.bincount(pairs.block, weights=pairs.weight * found, minlength=len(a))
        same = np.where(a == b, strata.squares[a], 0.0)
        distinct[same > 1 - 1e-12] = 1.0
        part = pairs.weight * (found - distinct[pairs.block])
        part *= np.where(a == b, (1 - same) / 2, 1.0)[pairs.block]
        # An image counts for more than its like in pairs with itself, and for what it differs in pairs with others.
        held = np.flatnonzero(strata.of_image >= 0)
        own = strata.of_image[held]
        unlike = 1 - distinct[a == b]
        alone = (strata.share[held] - strata.squares[own]) * unlike[own]
        slopes = [alone, part / strata.share[pairs.first], part / strata.share[pairs.second]]
        rows, columns = [held, pairs.first, pairs.second], [own, b[pairs.block], a[pairs.block]]
        where = (np.concatenate(rows), np.concatenate(columns))
        shape = (len(strata.of_image), strata.number)
        return distinct + same * (1 - distinct), sp.csr_array((np.concatenate(slopes), where), shape=shape)

    def _compare(self, first: Ints, second: Ints) -> Floats:
        """(P,): similarities of pairs, each found once in this utility's life."""
        keys, inverse = np.unique(np.minimum(first, second) << 32 | np.maximum(first, second), return_inverse=True)
        known, values = self._known
        new = np.setdiff1d(keys, known, assume_unique=True)
        keys_now = np.concatenate([known, new])
        values_now = np.concatenate([values, self._similarity(new >> 32, new & 0xFFFFFFFF)])
        order = keys_now.argsort()
        self._known = keys_now[order], values_now[order]
        return np.asarray(self._known[1][np.searchsorted(self._known[0], keys)][inverse])


class _Mixed(Utility):
    """In the shares of S strata and what their weights inside do to similarities."""

    def __init__(self, terms: sp.csr_array, means: Floats) -> None:
        self._terms, self._means = terms, means

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, 2S)."""
        return mixed(weights, self._terms)

    def value(self, summaries: Floats) -> Floats:
        """(M,)."""
        shares, change = np.split(summaries, 2, axis=1)
        return np.asarray(1 - ((shares @ self._means + 2 * change) * shares).sum(axis=1))
