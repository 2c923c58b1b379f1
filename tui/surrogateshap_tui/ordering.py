"""Which contributors a ranking shows, and in what order: sorting, filtering, going to one. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from surrogateshap_tui.state import Place

Key = Literal["rank", "name", "value", "interval", "share", "rows"]
KEYS: tuple[Key, ...] = get_args(Key)
"""What can be sorted by, in the order in which the columns stand."""
_FALLING: frozenset[Key] = frozenset({"value", "interval", "share", "rows"})
"""Of these the largest is looked for first."""


@dataclass(frozen=True)
class Order:
    """By what a table is sorted."""

    key: Key = "rank"
    falling: bool = False

    @property
    def sign(self) -> str:
        """Beside the column's title: which way its cells go, read downwards."""
        return "▼" if self.falling else "▲"

    def by(self, key: Key) -> "Order":
        """Sorted by this; the other way where it was already."""
        return self.turned if key == self.key else Order(key, key in _FALLING)

    @property
    def next(self) -> "Order":
        """Sorted by the next column."""
        return Order().by(KEYS[(KEYS.index(self.key) + 1) % len(KEYS)]) if self.key != KEYS[-1] else Order()

    @property
    def turned(self) -> "Order":
        """The other way round."""
        return Order(self.key, not self.falling)


_NUMBER: dict[Key, Callable[[Place], float | None]] = {
    "rank": lambda place: place.rank,
    "value": lambda place: place.value,
    "interval": lambda place: place.high - place.low,
    "share": lambda place: place.share,
    "rows": lambda place: place.rows,
}


def arranged(places: Sequence[Place], order: Order, wanted: str = "") -> list[int]:
    """Positions of those whose name contains `wanted`, in any case, sorted; what has no number comes last.

    Ties stay in the order of the ranking, whichever way it is sorted.
    """
    words = wanted.casefold()
    found = (
        [at for at, place in enumerate(places) if words in place.name.casefold()] if words else [*range(len(places))]
    )
    if order == Order():
        return found
    if order.key == "name":
        return sorted(found, key=lambda at: places[at].name.casefold(), reverse=order.falling)
    number, way = _NUMBER[order.key], -1.0 if order.falling else 1.0

    def key(at: int) -> float:
        value = number(places[at])
        return math.inf if value is None or not math.isfinite(value) else way * value

    return sorted(found, key=key)


def sought(places: Sequence[Place], shown: Sequence[int], words: str) -> int | None:
    """Which of the `shown` positions a rank or a name means, or the beginning or any part of one; None where none."""
    text = words.strip().casefold()
    if not text:
        return None
    if text.isdecimal():
        rank = int(text)
        nearest = min(shown, key=lambda at: abs(places[at].rank - rank), default=None)
        if nearest is not None and places[nearest].rank == rank:
            return nearest
    names = [(at, places[at].name.casefold()) for at in shown]
    begins = next((at for at, name in names if name.startswith(text)), None)
    return begins if begins is not None else next((at for at, name in names if text in name), None)
