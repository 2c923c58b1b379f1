"""A few of the pool's images for each contributor, small enough for a report."""

from collections.abc import Mapping, Sequence

import numpy as np

from surrogateshap.errors import RunError
from surrogateshap.execute.damage import DamagedError
from surrogateshap.execute.evaluate import by_object
from surrogateshap.execute.images import png
from surrogateshap.plan.compile import Compiled
from surrogateshap.plan.pool import UNCONDITIONAL, Pool
from surrogateshap.plan.rounds import courses
from surrogateshap.record.sample import Sample
from surrogateshap.store import Store

SIDE = 96
"""Pixels of the longer side, at most."""
MOST = 2_000
"""Images in one report, at most."""


def samples(
    compiled: Compiled, store: Store, named: Mapping[tuple[str, str], Sequence[str]], each: int
) -> tuple[Sample, ...]:
    """At most `each` images, those that weigh most, of each contributor `named` by grouping and proxy.

    The last of these get fewer, or none, once there are 2,000. Raises RunError where an image is gone. Nothing is
    written.
    """
    pools = compiled.pools
    if compiled.spec.budget.rules:
        pools = tuple(course.pool for course in courses(compiled, store).values())
    wanted: list[tuple[str, Pool, str, list[int]]] = []
    room = MOST
    for (grouping, proxy), names in named.items():
        for pool in pools:
            if pool.proxy != proxy or grouping not in pool.memberships:
                continue
            for name, at in _images(pool, grouping, names, each):
                wanted.append((grouping, pool, name, at[:room]))
                room -= len(at[:room])
    if not wanted:
        raise RunError("in fresh mode images are made for coalitions, none for a contributor", "Leave out --images.")
    pixels = _pixels(store, [pool.keys[image] for _, pool, _, images in wanted for image in images])
    return tuple(
        Sample(grouping, pool.proxy, name, tuple(pixels[pool.keys[image]] for image in images))
        for grouping, pool, name, images in wanted
        if images
    )


def _images(pool: Pool, grouping: str, names: Sequence[str], each: int) -> list[tuple[str, list[int]]]:
    """Positions in the pool of the images that weigh most for each contributor, its heaviest conditions first.

    One image of a condition comes before the second of any: a glance shows what a contributor is made of.
    """
    membership = pool.memberships[grouping]
    weights, at = membership.weights(), {name: position for position, name in enumerate(membership.names)}
    found = []
    for name in names:
        row = weights[[at[name]]].tocoo()
        images, weight = row.coords[1], row.data
        by_cell = np.lexsort((images, membership.cell_of_image[images]))
        _, first, sizes = np.unique(membership.cell_of_image[images][by_cell], return_index=True, return_counts=True)
        turn = np.empty(len(images), np.int64)
        turn[by_cell] = np.arange(len(images)) - np.repeat(first, sizes)
        order = np.lexsort((images, -weight, turn))[:each]
        found.append((name, [int(image) for image in images[order] if pool.conditions[image] != UNCONDITIONAL]))
    return found


def _pixels(store: Store, keys: Sequence[str]) -> dict[str, bytes]:
    """PNG of each image. Raises DamagedError for one that is gone."""
    wanted = list(dict.fromkeys(keys))
    there = store.find_images(wanted)
    for key in wanted:
        if key not in there:
            raise DamagedError(key)
    found: dict[str, bytes] = {}
    for made, (at, slots) in by_object([there[key] for key in wanted]).items():
        arrays = store.get_arrays(made)
        if arrays is None:
            raise DamagedError(wanted[at[0]])
        for position, slot in zip(at, slots, strict=True):
            found[wanted[position]] = png(arrays["images"][slot], SIDE)
    return found
