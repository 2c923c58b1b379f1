"""When a ranking is shown while a pool still fills."""

from collections.abc import Callable, Sequence

from surrogateshap.plan.pool import Pool

_LOOKS = 4
"""Provisional rankings per pool."""


class Looks:
    """Looks at a pool in the middle of each of its quarters."""

    def __init__(self, pools: Sequence[Pool], there: Callable[[Pool], int], look: Callable[[Pool], None]) -> None:
        """`there` counts the pool's images so far; `look` shows what they come to."""
        self._there, self._look = there, look
        self._seen = {pool.id: len(pool.keys) // _LOOKS // 2 for pool in pools}

    def __call__(self, pool: Pool) -> None:
        """After each shard."""
        there = self._there(pool)
        if self._seen[pool.id] + max(1, len(pool.keys) // _LOOKS) <= there < len(pool.keys):
            self._seen[pool.id] = there
            self._look(pool)
