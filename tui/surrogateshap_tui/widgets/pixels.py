"""Images as characters: two pixels in every cell, or a grey in every cell where colours are the terminal's own."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from PIL import Image
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

Pixels = np.ndarray
"""(H, W), grey, or (H, W, 3), uint8."""
GAP = 1
"""Empty columns between two images, and lines between two rows of them."""
_SHADES = " ░▒▓█"


def fitting(width: int, side: int) -> int:
    """How many images of `side` columns stand beside each other."""
    return max(0, (width + GAP) // (side + GAP))


def lines(count: int, width: int, side: int, rows: int) -> int:
    """Lines that `count` images take, in at most so many rows."""
    fit = fitting(width, side)
    used = min(rows, -(-count // fit)) if fit else 0
    return used * (side // 2) + max(0, used - 1) * GAP


def scaled(image: Pixels, side: int) -> Image.Image:
    """RGB, `side` pixels on the longer side: smooth where that makes it smaller, in blocks where larger."""
    picture = Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)


def sheet(images: Sequence[Pixels], width: int, side: int, rows: int, cell: tuple[int, int]) -> Image.Image:
    """RGBA of as many images as fit into `rows` rows of `width` columns; a cell is (width, height) in pixels."""
    fit = fitting(width, side)
    shown = images[: fit * rows]
    across, down = cell
    high = lines(len(shown), width, side, rows)
    canvas = Image.new("RGBA", (max(1, width * across), max(1, high * down)))
    for at, image in enumerate(shown):
        row, column = divmod(at, fit)
        place = (column * (side + GAP) * across, row * (side // 2 + GAP) * down)
        canvas.paste(scaled(image, min(side * across, side // 2 * down)), place)
    return canvas


def strips(images: Sequence[Pixels], width: int, side: int, rows: int, greys: bool, dark: bool) -> list[Strip]:
    """The same as lines of cells; with `greys`, characters that are the denser the more they stand out."""
    canvas = np.asarray(sheet(images, width, side, rows, (1, 2)))
    return [_strip(canvas[at], canvas[at + 1], greys, dark) for at in range(0, len(canvas) - 1, 2)]


def _strip(top: Pixels, bottom: Pixels, greys: bool, dark: bool) -> Strip:
    draw = _grey if greys else _colour
    cells = [draw(a, b, dark) for a, b in zip(top.tolist(), bottom.tolist(), strict=True)]
    runs = [(key, sum(1 for _ in same)) for key, same in groupby(cells)]
    return Strip([Segment(character * times, style) for (character, style), times in runs], len(cells))


def _grey(top: list[int], bottom: list[int], dark: bool) -> tuple[str, Style | None]:
    if not top[3] and not bottom[3]:
        return " ", None
    light = sum(0.299 * r + 0.587 * g + 0.114 * b for r, g, b, _ in (top, bottom)) / 2 / 256
    return _SHADES[min(len(_SHADES) - 1, int((light if dark else 1 - light) * len(_SHADES)))], None


def _colour(top: list[int], bottom: list[int], _: bool) -> tuple[str, Style | None]:
    if not top[3] and not bottom[3]:
        return " ", None
    if not bottom[3]:
        return "▀", Style(color=Color.from_rgb(*top[:3]))
    if not top[3]:
        return "▄", Style(color=Color.from_rgb(*bottom[:3]))
    return "▀", Style(color=Color.from_rgb(*top[:3]), bgcolor=Color.from_rgb(*bottom[:3]))
