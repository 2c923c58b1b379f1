"""How many images each cell gets."""

import heapq

import numpy as np


def allocate(shares: np.ndarray, images: int, least: int = 0) -> np.ndarray:
    """Whole numbers in proportion to `shares` that sum to `images`, each at least `least` where its share is positive.

    Sainte-Laguë's highest averages: no cell ever loses an image when the total grows, so a larger budget extends a
    smaller one. Shapes: (C,) -> (C,) int64. With fewer images than `least` asks for, the largest shares come first.
    """
    counts = np.zeros(len(shares), np.int64)
    order = sorted(np.flatnonzero(shares > 0).tolist(), key=lambda cell: (-shares[cell], cell))
    for _ in range(least):
        for cell in order:
            if images == 0:
                return counts
            counts[cell] += 1
            images -= 1
    heap = [(-shares[cell] / (2 * counts[cell] + 1), cell) for cell in order]
    heapq.heapify(heap)
    for _ in range(images if heap else 0):
        _, cell = heap[0]
        counts[cell] += 1
        heapq.heapreplace(heap, (-shares[cell] / (2 * counts[cell] + 1), cell))
    return counts


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
