"""Pairs of images of every two strata: all of them, or a sample."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats, Ints

PAIRS = 1 << 18
"""Pairs compared at most, beyond one for every two strata: all of 724 images', else as many of every two strata."""
_DIGITS = 9
"""Of proportions that are taken for equal."""


@dataclass(frozen=True)
class Pairs:
    """P pairs of different images in B blocks, each of two strata."""

    block: Ints
    """(P,): ascending or not."""
    first: Ints
    """(P,): an image of the block's first stratum."""
    second: Ints
    """(P,): an image of its second."""
    weight: Floats
    """(P,): sums to 1 in each block."""


@dataclass(frozen=True)
class Strata:
    """S sets of images, out of N, and the images' weights in these."""

    of_image: Ints
    """(N,): the stratum, or -1."""
    share: Floats
    """(N,): sums to 1 in each stratum."""

    @cached_property
    def number(self) -> int:
        """S."""
        return int(self.of_image.max()) + 1

    @cached_property
    def squares(self) -> Floats:
        """(S,): probability that two independent draws are the same image."""
        held = self.of_image >= 0
        found = np.bincount(self.of_image[held], weights=self.share[held] ** 2, minlength=self.number)
        return found.astype(np.float64)

    @cached_property
    def sizes(self) -> Ints:
        """(S,): images."""
        return np.bincount(self.of_image[self.of_image >= 0], minlength=self.number)

    def blocks(self, *, within: bool) -> tuple[Ints, Ints]:
        """(B,) first and (B,) second strata, the first not after the second; `within`: each with itself alone."""
        if within:
            return np.arange(self.number), np.arange(self.number)
        first, second = np.triu_indices(self.number)
        return first.astype(np.int64), second.astype(np.int64)

    def pairs(self, *, within: bool) -> Pairs:
        """Pairs of images of these blocks; none where a stratum of one image meets itself."""
        n = int(self.sizes.sum())
        every = int((self.sizes * (self.sizes - 1)).sum()) if within else n * (n - 1)
        return self._all(within) if every <= 2 * PAIRS else self._sample(within)

    def _all(self, within: bool) -> Pairs:
        order = np.argsort(self.of_image, kind="stable")[(self.of_image < 0).sum() :]
        if within:
            starts = np.cumsum(self.sizes) - self.sizes
            parts = [np.stack(np.triu_indices(size, 1)) + start for start, size in zip(starts, self.sizes, strict=True)]
            first, second = order[np.concatenate(parts, axis=1)]
        else:
            first, second = order[np.stack(np.triu_indices(len(order), 1))]
        a, b = self.of_image[first], self.of_image[second]
        weight = self.share[first] * self.share[second]
        weight = np.where(a == b, 2 * weight / np.where(a == b, 1 - self.squares[a], 1.0), weight)
        # Blocks before (a, b) in the upper triangle's order.
        block = a if within else a * self.number - a * (a - 1) // 2 + (b - a)
        return Pairs(block, first, second, weight)

    def _sample(self, within: bool) -> Pairs:
        a, b = self.blocks(within=within)
        drawn = np.flatnonzero((a != b) | (self.sizes[a] > 1))
        each, rng = max(1, PAIRS // len(drawn)), np.random.default_rng(0)
        block = np.repeat(drawn, each)
        a, b = a[block], b[block]
        order = np.argsort(self.of_image, kind="stable")[(self.of_image < 0).sum() :]
        share, stratum = self.share[order], self.of_image[order]
        last = np.cumsum(self.sizes) - 1
        start = last - self.sizes + 1
        below = np.cumsum(share) - share

        def draw(cumulated: Floats, of: Ints, u: Floats) -> Ints:
            """Places in `order` of images of the strata `of`, at u in [0, 1) of their cumulated weights."""
            return np.clip(np.searchsorted(cumulated, of + u, side="right") - 1, start[of], last[of])

        # In a stratum's pairs with itself an image stands for q(1 - q), and then any other for its q.
        apart = share * (1 - share) / np.where(self.sizes > 1, 1 - self.squares, 1.0)[stratum]
        apart_below = stratum + _below_in_stratum(apart, start[stratum])
        below = stratum + _below_in_stratum(share, start[stratum])
        u, v = rng.random(len(block)), rng.random(len(block))
        same = a == b
        first = np.where(same, draw(apart_below, a, u), draw(below, a, u))
        v = np.where(same, v * (1 - share[first]), v)
        v = np.where(same & (v >= below[first] - a), v + share[first], v)
        second = draw(below, b, v)
        again = same & (second == first)
        second[again] = np.where(first[again] < last[a[again]], first[again] + 1, first[again] - 1)
        return Pairs(block, order[first], order[second], np.full(len(block), 1 / each))


def _below_in_stratum(share: Floats, start: Ints) -> Floats:
    """(n,): weight of the images before each in its stratum, given the place of the stratum's first."""
    below = np.cumsum(share) - share
    return np.asarray(below - below[start])


def proportional(weights: sp.csr_array) -> Strata:
    """Images whose weights are in proportion in all of K weightings (K, N), by their share of the weight."""
    columns = sp.csc_array(weights)
    columns.sort_indices()
    total = np.asarray(columns.sum(axis=0)).ravel()
    known: dict[bytes, int] = {}
    of_image = np.full(len(total), -1, dtype=np.int64)
    for image in np.flatnonzero(total > 0):
        held = slice(columns.indptr[image], columns.indptr[image + 1])
        rows, proportions = columns.indices[held], np.round(columns.data[held] / total[image], _DIGITS)
        kept = proportions > 0
        key = rows[kept].tobytes() + proportions[kept].tobytes()
        of_image[image] = known.setdefault(key, len(known))
    return _shared(of_image, total.astype(np.float64))


def separate(weights: sp.csr_array) -> Strata:
    """The images of each of K weightings (K, N), of which no two hold the same image."""
    entries = sp.coo_array(weights)
    held = entries.data > 0
    of_image, total = np.full(weights.shape[1], -1, dtype=np.int64), np.zeros(weights.shape[1])
    of_image[entries.coords[1][held]] = entries.coords[0][held]
    total[entries.coords[1][held]] = entries.data[held]
    return _shared(of_image, total)


def _shared(of_image: Ints, total: Floats) -> Strata:
    held = of_image >= 0
    whole = np.bincount(of_image[held], weights=total[held])
    return Strata(of_image, np.where(held, total / whole[of_image], 0.0))
