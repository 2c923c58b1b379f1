"""A widget that draws a Rich renderable made from data and the present theme."""

from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.widget import Widget

from surrogateshap.text import harmless
from surrogateshap_tui.theme import Palette

Draw = Callable[[Palette, int], RenderableType]
"""Gives what to show, from the colours and the width in cells."""


class Picture(Widget):
    """Shows what its `Draw` gives, and asks it again when the data, the width or the theme changes."""

    DEFAULT_CSS = "Picture { height: auto; width: 1fr; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._draw: Draw | None = None
        self._drawing: _Drawing | None = None

    def show(self, draw: Draw) -> None:
        """Draws this from now on. Where that takes as many lines as before, the screen is not laid out anew."""
        self._draw, self._drawing = draw, None
        self.refresh()
        size = self.content_size
        same = size.width and self.get_content_height(self.container_size, self.app.size, size.width) == size.height
        if not (self.is_mounted and same):
            self.refresh(layout=True)

    def render(self) -> RenderableType:
        """See Widget."""
        if self._draw is None:
            return Text()
        palette = Palette.of(self.app)
        if self._drawing is None or self._drawing.palette != palette:
            self._drawing = _Drawing(self._draw, palette)
        return self._drawing


class _Drawing:
    """Draws when the width is known, and once for each: the layout measures it before it is shown."""

    def __init__(self, draw: Draw, palette: Palette) -> None:
        self.palette = palette
        self._draw = draw
        self._drawn: tuple[int, list[Segment]] | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._drawn is None or self._drawn[0] != options.max_width:
            made = self._draw(self.palette, options.max_width)
            self._drawn = (options.max_width, list(console.render(made, options.update(height=None))))
        yield from self._drawn[1]


def plain(text: str, limit: int = 200, style: str | Style = "") -> Text:
    """Text of any origin: no escape codes, no markup."""
    return Text(harmless(text, limit), style)
