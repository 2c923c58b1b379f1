"""What a pool's images are counted by: its cells, how many images each gets, and whose they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from surrogateshap.plan.allocation import allocate
from surrogateshap.plan.manifest import Grouping, Manifest

_MANY = 64
"""Conditions of a contributor, most of them of a single row, from which on chance says which ones are shown first."""


@dataclass(frozen=True)
class Cells:
    """The C cells that rows fall into."""

    condition: np.ndarray
    """(C,): position in the manifest's conditions."""
    of_row: np.ndarray
    """(R,): cell of each row."""


@dataclass(frozen=True)
class Draw:
    """Rows drawn at random that stand for all of their contributors' rows."""

    counts: np.ndarray
    """(C + 1,): images of each cell; the last is that of the unconditional ones."""
    weights: np.ndarray
    """(R,): rows that each drawn row stands for; 0 for the others."""


def cells_of(manifest: Manifest, proxy: str) -> Cells:
    """Conditions under the prompt proxy; under the image proxy, conditions within one contributor of each grouping."""
    if proxy != "image":
        there = np.bincount(manifest.condition_of_row, minlength=len(manifest.conditions)) > 0
        return Cells(np.flatnonzero(there), (np.cumsum(there) - 1)[manifest.condition_of_row])
    # Sorted by the first grouping's contributor, then by the second's, …, then by condition.
    sizes = [len(grouping.contributors) for grouping in manifest.groupings[1:]] + [len(manifest.conditions)]
    codes = [grouping.of_row for grouping in manifest.groupings[1:]] + [manifest.condition_of_row]
    of_row = manifest.groupings[0].of_row.astype(np.int64)
    for size, code in zip(sizes, codes, strict=True):
        _, of_row = np.unique(of_row * size + code, return_inverse=True)
    condition = np.zeros(int(of_row.max()) + 1, np.int64)
    condition[of_row] = manifest.condition_of_row
    return Cells(condition, of_row)


def even_counts(manifest: Manifest, proxy: str, images: int, unconditional: int, seed: int) -> np.ndarray:
    """(C + 1,): images of each cell where all contributors get alike, then the unconditional ones."""
    cells, first = cells_of(manifest, proxy), manifest.groupings[0]
    if proxy != "image":
        mean = np.asarray(shares_of(first, cells).mean(axis=0)).ravel()[:-1]
        return np.append(allocate(mean, images, least=2), unconditional)
    size = np.bincount(cells.of_row)
    owner = np.zeros(len(size), np.int64)
    owner[cells.of_row] = first.of_row
    counts = np.zeros(len(size), np.int64)
    bounds = np.searchsorted(owner, np.arange(len(first.contributors) + 1))  # cells are sorted by it
    given = allocate(np.ones(len(first.contributors)), images)
    chance = mixed(_first_row(cells), seed)
    for start, end, own in zip(bounds[:-1].tolist(), bounds[1:].tolist(), given.tolist(), strict=True):
        inside = np.arange(start, end)
        if end - start > _MANY and 2 * int((size[inside] == 1).sum()) > end - start:
            inside = inside[np.argsort(chance[inside])]
        counts[inside] = allocate(size[inside], own)
    return np.append(counts, unconditional)


def shows_all(manifest: Manifest, images: int) -> bool:
    """Whether so many images are enough to show every condition twice, as intervals need it."""
    return images >= 2 * len(manifest.conditions)


