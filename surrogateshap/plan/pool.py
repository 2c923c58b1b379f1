"""The pool: which images are generated, so that every coalition of every game can be evaluated from them.

A pool is a list of images, each in one *cell*; a contributor is a distribution over cells (the share of its rows in
each). Under the prompt proxy a cell is a condition; under the image proxy it is a condition within one contributor of
every grouping, so that one pool serves them all. The order of images is by replicate first: any beginning of the list
covers all cells, and a larger budget mostly appends.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from surrogateshap.games.coalitions import draw_coalitions
from surrogateshap.games.membership import Membership
from surrogateshap.plan.allocation import allocate
from surrogateshap.plan.manifest import Grouping, Manifest
from surrogateshap.spec.model import EstimatorName

UNCONDITIONAL = -1


@dataclass(frozen=True)
class Pool:
    """N images to generate, and who they stand for."""

    proxy: str
    grouping: str | None
    """Fresh mode: the grouping whose coalitions these images were made for; None for a pool that serves all."""
    conditions: np.ndarray
    """(N,) int32: position in the manifest's conditions; -1 for no condition."""
    rows: np.ndarray
    """(N,) int64: manifest row that an image is made from; -1 where it starts from noise alone."""
    seeds: np.ndarray
    """(N,) uint64: seed of each image's noise."""
    keys: tuple[str, ...]
    """Names of the images by content: the same key is the same image, in any run."""
    cell_of_image: np.ndarray
    """(N,) int64."""
    empty_cell: int
    memberships: dict[str, Membership] = field(default_factory=dict)
    """By grouping; empty in fresh mode."""
    masks: np.ndarray | None = None
    """Fresh mode: (M, n) bool, the coalition of each cell."""
    drawn: np.ndarray | None = None
    """Fresh mode: (N,) manifest row whose condition each image shows, whatever it starts from; -1 for no condition."""
    request: "PoolRequest | None" = None
    """What it was built from; None in fresh mode."""

    @property
    def counts(self) -> np.ndarray:
        """(C + 1,): images of each cell; the last is that of the unconditional ones."""
        return np.bincount(self.cell_of_image, minlength=self.empty_cell + 1)

    def images_of(self, grouping: str) -> np.ndarray:
        """(n,): how many of the images each contributor of a grouping rests on."""
        shares = self.memberships[grouping].shares
        return np.asarray((shares > 0).astype(np.int64) @ np.bincount(self.cell_of_image, minlength=shares.shape[1]))

    @property
    def id(self) -> str:
        """Names the pool within its plan."""
        return self.proxy if self.grouping is None else f"{self.proxy}-{self.grouping}"


@dataclass(frozen=True)
class PoolRequest:
    """What decides which images a pool holds."""

    proxy: str
    seed: int
    images: int
    """Of all contributors together, in pool mode; of each coalition, in fresh mode."""
    unconditional: int
    generation: str
    """Digest of the model and of how it is sampled under this proxy."""
    unconditional_generation: str
    """The same for images from noise alone: all proxies share the unconditional images."""


class _Naming:
    """Seeds and keys: an image depends on what it shows and on its replicate, never on which others were asked for."""

    def __init__(self, request: PoolRequest, manifest: Manifest) -> None:
        self._request = request
        self._manifest = manifest
        self._sources: dict[int, str] = {}

    def read_sources(self, rows: np.ndarray) -> None:
        """Digests of the training images of these rows; identical images are one source. Raises OSError."""
        wanted = np.unique(rows[rows >= 0])
        if len(wanted) == 0:
            return
        images = self._manifest.images(wanted)
        self._sources = {row: hashlib.sha256(image).hexdigest() for row, image in images.items()}
        missing = [row for row in wanted.tolist() if row not in images]
        if missing:
            raise OSError(f"{len(missing)} of the rows have no image, the first of them row {missing[0]} (from 0)")

    def name(self, condition: int, row: int, replicate: int, salt: str = "") -> tuple[int, str]:
        """Seed and key of one image."""
        shown = "" if condition == UNCONDITIONAL else "=" + self._manifest.conditions[condition]
        source = self._sources.get(row, "")
        text = "\0".join((str(self._request.seed), shown, source, str(replicate), salt)).encode()
        seed = int.from_bytes(hashlib.sha256(b"noise\0" + text).digest()[:8], "little") >> 1
        generation = self._request.unconditional_generation if not shown else self._request.generation
        return seed, hashlib.sha256(generation.encode() + b"\0" + text).hexdigest()


def build_pool(request: PoolRequest, manifest: Manifest, rounds: Sequence[np.ndarray] = ()) -> Pool:
    """The pool of one proxy for all groupings. Raises OSError where training images can't be read or are missing.

    The request's images are split evenly: between contributors under the image proxy, by their mean share of rows under
    the prompt proxy. `rounds`, if any, are `counts` in its place, none smaller than the one before: the pool that was
    filled round by round. Its images are in the order of their rounds, so that each pool begins with the former one.
    """
    condition_of_cell, cell_of_row = _cells(request, manifest)
    counts = rounds or [even_counts(request, manifest)]
    return _lay_out(request, manifest, condition_of_cell, cell_of_row, counts)


