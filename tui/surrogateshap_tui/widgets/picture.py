"""A widget that draws a Rich renderable made from data and the present theme."""

from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
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

    def show(self, draw: Draw) -> None:
        """Draws this from now on."""
        self._draw = draw
        self.refresh(layout=True)

    def render(self) -> RenderableType:
        """See Widget."""
        return _Drawing(self._draw, Palette.of(self.app)) if self._draw else Text()


class _Drawing:
    """Draws when the width is known: while the layout measures it, and when it is shown."""

    def __init__(self, draw: Draw, palette: Palette) -> None:
        self._draw, self._palette = draw, palette

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._draw(self._palette, options.max_width)


def plain(text: str, limit: int = 200, style: str | Style = "") -> Text:
    """Text of any origin: no escape codes, no markup."""
    return Text(harmless(text, limit), style)