def draw_rows(manifest: Manifest, images: int, unconditional: int, seed: int) -> Draw:
    """Rows for the prompt proxy where there are too few images to show every condition twice.

    Contributors of the first grouping take turns, each with the next of its rows in a seeded order; a condition gets an
    image when its row is drawn, but two at most. Whoever has one row has it drawn twice, so that twice as many images
    as contributors give everybody two. The rows drawn stand for the contributor's other ones (simple random sampling
    within strata), so no condition is missed for being rare. More images draw more rows, after the same ones.
    """
    cells, first = cells_of(manifest, "prompt"), manifest.groupings[0]
    order = np.lexsort((mixed(np.arange(manifest.rows), seed), first.of_row))
    owner = first.of_row[order]
    turn = np.arange(len(order)) - (np.cumsum(first.rows) - first.rows)[owner]
    alone = order[first.rows[owner] == 1]
    rows, turns = np.append(order, alone), np.append(turn, np.ones(len(alone), np.int64))
    rows = rows[np.lexsort((first.of_row[rows], turns))]
    cell = cells.of_row[rows]
    earlier = np.zeros(len(rows), np.int64)
    by_cell = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[by_cell], np.arange(len(cells.condition)))
    earlier[by_cell] = np.arange(len(rows)) - starts[cell[by_cell]]
    shown = earlier < 2
    end = int(np.searchsorted(np.cumsum(shown), images, side="right"))
    counts = np.bincount(cell[:end][shown[:end]], minlength=len(cells.condition))
    left = images - int(counts.sum())
    if left > 0:  # every row is drawn, and every condition shown: the commonest ones are shown again
        mean = np.asarray(shares_of(first, cells).mean(axis=0)).ravel()[:-1]
        once = np.flatnonzero(counts == 1)
        counts[once[np.argsort(-mean[once], kind="stable")][:left]] += 1
    drawn = np.unique(rows[:end])
    held = np.bincount(first.of_row[drawn], minlength=len(first.contributors))
    weights = np.zeros(manifest.rows)
    weights[drawn] = (first.rows / np.maximum(held, 1))[first.of_row[drawn]]
    return Draw(np.append(counts, unconditional), weights)


def mixed(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Random numbers uint64 that depend on a number and the seed alone (splitmix64)."""
    found = numbers.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        found = (found ^ (found >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(found ^ (found >> np.uint64(31)))


def _first_row(cells: Cells) -> np.ndarray:
    """(C,): the first row of each cell, which rows added later leave as it is."""
    first = np.zeros(len(cells.condition), np.int64)
    first[cells.of_row[::-1]] = np.arange(len(cells.of_row))[::-1]
    return first


def seeded_rows(
    of_row: np.ndarray, cells: int, seed: int, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows, `among` the given ones, by cell, in each in a seeded order that rows added later don't disturb.

    (R,), and bounds (cells + 1,) of the cells in it.
    """
    rows = np.arange(len(of_row)) if among is None else among
    order = rows[np.lexsort((mixed(rows, seed), of_row[rows]))]
    return order, np.searchsorted(of_row[order], np.arange(cells + 1))


def first_rows(grouping: Grouping, at_most: int, seed: int) -> tuple[np.ndarray, ...]:
    """Up to `at_most` rows of each contributor, in an order that all groupings share: (≤ at_most,) int64 each."""
    order, bounds = seeded_rows(grouping.of_row, len(grouping.contributors), seed)
    spans: Sequence[tuple[int, int]] = list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
    return tuple(order[start : min(end, start + at_most)] for start, end in spans)


def shares_of(grouping: Grouping, cells: Cells, weights: np.ndarray | None = None) -> sparse.csr_array:
    """(n, C + 1): share of each contributor's rows in each cell; the last cell is nobody's.

    `weights` (R,) are those of a draw, whose rows stand for all. A contributor without such a row has none.
    """
    size = (len(grouping.contributors), len(cells.condition) + 1)
    place = (grouping.of_row, cells.of_row.astype(np.int64))
    rows = grouping.rows.astype(np.float64)
    if weights is not None:
        drawn = np.flatnonzero(weights)
        place, weights = (place[0][drawn], place[1][drawn]), weights[drawn]
        rows = np.bincount(place[0], weights=weights, minlength=size[0]).astype(np.float64)
    held = np.ones(len(place[0])) if weights is None else weights
    counts = sparse.coo_array((held, place), shape=size).tocsr()
    scale = np.divide(1.0, rows, out=np.zeros_like(rows), where=rows > 0)
    shares = sparse.csr_array(sparse.diags_array(scale) @ counts)
    shares.sort_indices()
    return shares
