"""The table of a ranking. Only the lines in sight are ever made: ten thousand contributors cost what forty do."""

from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.events import Blur, Click, Focus
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from surrogateshap_tui.ordering import Order, arranged, sought
from surrogateshap_tui.state import Place, Ranking
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.ranking_columns import Field, fields

_KEPT = 1024
"""Lines that are kept once they were made."""


class RankingTable(ScrollView, can_focus=True):
    """One game's contributors, one row each, as wide as the widget, below a line of titles that stays."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"ranking--titles", "ranking--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", tooltip="open the selected contributor"),
        Binding("o", "sort", "Sort", tooltip="sort by the next column; a click on its title does too"),
        Binding("O", "turn", "Turn", show=False, tooltip="sort the other way round"),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("ctrl+u", "half(-1)", "Half a page up", show=False),
        Binding("ctrl+d", "half(1)", "Half a page down", show=False),
        Binding("g,home", "first", "First", show=False),
        Binding("G,end", "last", "Last", show=False),
    ]

    @dataclass
    class Highlighted(Message):
        """Another contributor is under the cursor, or what is known of it has changed."""

        place: Place | None

    @dataclass
    class Opened(Message):
        """The user asks for a contributor."""

        place: Place

    def __init__(self) -> None:
        super().__init__()
        self.order = Order()
        self.filtered_by = ""
        self.cursor_row = 0
        """Among the rows that are shown."""
        self._ranking: Ranking | None = None
        self._rows: list[int] = []
        self._fields: tuple[Field, ...] = ()
        self._fitted_to = 0
        self._lines: LRUCache[tuple[int, bool], Strip] = LRUCache(_KEPT)

    # What it shows

    @property
    def places(self) -> tuple[Place, ...]:
        """All contributors of the ranking."""
        return self._ranking.places if self._ranking else ()

    @property
    def row_count(self) -> int:
        """How many pass the filter."""
        return len(self._rows)

    @property
    def listed(self) -> list[Place]:
        """Those that pass the filter, in the order in which they are shown."""
        return [self.places[at] for at in self._rows]

    @property
    def selected(self) -> Place | None:
        """The contributor under the cursor."""
        return self.places[self._rows[self.cursor_row]] if 0 <= self.cursor_row < len(self._rows) else None

    def show(self, ranking: Ranking | None) -> None:
        """Shows a ranking. The cursor stays on its contributor, or at the top if it is there."""
        held = self.selected if self.cursor_row > 0 else None
        self._ranking = ranking
        self._arrange(held)

    def sort(self, order: Order) -> None:
        """Sorts; the cursor stays on its contributor."""
        held, self.order = self.selected, order
        self._arrange(held)

    def filter(self, words: str) -> None:
        """Shows only those whose name contains the words; the cursor stays on its contributor where it is one."""
        held, self.filtered_by = self.selected, words
        self._arrange(held)

    def go_to(self, words: str) -> bool:
        """Moves the cursor to a rank or a name; whether there is such a one."""
        at = sought(self.places, self._rows, words)
        if at is not None:
            self.move_cursor(self._rows.index(at))
        return at is not None

    def move_cursor(self, row: int) -> None:
        """Moves the cursor to a row, as far as there are rows, and brings it in sight."""
        before, self.cursor_row = self.cursor_row, max(0, min(len(self._rows) - 1, row))
        for one in (before, self.cursor_row):
            self.refresh(Region(0, 1 + one - self.scroll_offset.y, self.size.width, 1))
        room = max(1, self.size.height - 1)
        if self.cursor_row < self.scroll_offset.y:
            self.scroll_to(y=self.cursor_row, animate=False)
        elif self.cursor_row >= self.scroll_offset.y + room:
            self.scroll_to(y=self.cursor_row - room + 1, animate=False)
        if before != self.cursor_row:
            self.post_message(self.Highlighted(self.selected))

    def _arrange(self, held: Place | None) -> None:
        self._rows = arranged(self.places, self.order, self.filtered_by)
        names = [self.places[at].name for at in self._rows] if held else []
        at = names.index(held.name) if held and held.name in names else self.cursor_row if not held else 0
        self._fit()
        self.move_cursor(at)
        self.post_message(self.Highlighted(self.selected))

    def _fit(self) -> None:
        self._fitted_to = self._usable_width()
        self._fields = fields(self.places, Palette.of(self.app), self._fitted_to, self.order) if self.places else ()
        self._lines.clear()
        self.virtual_size = Size(sum(field.width for field in self._fields), len(self._rows) + 1)
        self.refresh()

    def _usable_width(self) -> int:
        width = self.container_size.width or self.app.size.width
        return width - self.styles.scrollbar_size_vertical

    # How it is drawn

    def render_line(self, y: int) -> Strip:
        """See Widget; the titles, or the row that is at this height now."""
        width, left = self.size.width, self.scroll_offset.x
        row = self.scroll_offset.y + y - 1
        if y == 0:
            line = self._titles()
        elif row < len(self._rows):
            line = self._line(row)
        else:
            return Strip.blank(width, self.rich_style)
        return line.crop_extend(left, left + width, self._style_of(row if y else -1))

    def _style_of(self, row: int) -> Style:
        if row < 0:
            return self.get_component_rich_style("ranking--titles")
        return self.get_component_rich_style("ranking--cursor") if row == self.cursor_row else self.rich_style

    def _titles(self) -> Strip:
        cells = [(Text(field.title), field.width) for field in self._fields]
        return self._strip(cells, self._style_of(-1))

    def _line(self, row: int) -> Strip:
        key = self._rows[row], row == self.cursor_row
        line = self._lines.get(key)
        if line is None:
            place = self.places[self._rows[row]]
            line = self._lines[key] = self._strip(
                [(field.cell(place), field.width) for field in self._fields], self._style_of(row)
            )
        return line

    def _strip(self, cells: list[tuple[Text, int]], style: Style) -> Strip:
        segments: list[Segment] = []
        for text, width in cells:
            segments += Segment.adjust_line_length([*text.render(self.app.console)], width)
        return Strip(segments).apply_style(style)

    def on_mount(self) -> None:
        """Redraws in the colours of a new theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._fit())

    def on_resize(self) -> None:
        """Fits the columns to the new width."""
        if self._fitted_to != self._usable_width():
            self._fit()
        self.move_cursor(self.cursor_row)

    def on_focus(self, _: Focus) -> None:
        """The cursor has another colour then."""
        self._lines.clear()

    def on_blur(self, _: Blur) -> None:
        """The cursor has another colour then."""
        self._lines.clear()

    # What the user does

    def on_click(self, event: Click) -> None:
        """A title sorts; a row is selected, and opened by a second click."""
        y, x = event.y - self.content_region.y + self.region.y, event.x + self.scroll_offset.x
        if y == 0:
            for field in self._fields:
                if x < field.width:
                    if field.key is not None:
                        self.sort(self.order.by(field.key))
                    return
                x -= field.width
            return
        row = self.scroll_offset.y + y - 1
        if row < len(self._rows):
            self.move_cursor(row)
            if event.chain > 1:
                self.action_open()

    def action_open(self) -> None:
        """Opens the selected contributor."""
        if self.selected is not None:
            self.post_message(self.Opened(self.selected))

    def action_sort(self) -> None:
        """Sorts by the next column that is there."""
        there = {field.key for field in self._fields}
        order = self.order.next
        while order.key not in there and order.key != "rank":
            order = order.next
        self.sort(order)

    def action_turn(self) -> None:
        """Sorts the other way round."""
        self.sort(self.order.turned)

    def action_move(self, step: int) -> None:
        """Moves the cursor by this many rows."""
        self.move_cursor(self.cursor_row + step)

    def action_page(self, direction: int) -> None:
        """Moves the cursor by what is in sight."""
        self.move_cursor(self.cursor_row + direction * max(1, self.size.height - 1))

    def action_half(self, direction: int) -> None:
        """Moves the cursor by half of what is in sight."""
        self.move_cursor(self.cursor_row + direction * max(1, (self.size.height - 1) // 2))

    def action_first(self) -> None:
        """Goes to the first row."""
        self.move_cursor(0)

    def action_last(self) -> None:
        """Goes to the last row."""
        self.move_cursor(len(self._rows) - 1)
