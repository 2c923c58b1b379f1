"""How a pool is cut into shards: the smallest pieces of work that are kept or repeated as a whole.

The cut depends on the pool alone. A shard's missing images are all made at once or not at all, so a run that was
killed anywhere makes, when it is resumed, the same batches that it would have made, and so the same pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from surrogateshap.plan.pool import UNCONDITIONAL, Pool


@dataclass(frozen=True)
class Item:
    """One image to make."""

    key: str
    condition: int
    """Position in the manifest's conditions; -1 for none."""
    seed: int
    row: int
    """Manifest row to start from; -1 to start from noise."""


def cut(pool: Pool, size: int) -> Iterator[tuple[Item, ...]]:
    """Shards of at most `size` distinct images, in the pool's order; those from noise and from images apart."""
    streams: dict[bool, dict[str, Item]] = {False: {}, True: {}}
    images = zip(pool.keys, pool.conditions.tolist(), pool.seeds.tolist(), pool.rows.tolist(), strict=True)
    for key, condition, seed, row in images:
        streams[row >= 0].setdefault(key, Item(key, condition, seed, row))
    for stream in streams.values():
        items = tuple(stream.values())
        for start in range(0, len(items), size):
            yield items[start : start + size]


def model_condition(condition: int, conditions: Sequence[int | str]) -> int | str | None:
    """A manifest condition as the model takes it, class index or prompt; None for no condition."""
    return None if condition == UNCONDITIONAL else conditions[condition]
