"""Numbers as people read them."""

import math
from collections.abc import Iterable


def count(number: int) -> str:
    """1360 → `1,360`."""
    return f"{number:,}"


def several(number: int, noun: str) -> str:
    """`1 stage`, `3 stages`."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def units(number: int, unit: str) -> str:
    """`1 record`, `1,360 images`; the unit is given in the plural."""
    return f"{count(number)} {unit.removesuffix('s') if number == 1 else unit}"


def duration(seconds: float | None) -> str:
    """`< 1 s`, `20 s`, `3 min`, `1 h 05 min`, `2 d 3 h`; `unknown` for None and what is no number."""
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    if seconds < 1:
        return "< 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def about(seconds: float | None) -> str:
    """An estimate: `about 3 min`; `time unknown` for None."""
    return f"about {duration(seconds)}" if seconds is not None else "time unknown"


def rate(per_second: float) -> str:
    """`43/s`, `1.8/s`, `12/min`; empty where unknown."""
    if not math.isfinite(per_second) or per_second <= 0:
        return ""
    if per_second >= 1:
        return f"{count(round(per_second))}/s" if per_second >= 10 else f"{per_second:.1f}/s"
    return f"{per_second * 60:.0f}/min" if per_second * 60 >= 10 else f"{per_second * 60:.1f}/min"


def size(number: float) -> str:
    """Bytes: `820 B`, `12 MB`, `1.4 GB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"


def percent(fraction: float) -> str:
    """0.123 → `12.3 %`."""
    return f"{100 * fraction:.1f} %" if math.isfinite(fraction) else "—"


class Scale:
    """One number of decimals for all values of a column, with three significant digits in the largest."""

    def __init__(self, values: Iterable[float]) -> None:
        largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
        magnitude = math.floor(math.log10(largest)) if largest > 0 else 0
        self._format = f".{max(0, 2 - magnitude)}f" if -4 < magnitude < 7 else ".2e"

    def __call__(self, value: float) -> str:
        """The value as text; `—` where it is no number."""
        if not math.isfinite(value):
            return "—"
        text = format(value, self._format)
        return text.removeprefix("-") if float(text) == 0 else text
