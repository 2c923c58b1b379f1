"""Which contributor has which share of which images: the matrix B behind every coalition of a grouping."""

from dataclasses import dataclass
from functools import cached_property

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


def resample_groups(group_of_image: Ints, rng: np.random.Generator) -> Floats:
    """Bootstrap weights (N,) of the images: m − 1 draws with replacement from each group of m, each weighing m/(m − 1).

    The rescaling (Rao & Wu 1988) makes the variance of a group's mean the unbiased one, also for groups of two images,
    where plain counts give half of it. A group of one image keeps it.
    """
    order = np.argsort(group_of_image, kind="stable")
    sizes = np.bincount(group_of_image)
    first = np.cumsum(sizes) - sizes
    group, size = group_of_image[order], sizes[group_of_image[order]]
    place = np.arange(len(order)) - first[group]
    drawn = first[group] + np.floor(rng.random(len(order)) * size).astype(np.int64)
    counts = np.bincount(drawn[place < np.maximum(size - 1, 1)], minlength=len(order))
    weights = np.empty(len(order))
    weights[order] = counts * (size / np.maximum(size - 1, 1))
    return weights


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

    @cached_property
    def groups(self) -> Ints:
        """(N,): which images are resampled together: those of a cell, and those of a contributor's cells of one image.

        An image alone says nothing of its spread, so such cells are taken together (collapsed strata, Cochran 1977,
        section 5A.12): that overstates their variance, where leaving them out would deny it.
        """
        sizes = np.bincount(self.cell_of_image, minlength=self.shares.shape[1])
        owner = np.asarray(self.shares.argmax(axis=0)).ravel()
        group_of_cell = np.arange(len(sizes))
        owned = np.asarray(self.shares.sum(axis=0)).ravel() > 0
        single = np.flatnonzero((sizes == 1) & owned)
        contributors, first, times = np.unique(owner[single], return_index=True, return_counts=True)
        leader = np.zeros(self.shares.shape[0], np.int64)
        leader[contributors] = single[first]
        group_of_cell[single] = leader[owner[single]]
        # A contributor's only such cell goes with the smallest of its other cells.
        others = np.flatnonzero((sizes > 1) & owned)
        others = others[np.lexsort((others, sizes[others], owner[others]))]
        whose, place = np.unique(owner[others], return_index=True)
        joined = np.isin(whose, contributors[times == 1])
        group_of_cell[others[place[joined]]] = leader[whose[joined]]
        return np.asarray(group_of_cell[self.cell_of_image])

    def weights(self, image_weights: Floats | None = None) -> sp.csr_array:
        """B, (n, N): weight of each image under each contributor; rows sum to 1.

        A cell without images is dropped and the contributor's other cells take its share. `image_weights`, (N,), are
        those of `resample`: they move weight between the images of a group and leave the group's own. Contributors
        with equal shares get bit-equal rows. Raises ValueError for a contributor without images.
        """
        weights = self._even
        if image_weights is None:
            return weights
        entries = weights.tocoo()
        column, row = entries.coords[1], entries.coords[0]
        moved = entries.data * image_weights[column]
        held = row.astype(np.int64) * len(self.cell_of_image) + self.groups[column]
        _, held = np.unique(held, return_inverse=True)
        before, after = np.bincount(held, weights=entries.data), np.bincount(held, weights=moved)
        scale = np.divide(before, after, out=np.zeros_like(before), where=after > 0)
        return sp.csr_array((moved * scale[held], (row, column)), shape=weights.shape)

    @cached_property
    def _even(self) -> sp.csr_array:
        inside, total = cell_weights(self.cell_of_image, self.shares.shape[1], None)
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
        """(N,) bootstrap weights of the images, group by group."""
        return resample_groups(self.groups, rng)