def _cells(request: PoolRequest, manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """The condition of each of the C cells, and the cell of each row."""
    if request.proxy != "image":
        condition_of_cell, cell_of_row = np.unique(manifest.condition_of_row, return_inverse=True)
        return condition_of_cell, cell_of_row
    codes = [grouping.of_row for grouping in manifest.groupings] + [manifest.condition_of_row]
    cells, cell_of_row = np.unique(np.stack(codes), axis=1, return_inverse=True)
    return cells[-1], cell_of_row


def even_counts(request: PoolRequest, manifest: Manifest) -> np.ndarray:
    """(C + 1,): images of each cell where all contributors get alike, then the unconditional ones."""
    condition_of_cell, cell_of_row = _cells(request, manifest)
    first = manifest.groupings[0]
    if request.proxy == "image":
        size = np.bincount(cell_of_row, minlength=len(condition_of_cell))
        owner = np.zeros(len(size), np.int64)
        owner[cell_of_row] = first.of_row
        counts = np.zeros(len(size), np.int64)
        per_contributor = allocate(np.ones(len(first.contributors)), request.images)
        for contributor, images in enumerate(per_contributor.tolist()):
            counts += allocate(np.where(owner == contributor, size, 0), images)
    else:
        shares = _shares(first, cell_of_row, len(condition_of_cell))
        counts = allocate(np.asarray(shares.mean(axis=0)).ravel()[:-1], request.images, least=2)
    return np.append(counts, request.unconditional)


def _lay_out(
    request: PoolRequest,
    manifest: Manifest,
    condition_of_cell: np.ndarray,
    cell_of_row: np.ndarray,
    rounds: Sequence[np.ndarray],
) -> Pool:
    """Turns images per cell into the list of images, by round, then by replicate."""
    empty, counts = len(condition_of_cell), rounds[-1]
    cell = np.repeat(np.arange(empty + 1), counts)
    turn = np.concatenate([np.arange(count) for count in counts]) if counts.sum() else np.zeros(0, np.int64)
    order = np.lexsort((cell, turn, sum((turn >= earlier[cell] for earlier in rounds[:-1]), np.zeros(len(cell)))))
    cell, turn = cell[order], turn[order]
    rows = np.full(len(cell), -1, np.int64)
    replicate = turn.copy()
    if request.proxy == "image":
        for index, members in _rows_by_cell(cell_of_row, empty, request.seed):
            at = np.flatnonzero(cell == index)
            rows[at] = members[turn[at] % len(members)]
            replicate[at] = turn[at] // len(members)
    conditions = np.append(condition_of_cell, UNCONDITIONAL)[cell].astype(np.int32)
    naming = _Naming(request, manifest)
    naming.read_sources(rows)
    named = [naming.name(*image) for image in zip(conditions.tolist(), rows.tolist(), replicate.tolist(), strict=True)]
    memberships = {
        group.name: Membership(
            group.contributors, group.rows, _shares(group, cell_of_row, empty), cell.astype(np.int64), empty
        )
        for group in manifest.groupings
    }
    return Pool(
        proxy=request.proxy,
        grouping=None,
        conditions=conditions,
        rows=rows,
        seeds=np.array([seed for seed, _ in named], np.uint64),
        keys=tuple(key for _, key in named),
        cell_of_image=cell.astype(np.int64),
        empty_cell=empty,
        memberships=memberships,
        request=request,
    )


def _rows_by_cell(
    cell_of_row: np.ndarray, cells: int, seed: int, among: np.ndarray | None = None
) -> list[tuple[int, np.ndarray]]:
    """Rows of each cell, `among` the given ones, in a seeded order that rows added later don't disturb."""
    chosen = np.arange(len(cell_of_row)) if among is None else among
    rows = chosen.astype(np.uint64)
    # splitmix64: a row's place depends on its own number and the seed alone.
    mixed = rows + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    order = chosen[np.lexsort((mixed ^ (mixed >> np.uint64(31)), cell_of_row[chosen]))]
    bounds = np.searchsorted(cell_of_row[order], np.arange(cells + 1))
    return [(cell, order[bounds[cell] : bounds[cell + 1]]) for cell in range(cells)]


def own_rows(pool: Pool, manifest: Manifest, seed: int, among: np.ndarray | None = None) -> np.ndarray:
    """(N,) int64: a manifest row that each of the pool's images stands for; -1 for those without a condition.

    An image that is made from a row stands for it. One from noise stands for a row of its condition, `among` the given
    ones: they take turns, in the order in which the image proxy starts from them.
    """
    if pool.drawn is not None or pool.proxy == "image":
        return (pool.rows if pool.drawn is None else pool.drawn).astype(np.int64)
    rows = np.arange(manifest.rows) if among is None else among
    found = np.full(len(pool.keys), -1, np.int64)
    order = np.argsort(pool.conditions, kind="stable")
    bounds = np.searchsorted(pool.conditions[order], np.arange(len(manifest.conditions) + 1))
    for condition, members in _rows_by_cell(manifest.condition_of_row, len(manifest.conditions), seed, rows):
        images = order[bounds[condition] : bounds[condition + 1]]
        if len(images) and len(members):
            found[images] = members[np.arange(len(images)) % len(members)]
    return found


def first_rows(grouping: Grouping, at_most: int, seed: int) -> tuple[np.ndarray, ...]:
    """Up to `at_most` rows of each contributor, in an order that all groupings share: (≤ at_most,) int64 each."""
    ordered = _rows_by_cell(grouping.of_row, len(grouping.contributors), seed)
    return tuple(rows[:at_most] for _, rows in ordered)


def _shares(grouping: Grouping, cell_of_row: np.ndarray, cells: int) -> sparse.csr_array:
    """(n, cells + 1): share of each contributor's rows in each cell; the last cell is nobody's."""
    size = (len(grouping.contributors), cells + 1)
    ones = np.ones(len(cell_of_row))
    counts = sparse.coo_array((ones, (grouping.of_row, cell_of_row.astype(np.int64))), shape=size).tocsr()
    shares = sparse.csr_array(sparse.diags_array(1.0 / grouping.rows) @ counts)
    shares.sort_indices()
    return shares


def build_fresh_pool(
    request: PoolRequest, manifest: Manifest, grouping: Grouping, estimator: EstimatorName, coalitions: int
) -> Pool:
    """New images for every coalition, as published: each shows a row drawn at random from the coalition's.

    A cell is a coalition: the grand one, the empty one (where it has images), then the distinct ones that the estimator
    draws, so that more coalitions extend a smaller design. Raises OSError as `build_pool` does.
    """
    drawn_masks = draw_coalitions(estimator, len(grouping.contributors), coalitions, request.seed)
    masks = fresh_masks(drawn_masks, empty=request.unconditional > 0)
    cell, rows, replicate, salts = [], [], [], []
    for index, mask in enumerate(masks):
        bits = np.packbits(mask)
        images = request.images if mask.any() else request.unconditional
        if mask.any():
            members = np.flatnonzero(mask[grouping.of_row])
            draw = np.random.default_rng([request.seed, len(mask), *bits.tolist()])
            rows.append(members[draw.integers(len(members), size=images)])
        else:
            rows.append(np.full(images, -1))
        cell.append(np.full(images, index))
        replicate.append(np.arange(images))
        salts += [f"{grouping.name}\0{bits.tobytes().hex()}" if mask.any() else ""] * images
    drawn = np.concatenate(rows)
    conditions = np.where(drawn < 0, UNCONDITIONAL, manifest.condition_of_row[drawn]).astype(np.int32)
    used = drawn if request.proxy == "image" else np.full(len(drawn), -1)
    naming = _Naming(request, manifest)
    naming.read_sources(used)
    numbers = np.concatenate(replicate).tolist()
    named = [naming.name(*image) for image in zip(conditions.tolist(), used.tolist(), numbers, salts, strict=True)]
    return Pool(
        proxy=request.proxy,
        grouping=grouping.name,
        conditions=conditions,
        rows=used,
        seeds=np.array([seed for seed, _ in named], np.uint64),
        keys=tuple(key for _, key in named),
        cell_of_image=np.concatenate(cell).astype(np.int64),
        empty_cell=1,
        masks=masks,
        drawn=drawn,
    )


def fresh_masks(drawn: np.ndarray, *, empty: bool) -> np.ndarray:
    """Distinct coalitions that need images in fresh mode, given those drawn (M', n): (M, n) bool."""
    ends = np.array([[True], [False]] if empty else [[True]])
    masks = np.concatenate([np.repeat(ends, drawn.shape[1], axis=1), drawn])
    _, kept = np.unique(masks, axis=0, return_index=True)
    return masks[np.sort(kept)]


def build_anchor_pool(request: PoolRequest, manifest: Manifest, rows: np.ndarray) -> Pool:
    """Images of a model that was trained on the given rows, from noise, under the conditions that the rows have.

    Conditions come in the proportions of the rows. Each image has the noise that the prompt proxy's pool has for the
    same condition and replicate, so that what differs between the two is the model.
    """
    counts = np.bincount(manifest.condition_of_row[rows], minlength=len(manifest.conditions))
    counts = allocate(counts, request.images)
    cell = np.repeat(np.arange(len(counts)), counts)
    replicate = np.concatenate([np.arange(count) for count in counts])
    naming = _Naming(request, manifest)
    named = [naming.name(*image) for image in zip(cell.tolist(), [-1] * len(cell), replicate.tolist(), strict=True)]
    return Pool(
        proxy="prompt",
        grouping=None,
        conditions=cell.astype(np.int32),
        rows=np.full(len(cell), -1, np.int64),
        seeds=np.array([seed for seed, _ in named], np.uint64),
        keys=tuple(key for _, key in named),
        cell_of_image=cell.astype(np.int64),
        empty_cell=len(counts),
    )
