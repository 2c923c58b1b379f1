"""How many images each cell gets."""

import heapq
from collections.abc import Iterator

import numpy as np

_FEW = 1_000
"""Images up to which giving them one by one is fast enough."""


def allocate(shares: np.ndarray, images: int, least: int = 0) -> np.ndarray:
    """Whole numbers in proportion to `shares` that sum to `images`, each at least `least` where its share is positive.

    Sainte-Laguë's highest averages: no cell ever loses an image when the total grows, so a larger budget extends a
    smaller one. Shapes: (C,) -> (C,) int64. With fewer images than `least` asks for, the largest shares come first.
    """
    shares, counts = np.asarray(shares, np.float64), np.zeros(len(shares), np.int64)
    cells = np.flatnonzero(shares > 0)
    order = cells[np.argsort(-shares[cells], kind="stable")]
    if len(order) == 0:
        return counts
    for _ in range(least):
        given = order[:images]
        counts[given] += 1
        images -= len(given)
    if images > _FEW:
        images -= _advance(shares[cells], counts, cells, images)
    heap = [(-share / (2 * count + 1), cell) for share, count, cell in _nearest(shares, counts, cells, images)]
    heapq.heapify(heap)
    for _ in range(images):
        _, cell = heap[0]
        counts[cell] += 1
        heapq.heapreplace(heap, (-float(shares[cell]) / (2 * int(counts[cell]) + 1), cell))
    return counts


def _nearest(
    shares: np.ndarray, counts: np.ndarray, cells: np.ndarray, images: int
) -> Iterator[tuple[float, int, int]]:
    """Share, count and number of each cell that can be among the next `images` ones: about so many at most."""
    if 0 < images < len(cells):
        quotients = shares[cells] / (2 * counts[cells] + 1)
        cells = cells[quotients >= np.partition(quotients, len(cells) - images)[len(cells) - images]]
    return zip(shares[cells].tolist(), counts[cells].tolist(), cells.tolist(), strict=True)


def _advance(shares: np.ndarray, counts: np.ndarray, cells: np.ndarray, images: int) -> int:
    """Gives most of the images at once, to those that get them anyway; returns how many.

    Whoever's quotient share / (2 count + 1) is above a bound gets an image before anybody below it.
    """
    before = counts[cells]

    def above(bound: float) -> np.ndarray:
        return np.asarray(np.maximum(before, np.floor((shares / bound + 1) / 2).astype(np.int64)))

    low, high = float(shares.sum()) / (4.0 * (images + int(before.sum()) + len(cells))), float(shares.max())
    for _ in range(40):
        middle = (low * high) ** 0.5
        if int((above(middle) - before).sum()) <= images:
            high = middle
        else:
            low = middle
        if high / low < 1 + 1e-4:
            break
    # One fewer than the bound allows, so that rounding can't give one too many.
    counts[cells] = np.maximum(before, above(high) - 1)
    return int((counts[cells] - before).sum())


def extend(counts: np.ndarray, spreads: np.ndarray, images: int) -> np.ndarray:
    """`counts` (C,) and `images` more, each where it lowers Σ spread² / count most; (C,) int64.

    The spread of a cell is the standard deviation that one image of it brings into what is estimated: Neyman's optimum
    (1934), count ∝ spread, in whole numbers and without taking any image back. An image's gain is
    spread² / (count · (count + 1)), so giving it where that is largest, again and again, is optimal (Wright 2012, The
    American Statistician 66(4)). Cells without an image or a spread get none; where no cell has both, nothing is added.
    """
    counts = np.array(counts, np.int64)

    def gain(cell: int) -> float:
        return -(float(spreads[cell]) ** 2) / float(counts[cell] * (counts[cell] + 1))

    heap = [(gain(cell), cell) for cell in np.flatnonzero((spreads > 0) & (counts > 0)).tolist()]
    heapq.heapify(heap)
    for _ in range(images if heap else 0):
        _, cell = heap[0]
        counts[cell] += 1
        heapq.heapreplace(heap, (gain(cell), cell))
    return counts
