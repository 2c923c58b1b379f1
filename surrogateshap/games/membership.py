"""Which contributor has which share of which images: the matrix B behind every coalition of a grouping."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Bools, Floats, Ints


def coalition_shares(masks: Bools, rows: Ints) -> Floats:
    """Each contributor's share n_i / N_S of a coalition's rows.

    `masks` is (M, n), `rows` (n,); returns (M, n), whose rows sum to 1, or are zero for the empty coalition.
    """
    held = masks * rows.astype(np.float64)
    total = held.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(held, total, out=np.zeros_like(held), where=total > 0))


def cell_weights(cell_of_image: Ints, cells: int, image_weights: Floats | None) -> tuple[Floats, Floats]:
    """Each image's weight inside its cell, (N,), and each cell's total, (C,). Weights in a cell sum to 1, or are 0."""
    raw = np.ones(len(cell_of_image)) if image_weights is None else np.asarray(image_weights, dtype=np.float64)
    total = np.bincount(cell_of_image, weights=raw, minlength=cells).astype(np.float64)
    held = total[cell_of_image]
    return np.divide(raw, held, out=np.zeros_like(raw), where=held > 0), total


def resample_cells(cell_of_image: Ints, rng: np.random.Generator) -> Floats:
    """How often each image is drawn when every cell is resampled with replacement to its own size: (N,) counts."""
    order = np.argsort(cell_of_image, kind="stable")
    sizes = np.bincount(cell_of_image)
    first = np.cumsum(sizes) - sizes
    drawn = first[cell_of_image] + np.floor(rng.random(len(order)) * sizes[cell_of_image]).astype(np.int64)
    return np.bincount(order[drawn], minlength=len(order)).astype(np.float64)


@dataclass(frozen=True)
class Membership:
    """One grouping's n contributors on one pool of N images that lie in C cells."""

    names: tuple[str, ...]
    rows: Ints
    """(n,): training rows of each contributor."""
    shares: sp.csr_array
    """(n, C): share of a contributor's rows in each cell; rows sum to 1."""
    cell_of_image: Ints
    """(N,): the cell of each image, in [0, C)."""
    empty_cell: int | None = None
    """The cell of images without a condition, which stand for the empty coalition."""

    def __post_init__(self) -> None:
        n, cells = self.shares.shape
        if len(self.names) != n or self.rows.shape != (n,) or n == 0:
            raise ValueError(f"{len(self.names)} names and {len(self.rows)} row counts for {n} contributors")
        if self.rows.min() < 1:
            raise ValueError("every contributor needs at least one row")
        if len(self.cell_of_image) == 0 or self.cell_of_image.min() < 0 or self.cell_of_image.max() >= cells:
            raise ValueError(f"every image must lie in one of the {cells} cells")
        if self.empty_cell is not None and not 0 <= self.empty_cell < cells:
            raise ValueError(f"the cell of the empty coalition, {self.empty_cell}, is not among the {cells} cells")

    def weights(self, image_weights: Floats | None = None) -> sp.csr_array:
        """B, (n, N): weight of each image under each contributor; rows sum to 1.

        `image_weights`, (N,) and not negative, are bootstrap counts, normalised inside each cell. A cell without
        images (or with zero weights alone) is dropped and the contributor's other cells take its share. Contributors
        with equal shares get bit-equal rows. Raises ValueError for a contributor that is left without images.
        """
        inside, total = cell_weights(self.cell_of_image, self.shares.shape[1], image_weights)
        kept = sp.csr_array(self.shares.multiply((total > 0).astype(np.float64)[None, :]))
        mass = np.asarray(kept.sum(axis=1)).ravel()
        if not mass.all():
            raise ValueError(f"no image in the pool belongs to contributor {self.names[int(np.argmin(mass))]!r}")
        images = np.arange(len(inside))
        spread = sp.csr_array((inside, (self.cell_of_image, images)), shape=(len(total), len(inside)))
        weights = sp.csr_array(kept.multiply((1 / mass)[:, None]) @ spread)
        weights.sort_indices()
        return weights

    def empty_weights(self, image_weights: Floats | None = None) -> sp.csr_array:
        """(1, N): equal weights on the images without a condition. Raises ValueError where there are none."""
        inside, total = cell_weights(self.cell_of_image, self.shares.shape[1], image_weights)
        if self.empty_cell is None or total[self.empty_cell] == 0:
            raise ValueError("the empty coalition needs images without a condition, or a value of its own")
        return sp.csr_array(np.where(self.cell_of_image == self.empty_cell, inside, 0.0)[None, :])

    def resample(self, rng: np.random.Generator) -> Floats:
        """(N,) bootstrap counts: every cell is resampled to its own size; a cell with one image keeps it."""
        return resample_cells(self.cell_of_image, rng)
