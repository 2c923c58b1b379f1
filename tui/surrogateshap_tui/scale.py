"""Figures of a narrow column."""

import math
from collections.abc import Iterable

from surrogateshap.units import on_one_scale


class Scale:
    """One number of decimals for all values of a column, with three significant digits in the largest."""

    def __init__(self, values: Iterable[float]) -> None:
        self._format = on_one_scale(values, digits=3)

    def __call__(self, value: float) -> str:
        """The value as text; `–` where it is no number."""
        return format(value, self._format) if math.isfinite(value) else "–"
