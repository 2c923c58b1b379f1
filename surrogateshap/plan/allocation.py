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
