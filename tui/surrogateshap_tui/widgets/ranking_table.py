"""The table of a ranking. Its cells are changed in place; it is only rebuilt when its columns or rows differ."""

from rich.text import Text
from textual.coordinate import Coordinate

from surrogateshap_tui.state import Place, Ranking
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.ranking_columns import Column, columns
from surrogateshap_tui.widgets.scrolling import Table


class RankingTable(Table):
    """One game's contributors, best first, one row each, as wide as the widget."""

    def __init__(self) -> None:
        super().__init__()
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
        fitted = columns(ranking.places, Palette.of(self.app), self._usable_width()) if ranking else ()
        rows = list(zip(*(column.cells for column in fitted), strict=True))
        laid_out = tuple((column.title, column.width) for column in fitted)
        if laid_out == self._laid_out and len(rows) == len(self._cells):
            self._update_cells(rows)
        else:
            self._rebuild(fitted, rows)
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

    def _rebuild(self, fitted: tuple[Column, ...], rows: list[tuple[Text, ...]]) -> None:
        cursor = self.cursor_row
        self.clear(columns=True)
        for column in fitted:
            self.add_column(Text(column.title), width=column.width)
        for row in rows:
            self.add_row(*row)
        self.move_cursor(row=min(cursor, max(0, len(rows) - 1)))
