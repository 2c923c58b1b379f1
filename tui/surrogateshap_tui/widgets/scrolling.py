"""What scrolls, with the arrows and with vim's keys: panes and tables. Every one in the app is one of these."""

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable


class Scroll(VerticalScroll):
    """A pane that scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False),
        Binding("k", "scroll_up", "Up", show=False),
        Binding("h", "scroll_left", "Left", show=False),
        Binding("l", "scroll_right", "Right", show=False),
        Binding("g", "scroll_home", "Top", show=False),
        Binding("G", "scroll_end", "Bottom", show=False),
        Binding("ctrl+d", "half(1)", "Half a page down", show=False),
        Binding("ctrl+u", "half(-1)", "Half a page up", show=False),
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leaves `h` and `l` to the screen where everything is in sight sideways."""
        return self.max_scroll_x > 0 if action in ("scroll_left", "scroll_right") else True

    def action_half(self, direction: int) -> None:
        """Scrolls by half of what is in sight."""
        self.scroll_relative(y=direction * max(1, self.size.height // 2), animate=False)


class Table(DataTable[Text]):
    """A table whose rows are selected."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Open", tooltip="open the selected line"),
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("h", "cursor_left", "Left", show=False),
        Binding("l", "cursor_right", "Right", show=False),
        Binding("g,home", "scroll_top", "First", show=False),
        Binding("G,end", "scroll_bottom", "Last", show=False),
        Binding("ctrl+d", "half(1)", "Half a page down", show=False),
        Binding("ctrl+u", "half(-1)", "Half a page up", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(cursor_type="row", cell_padding=0, zebra_stripes=False, id=id)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leaves `h` and `l` to the screen where every column is in sight."""
        return self.max_scroll_x > 0 if action in ("cursor_left", "cursor_right") else True

    def action_half(self, direction: int) -> None:
        """Moves the cursor by half of what is in sight."""
        step = direction * max(1, self.size.height // 2)
        self.move_cursor(row=max(0, min(self.row_count - 1, self.cursor_row + step)))
