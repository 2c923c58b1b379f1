"""The columns of a ranking, fitted to a width: for the table that scrolls and for the short one of the run view."""

from dataclasses import dataclass, replace
from itertools import groupby

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from surrogateshap import units
from surrogateshap.text import harmless
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.state import Place
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets import whiskers

_WIDE = 100
"""From this width on columns are two cells apart; below, one."""
_NAME_LEAST, _NAME_MOST, _BAR_LEAST = 10, 40, 9


@dataclass(frozen=True)
class Column:
    """A title and one cell per contributor, `width` cells wide with the gap to the next column."""

    title: str
    cells: tuple[Text, ...]
    width: int


def columns(places: tuple[Place, ...], palette: Palette, width: int) -> tuple[Column, ...]:
    """Rank, contributor, value, bar; interval, share and rows where they are known. The bar takes what is left."""
    numbers = [number for place in places for number in (place.value, place.low, place.high)]
    scale, axis = Scale(numbers), whiskers.Axis.over(numbers)
    ranks = _column("Rank", _ranks(places))
    values = _column("Value", [scale(place.value) for place in places], right=True)
    lows, highs = [scale(place.low) for place in places], [scale(place.high) for place in places]
    low_width = max(map(len, lows), default=0)
    high_width = max(map(len, highs), default=0)
    intervals = _column(
        "Interval",
        [f"{low:>{low_width}} … {high:>{high_width}}" for low, high in zip(lows, highs, strict=True)],
    )
    # Provisional rankings may come without intervals.
    known = [intervals] if any(place.low < place.high for place in places) else []
    rest = [ranks, values, *known]
    gap = 2 if width >= _WIDE else 1
    settled = [
        _column("Share", [units.percent(p.share) for p in places], right=True),
        _column("Rows", [units.count(p.rows) if p.rows is not None else "–" for p in places], right=True),
    ]
    settled = settled if any(place.rows is not None for place in places) else []
    names = [harmless(place.name) for place in places]
    free = width - sum(column.width + gap for column in (*rest, *settled)) - 2 * gap
    name_width = min(max(map(cell_len, (*names, "Contributor"))), _NAME_MOST, free - _BAR_LEAST)
    name_width = max(name_width, _NAME_LEAST)
    bar_width = max(free - name_width, _BAR_LEAST)
    bars = tuple(_bar(place, axis, bar_width, palette) for place in places)
    contributors = Column("Contributor", tuple(_fitted(name, name_width) for name in names), name_width)
    ordered = (ranks, contributors, values, Column("", bars, bar_width), *known, *settled)
    return tuple(replace(column, width=column.width + gap) for column in ordered)


def _ranks(places: tuple[Place, ...]) -> list[str]:
    digits = max((len(str(place.rank)) for place in places), default=1)
    spans = [f"({place.rank_low}–{place.rank_high})" if place.rank_low is not None else "" for place in places]
    return [f"{place.rank:>{digits}} {span}".rstrip() for place, span in zip(places, spans, strict=True)]


def _column(title: str, cells: list[str], *, right: bool = False) -> Column:
    width = max(map(len, (title, *cells)))
    if right:
        return Column(title.rjust(width), tuple(Text(cell.rjust(width)) for cell in cells), width)
    return Column(title, tuple(map(Text, cells)), width)


def _fitted(name: str, width: int) -> Text:
    text = Text(name)
    text.truncate(width, overflow="ellipsis")
    return text


def _bar(place: Place, axis: whiskers.Axis, width: int, palette: Palette) -> Text:
    drawn = whiskers.draw(place.low, place.value, place.high, axis, width)
    bold = (palette.primary if place.value >= 0 else palette.warning) + Style(bold=True)
    text = Text()
    for heavy, characters in groupby(drawn, lambda character: character in (whiskers.BAR, whiskers.POINT)):
        text.append("".join(characters), bold if heavy else palette.muted)
    return text
