"""The columns of a ranking, fitted to a width: for the table that scrolls and for the short one of the run view."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from surrogateshap import units
from surrogateshap.text import harmless
from surrogateshap_tui.ordering import Key, Order
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.state import Place
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets import whiskers

_WIDE = 100
"""From this width on columns are two cells apart; below, one."""
_NAME_LEAST, _NAME_MOST, _BAR_LEAST = 10, 40, 9


@dataclass(frozen=True)
class Field:
    """A column whose cells are made when they are drawn, `width` cells wide with the gap to the next column."""

    title: str
    width: int
    cell: Callable[[Place], Text]
    key: Key | None = None
    """What it can be sorted by."""


@dataclass(frozen=True)
class Column:
    """A title and one cell per contributor, `width` cells wide with the gap to the next column."""

    title: str
    cells: tuple[Text, ...]
    width: int


def columns(places: Sequence[Place], palette: Palette, width: int) -> tuple[Column, ...]:
    """The columns of `fields` with all of their cells."""
    fitted = fields(places, palette, width)
    return tuple(Column(field.title, tuple(map(field.cell, places)), field.width) for field in fitted)


def fields(places: Sequence[Place], palette: Palette, width: int, order: Order | None = None) -> tuple[Field, ...]:
    """Rank, contributor, value, bar; interval, share and rows where they are known. The bar takes what is left.

    The column that they are sorted by has a sign beside its title, where `order` is given.
    """
    numbers = [number for place in places for number in (place.value, place.low, place.high)]
    scale, axis = Scale(numbers), whiskers.Axis.over(numbers)
    titles = {key: f"{title} {order.sign}" if order and order.key == key else title for key, title in _TITLES.items()}
    fitted = [_rank_field(places, titles["rank"])]
    low = _widest(scale, (place.low for place in places))
    high = _widest(scale, (place.high for place in places))
    value = max(_widest(scale, (place.value for place in places)), len(titles["value"]))
    values = Field(titles["value"].rjust(value), value, lambda place: Text(f"{scale(place.value):>{value}}"), "value")
    known: list[Field] = []
    if any(place.low < place.high for place in places):  # provisional rankings may come without intervals
        interval = max(low + high + 3, len(titles["interval"]))
        known.append(
            Field(
                titles["interval"],
                interval,
                lambda place: Text(f"{scale(place.low):>{low}} … {scale(place.high):>{high}}"),
                "interval",
            )
        )
    if any(place.rows is not None for place in places):
        share = max(_widest(units.percent, (p.share for p in places if p.share is not None)), len(titles["share"]))
        rows = max(_widest(_rows, (p.rows for p in places if p.rows is not None)), len(titles["rows"]))
        known += [
            Field(
                titles["share"].rjust(share),
                share,
                lambda place: Text(f"{units.percent(place.share):>{share}}"),
                "share",
            ),
            Field(titles["rows"].rjust(rows), rows, lambda place: Text(f"{_rows(place.rows):>{rows}}"), "rows"),
        ]
    gap = 2 if width >= _WIDE else 1
    free = width - sum(field.width + gap for field in (*fitted, values, *known)) - 2 * gap
    longest = max((_shown(place.name)[1] for place in places), default=0)
    name = max(min(max(longest, len(titles["name"])), _NAME_MOST, free - _BAR_LEAST), _NAME_LEAST)
    bar = max(free - name, _BAR_LEAST)
    names = Field(titles["name"], name, lambda place: _fitted(place.name, name), "name")
    bars = Field("", bar, lambda place: _bar(place, axis, bar, palette))
    return tuple(replace(field, width=field.width + gap) for field in (*fitted, names, values, bars, *known))


_TITLES: dict[Key, str] = {
    "rank": "Rank",
    "name": "Contributor",
    "value": "Value",
    "interval": "Interval",
    "share": "Share",
    "rows": "Rows",
}


def _rank_field(places: Sequence[Place], title: str) -> Field:
    digits = len(str(max((place.rank for place in places), default=1)))
    ends = [len(f"({place.rank_low}–{place.rank_high})") for place in places if place.rank_low is not None]
    width = max(digits + (1 + max(ends) if ends else 0), len(title))

    def cell(place: Place) -> Text:
        span = f"({place.rank_low}–{place.rank_high})" if place.rank_low is not None else ""
        return Text(f"{place.rank:>{digits}} {span}".rstrip())

    return Field(title, width, cell, "rank")


def _widest(shown: Callable[[float], str], numbers: Iterable[float]) -> int:
    """Cells of the widest number: one of the two ends, as all have the same number of decimals."""
    there = [number for number in numbers if math.isfinite(number)]
    return max(len(shown(end)) for end in (min(there), max(there))) if there else 1


def _rows(rows: float | None) -> str:
    return "–" if rows is None else units.count(int(rows))


@lru_cache(maxsize=20_000)
def _shown(name: str) -> tuple[str, int]:
    """A name made harmless, and its width: neither changes while a ranking of thousands is drawn anew."""
    shown = harmless(name)
    return shown, cell_len(shown)


def _fitted(name: str, width: int) -> Text:
    text = Text(_shown(name)[0])
    text.truncate(width, overflow="ellipsis")
    return text


def _bar(place: Place, axis: whiskers.Axis, width: int, palette: Palette) -> Text:
    drawn = whiskers.draw(place.low, place.value, place.high, axis, width)
    bold = (palette.primary if place.value >= 0 else palette.warning) + Style(bold=True)
    text = Text()
    for heavy, characters in groupby(drawn, lambda character: character in (whiskers.BAR, whiskers.POINT)):
        text.append("".join(characters), bold if heavy else palette.muted)
    return text
