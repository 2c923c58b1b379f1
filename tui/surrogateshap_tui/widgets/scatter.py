"""Points of a plane in braille: eight dots to a cell, with the line where both are equal. Pure text, no colour."""

import math
from collections.abc import Sequence

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Of a cell, by row and column."""
_EMPTY = 0x2800


def scatter(points: Sequence[tuple[float, float]], width: int, height: int) -> tuple[list[str], float, float]:
    """Lines of `width` cells, the highest first, and the ends of the scale, which both axes share.

    Cells that hold no point show the diagonal as `·`: points on it have two equal numbers. What is no number is left
    out.
    """
    there = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    ends = [end for point in there for end in point]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    span = high - low or 1.0
    across, down = 2 * width - 1, 4 * height - 1
    cells = [[0] * width for _ in range(height)]
    for x, y in there:
        column, row = round((x - low) / span * across), down - round((y - low) / span * down)
        cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
    lines = [[chr(_EMPTY + dots) if dots else " " for dots in line] for line in cells]
    for column in range(width):
        row = height - 1 - round(column / max(1, width - 1) * (height - 1))
        if lines[row][column] == " ":
            lines[row][column] = "·"
    return ["".join(line) for line in lines], low, high
