"""A value and its interval, drawn in text on an axis that all rows of a table share."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

ZERO, BAR, LINE, LOW, HIGH, POINT = "│", "━", "─", "├", "┤", "●"


@dataclass(frozen=True)
class Axis:
    """From the lowest to the highest end of any interval, zero included."""

    low: float
    high: float

    @classmethod
    def over(cls, numbers: Iterable[float]) -> "Axis":
        """The axis that holds all of the numbers that are finite."""
        finite = [number for number in numbers if math.isfinite(number)]
        return cls(min((0.0, *finite)), max((0.0, *finite)))

    def column(self, number: float, width: int) -> int:
        """Where the number falls, from 0 to width − 1."""
        span = self.high - self.low
        if not span > 0 or not math.isfinite(span):
            return 0
        return min(width - 1, max(0, round((number - self.low) / span * (width - 1))))


def draw(low: float, value: float, high: float, axis: Axis, width: int) -> str:
    """`width` characters: a heavy bar from zero to the value, a thin line over the interval, a point at the value.

    Readable without colour. A value that is no number leaves the axis alone.
    """
    zero = axis.column(0.0, width)
    cells = [" "] * width
    if math.isfinite(value):
        point = axis.column(value, width)
        left, right = (axis.column(end, width) if math.isfinite(end) else point for end in (low, high))
        cells[left : right + 1] = LINE * (right + 1 - left)
        cells[left], cells[right] = LOW, HIGH
        start, end = sorted((zero, point))
        for column in range(start, end):
            cells[column] = BAR if cells[column] in (" ", LINE) else cells[column]
        cells[zero] = ZERO
        cells[point] = POINT
    else:
        cells[zero] = ZERO
    return "".join(cells)
