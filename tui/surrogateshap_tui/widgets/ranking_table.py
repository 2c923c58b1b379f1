"""The table of a ranking. Its cells are changed in place; it is only rebuilt when its columns or rows differ."""

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from surrogateshap.text import harmless
from surrogateshap_tui import formats
from surrogateshap_tui.state import Place, Ranking
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets import whiskers

_GAP = 2
_NAME_LEAST, _NAME_MOST, _BAR_LEAST = 10, 40, 9


@dataclass(frozen=True)
class _Column:
    title: str
    cells: tuple[Text, ...]
    width: int


class RankingTable(DataTable[Text]):
    """One game's contributors, best first, one row each, as wide as the widget."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("g", "scroll_top", "First", show=False),
        Binding("G", "scroll_bottom", "Last", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(cursor_type="row", cell_padding=0, zebra_stripes=False)
        self._ranking: Ranking | None = None
        self._laid_out: tuple[tuple[str, int], ...] = ()
        self._cells: list[tuple[Text, ...]] = []
        self._width = 0

    @property
    def selected(self) -> Place | None:
        """The contributor under the cursor."""
        places = self._ranking.places if self._ranking else ()
        return places[self.cursor_row] if 0 <= self.cursor_row < len(places) else None

    def show(self, ranking: Ranking | None) -> None:
        """Shows a ranking. The cursor stays on its contributor, or at the top if it is there."""
        selected = self.selected if self.cursor_row > 0 else None
        self._ranking = ranking
        columns = _columns(ranking, Palette.of(self.app), self._usable_width()) if ranking else ()
        rows = list(zip(*(column.cells for column in columns), strict=True))
        laid_out = tuple((column.title, column.width) for column in columns)
        if laid_out == self._laid_out and len(rows) == len(self._cells):
            self._update_cells(rows)
        else:
            self._rebuild(columns, rows)
        self._laid_out, self._cells = laid_out, rows
        if ranking and selected:
            names = [place.name for place in ranking.places]
            if selected.name in names and names[self.cursor_row] != selected.name:
                self.move_cursor(row=names.index(selected.name))

    def on_resize(self) -> None:
        """Fits the columns to the new width."""
        if self._width != self._usable_width():
            self._width = self._usable_width()
            self.show(self._ranking)

    def on_mount(self) -> None:
        """Redraws in the colours of a new theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.show(self._ranking))

    def _usable_width(self) -> int:
        width = self.size.width or self.app.size.width
        return width - self.styles.scrollbar_size_vertical

    def _update_cells(self, rows: list[tuple[Text, ...]]) -> None:
        for row, (old, new) in enumerate(zip(self._cells, rows, strict=True)):
            for column, (before, after) in enumerate(zip(old, new, strict=True)):
                if before != after or before.spans != after.spans:
                    self.update_cell_at(Coordinate(row, column), after)

    def _rebuild(self, columns: tuple[_Column, ...], rows: list[tuple[Text, ...]]) -> None:
        cursor = self.cursor_row
        self.clear(columns=True)
        for column in columns:
            self.add_column(Text(column.title), width=column.width)
        for row in rows:
            self.add_row(*row)
        self.move_cursor(row=min(cursor, max(0, len(rows) - 1)))


def _columns(ranking: Ranking, palette: Palette, width: int) -> tuple[_Column, ...]:
    places = ranking.places
    numbers = [number for place in places for number in (place.value, place.low, place.high)]
    scale, axis = formats.Scale(numbers), whiskers.Axis.over(numbers)
    ranks = _column("Rank", _ranks(places))
    values = _column("Value", [scale(place.value) for place in places], right=True)
    lows, highs = [scale(place.low) for place in places], [scale(place.high) for place in places]
    low_width = max(map(len, lows), default=0)
    high_width = max(map(len, highs), default=0)
    intervals = _column(
        "Interval",
        [f"{low:>{low_width}} … {high:>{high_width}}" for low, high in zip(lows, highs, strict=True)],
    )
    rest = [ranks, values, intervals]
    settled = [
        _column("Share", [formats.percent(p.share) if p.share is not None else "—" for p in places], right=True),
        _column("Rows", [formats.count(p.rows) if p.rows is not None else "—" for p in places], right=True),
    ]
    settled = settled if any(place.rows is not None for place in places) else []
    names = [harmless(place.name) for place in places]
    free = width - sum(column.width for column in (*rest, *settled))
    name_width = min(max(map(cell_len, (*names, "Contributor"))) + _GAP, _NAME_MOST, free - _BAR_LEAST - _GAP)
    name_width = max(name_width, _NAME_LEAST)
    bar_width = max(free - name_width - _GAP, _BAR_LEAST)
    bars = tuple(_bar(place, axis, bar_width, palette) for place in places)
    return (
        ranks,
        _Column("Contributor", tuple(_fitted(name, name_width - _GAP) for name in names), name_width),
        values,
        _Column("", bars, bar_width + _GAP),
        intervals,
        *settled,
    )


def _ranks(places: tuple[Place, ...]) -> list[str]:
    digits = max((len(str(place.rank)) for place in places), default=1)
    spans = [
        f"({place.rank_low}–{place.rank_high})" if place.rank_low is not None else "" for place in places
    ]
    return [f"{place.rank:>{digits}} {span}".rstrip() for place, span in zip(places, spans, strict=True)]


def _column(title: str, cells: list[str], *, right: bool = False) -> _Column:
    width = max(map(len, (title, *cells)))
    if right:
        return _Column(title.rjust(width), tuple(Text(cell.rjust(width)) for cell in cells), width + _GAP)
    return _Column(title, tuple(map(Text, cells)), width + _GAP)


def _fitted(name: str, width: int) -> Text:
    text = Text(name)
    text.truncate(width, overflow="ellipsis")
    return text


def _bar(place: Place, axis: whiskers.Axis, width: int, palette: Palette) -> Text:
    text = Text(whiskers.draw(place.low, place.value, place.high, axis, width))
    style = palette.primary if place.value >= 0 else palette.warning
    for index, character in enumerate(text.plain):
        muted = character in (whiskers.ZERO, whiskers.LINE, whiskers.LOW, whiskers.HIGH)
        text.stylize(palette.muted if muted else style + Style(bold=True), index, index + 1)
    return text
