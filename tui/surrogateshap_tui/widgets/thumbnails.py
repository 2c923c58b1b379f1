"""Some small images in rows, as good as the terminal can: by Kitty's or Sixel graphics, in half cells, or in greys."""

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image
from textual.app import ComposeResult
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from surrogateshap_tui.graphics import Graphics
from surrogateshap_tui.widgets.pixels import Pixels, lines, sheet, strips

_SIDES = ((100, 24), (40, 16), (0, 8))
"""Columns of one image from each width on."""
_FEW_COLOURS = ("standard", "windows")


class Thumbnails(Widget):
    """Shows as many images as fit into `rows` rows, the first of them first; takes no room without images."""

    DEFAULT_CSS = """
    Thumbnails { height: auto; width: 1fr; }
    """

    def __init__(self, rows: int = 1, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows = rows
        self._images: tuple[Pixels, ...] = ()
        self._drawn: tuple[object, list[Strip]] = (None, [])

    def compose(self) -> ComposeResult:
        """See Widget."""
        if self._graphics is not None:
            yield self._graphics.widget()

    def show(self, images: Iterable[Pixels | Image.Image]) -> None:
        """Shows these from now on: (H, W) or (H, W, 3) uint8, or Pillow's."""
        new = tuple(np.asarray(one.convert("RGB")) if isinstance(one, Image.Image) else one for one in images)
        if not _same(new, self._images):
            self._images, self._drawn = new, (None, [])
            self._draw_graphics()
            self.refresh(layout=True)

    def on_resize(self) -> None:
        """Fits another number of them."""
        self._draw_graphics()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """See Widget."""
        return lines(len(self._images), width, _side(width), self._rows)

    def render_line(self, y: int) -> Strip:
        """See Widget."""
        width = self.size.width
        if self.children or not width:
            return Strip.blank(width, self.rich_style)
        app = self.app
        greys = app.no_color or app.current_theme.ansi or app.console.color_system in _FEW_COLOURS
        key = (width, greys, app.current_theme.dark)
        if self._drawn[0] != key:
            drawn = strips(self._images, width, _side(width), self._rows, greys, app.current_theme.dark)
            self._drawn = (key, [strip.apply_style(self.rich_style) for strip in drawn])
        drawn = self._drawn[1]
        return drawn[y] if y < len(drawn) else Strip.blank(width, self.rich_style)

    @property
    def _graphics(self) -> Graphics | None:
        found = getattr(self.app, "graphics", None)
        return found if isinstance(found, Graphics) else None

    def _draw_graphics(self) -> None:
        width = self.size.width
        high = lines(len(self._images), width, _side(width), self._rows)
        if self._graphics is not None:
            for child in self.children:
                child.styles.width, child.styles.height = width, high
                picture = sheet(self._images, width, _side(width), self._rows, self._graphics.cell) if high else None
                child.image = picture  # type: ignore[attr-defined]


def _side(width: int) -> int:
    return next(side for least, side in _SIDES if width >= least)


def _same(one: Sequence[Pixels], other: Sequence[Pixels]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))
