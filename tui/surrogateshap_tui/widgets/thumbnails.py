"""Some small images in rows, two pixels to a cell."""

from collections.abc import Iterable

import numpy as np
from PIL import Image
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

_SIDE, _GAP = 16, 1


class Thumbnails(Widget):
    """Shows as many images as fit into `rows` rows, the first of them first; takes no room without images."""

    DEFAULT_CSS = "Thumbnails { height: auto; width: 1fr; }"

    def __init__(self, rows: int = 1, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows = rows
        self._images: tuple[np.ndarray, ...] = ()

    def show(self, images: "Iterable[np.ndarray | Image.Image]") -> None:
        """Shows these from now on: (H, W) or (H, W, 3) uint8, or Pillow's."""
        self._images = tuple(
            np.asarray(
                (one if isinstance(one, Image.Image) else Image.fromarray(one)).convert("RGB").resize((_SIDE, _SIDE))
            )
            for one in images
        )
        self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """See Widget."""
        fit = max(1, (width + _GAP) // (_SIDE + _GAP))
        used = min(self._rows, -(-len(self._images) // fit))
        return used * _SIDE // 2 + max(0, used - 1) * _GAP

    def render_line(self, y: int) -> Strip:
        """See Widget."""
        width, block = self.size.width, _SIDE // 2 + _GAP
        fit = max(1, (width + _GAP) // (_SIDE + _GAP))
        row, line = divmod(y, block)
        segments: list[Segment] = []
        for image in self._images[row * fit : (row + 1) * fit] if line < _SIDE // 2 else ():
            for top, bottom in zip(image[2 * line].tolist(), image[2 * line + 1].tolist(), strict=True):
                segments.append(Segment("▀", Style(color=Color.from_rgb(*top), bgcolor=Color.from_rgb(*bottom))))
            segments.append(Segment(" " * _GAP))
        return Strip(segments).apply_style(self.rich_style).adjust_cell_length(width, self.rich_style)
