"""The pool: which images are generated, so that every coalition of every game can be evaluated from them.

A pool is a list of images, each in one *cell*; a contributor is a distribution over cells (the share of its rows in
each). Under the prompt proxy a cell is a condition; under the image proxy it is a condition within one contributor of
every grouping, so that one pool serves them all. The order of images is by replicate first: any beginning of the list
covers all cells, and a larger budget mostly appends.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np

from surrogateshap.games.coalitions import draw_coalitions
from surrogateshap.games.membership import Membership
from surrogateshap.plan.allocation import allocate
from surrogateshap.plan.cells import cells_of, draw_rows, even_counts, mixed, seeded_rows, shares_of, shows_all
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


def sources_of(manifest: Manifest, rows: np.ndarray) -> dict[int, str]:
    """Digests of the training images of all these rows; equal images have equal ones. Raises OSError."""
    wanted = np.unique(rows)
    if len(wanted) == 0:
        return {}
    found = manifest.sources(wanted)
    missing = [row for row in wanted.tolist() if row not in found]
    if missing:
        first = manifest.number(missing[0])
        raise OSError(f"{len(missing)} of the rows have no image, the first of them row {first} (from 0)")
    return found


class _Naming:
    """Seeds and keys: an image depends on what it shows and on its replicate, never on which others were asked for."""

    def __init__(self, request: PoolRequest, manifest: Manifest) -> None:
        self._request = request
        self._manifest = manifest
        self._sources: dict[int, str] = {}

    def read_sources(self, rows: np.ndarray) -> None:
        """Digests of the training images of these rows; identical images are one source. Raises OSError."""
        self._sources = sources_of(self._manifest, rows[rows >= 0])

    def names(
        self, conditions: np.ndarray, rows: np.ndarray, replicates: np.ndarray, salts: Sequence[str] = ()
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """Seeds (N,) uint64 and keys of images."""
        request, known, sources = self._request, self._manifest.conditions, self._sources
        start, noise = f"{request.seed}\0".encode(), hashlib.sha256(b"noise\0")
        made, alone = (
            hashlib.sha256(generation.encode() + b"\0")
            for generation in (request.generation, request.unconditional_generation)
        )
        seeds, keys = [], []
        images = zip(conditions.tolist(), rows.tolist(), replicates.tolist(), salts or repeat(""), strict=False)
        for condition, row, replicate, salt in images:
            shown = "" if condition == UNCONDITIONAL else "=" + known[condition]
            text = start + f"{shown}\0{sources.get(row, '')}\0{replicate}\0{salt}".encode()
            seed, key = noise.copy(), (made if shown else alone).copy()
            seed.update(text)
            key.update(text)
            seeds.append(int.from_bytes(seed.digest()[:8], "little") >> 1)
            keys.append(key.hexdigest())
        return np.array(seeds, np.uint64), tuple(keys)


def build_pool(request: PoolRequest, manifest: Manifest, rounds: Sequence[np.ndarray] = ()) -> Pool:
    """The pool of one proxy for all groupings. Raises OSError where training images can't be read or are missing.

    The request's images are split evenly: between contributors under the image proxy, by their mean share of rows under
    the prompt proxy, or by rows drawn from each where conditions are too many to show them all. `rounds`, if any, are
    `counts` in its place, none smaller than the one before: the pool that was filled round by round. Its images are in
    the order of their rounds, so that each pool begins with the former one.
    """
    weights = None
    if not rounds and request.proxy != "image" and not shows_all(manifest, request.images):
        draw = draw_rows(manifest, request.images, request.unconditional, request.seed)
        rounds, weights = [draw.counts], draw.weights
    return _lay_out(request, manifest, rounds or [request_counts(request, manifest)], weights)


def request_counts(request: PoolRequest, manifest: Manifest) -> np.ndarray:
    """(C + 1,): images of each cell where all contributors get alike, then the unconditional ones."""
    return even_counts(manifest, request.proxy, request.images, request.unconditional, request.seed)


def _lay_out(
    request: PoolRequest, manifest: Manifest, rounds: Sequence[np.ndarray], weights: np.ndarray | None
) -> Pool:
    """Turns images per cell into the list of images, by round, then by replicate."""
    cells = cells_of(manifest, request.proxy)
    empty, counts = len(cells.condition), rounds[-1]
    cell = np.repeat(np.arange(empty + 1), counts)
    turn = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.lexsort((cell, turn, sum((turn >= earlier[cell] for earlier in rounds[:-1]), np.zeros(len(cell)))))
    cell, turn = cell[order], turn[order]
    rows = np.full(len(cell), -1, np.int64)
    replicate = turn.copy()
    if request.proxy == "image":
        ordered, bounds = seeded_rows(cells.of_row, empty, request.seed)
        at = np.flatnonzero(cell < empty)
        size = np.diff(bounds)[cell[at]]
        rows[at] = ordered[bounds[cell[at]] + turn[at] % size]
        replicate[at] = turn[at] // size
    conditions = np.append(cells.condition, UNCONDITIONAL)[cell].astype(np.int32)
    naming = _Naming(request, manifest)
    naming.read_sources(rows)
    named = naming.names(conditions, rows, replicate)
    memberships = {
        group.name: Membership(
            group.contributors, group.rows, shares_of(group, cells, weights), cell.astype(np.int64), empty
        )
        for group in manifest.groupings
    }
    return Pool(
        proxy=request.proxy,
        grouping=None,
        conditions=conditions,
        rows=rows,
        seeds=named[0],
        keys=named[1],
        cell_of_image=cell.astype(np.int64),
        empty_cell=empty,
        memberships=memberships,
        request=request,
    )


def own_rows(pool: Pool, manifest: Manifest, seed: int, among: np.ndarray | None = None) -> np.ndarray:
    """(N,) int64: a manifest row that each of the pool's images stands for; -1 for those without a condition.

    An image that is made from a row stands for it. One from noise stands for a row of its condition, `among` the given
    ones: they take turns, in the order in which the image proxy starts from them.
    """
    if pool.drawn is not None or pool.proxy == "image":
        return (pool.rows if pool.drawn is None else pool.drawn).astype(np.int64)
    members, first = seeded_rows(manifest.condition_of_row, len(manifest.conditions), seed, among)
    images = np.argsort(pool.conditions, kind="stable")
    images = images[pool.conditions[images] >= 0]
    condition = pool.conditions[images]
    turn = np.arange(len(images)) - np.searchsorted(condition, condition)
    held = np.diff(first)[condition]
    found = np.full(len(pool.keys), -1, np.int64)
    there = held > 0
    found[images[there]] = members[first[condition[there]] + turn[there] % held[there]]
    return found


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
    named = naming.names(conditions, used, np.concatenate(replicate), salts)
    return Pool(
        proxy=request.proxy,
        grouping=grouping.name,
        conditions=conditions,
        rows=used,
        seeds=named[0],
        keys=named[1],
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
    present = np.bincount(manifest.condition_of_row[rows], minlength=len(manifest.conditions))
    if np.count_nonzero(present) > request.images:  # as many rows at random
        chosen = np.asarray(rows)[np.argsort(mixed(rows, request.seed))][: request.images]
        counts = np.bincount(manifest.condition_of_row[chosen], minlength=len(present))
    else:
        counts = allocate(present, request.images)
    cell = np.repeat(np.arange(len(counts)), counts)
    replicate = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts)
    named = _Naming(request, manifest).names(cell, np.full(len(cell), -1), replicate)
    return Pool(
        proxy="prompt",
        grouping=None,
        conditions=cell.astype(np.int32),
        rows=np.full(len(cell), -1, np.int64),
        seeds=named[0],
        keys=named[1],
        cell_of_image=cell.astype(np.int64),
        empty_cell=len(counts),
    )
