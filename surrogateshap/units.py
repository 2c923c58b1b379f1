"""Numbers and names as people read them: durations, sizes, counts, lists, and columns of figures on one scale."""

import math
from collections.abc import Iterable, Sequence

from surrogateshap.text import harmless


def count(number: int) -> str:
    """`12,900`."""
    return f"{number:,}"


def plural(number: int, word: str) -> str:
    """`1 image`, `12,900 images`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def amount(number: int, units: str) -> str:
    """`1 record`, `1,360 images`; the unit is given in the plural."""
    return f"{number:,} {units.removesuffix('s') if number == 1 else units}"


def listed(names: Sequence[str], most: int = 12) -> str:
    """`a, b, c and 5 others`, harmlessly."""
    shown = ", ".join(harmless(name, 60) for name in names[:most])
    return f"{shown} and {plural(len(names) - most, 'other')}" if len(names) > most else shown


def duration(seconds: float | None) -> str:
    """`0.4 s`, `80 s`, `3 min`, `2 h 05 min`, `3 d 4 h`; `unknown` for None and what is no length of time."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "unknown"
    if seconds < 89.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def about(seconds: float | None) -> str:
    """An estimate: `about 3 min`; `time unknown` for None."""
    return "time unknown" if seconds is None else f"about {duration(seconds)}"


def rate(per_second: float) -> str:
    """`43/s`, `1.8/s`, `12/min`; empty where unknown."""
    if not math.isfinite(per_second) or per_second <= 0:
        return ""
    if per_second >= 1:
        return f"{count(round(per_second))}/s" if per_second >= 10 else f"{per_second:.1f}/s"
    return f"{per_second * 60:.0f}/min" if per_second * 60 >= 10 else f"{per_second * 60:.1f}/min"


def percent(fraction: float | None) -> str:
    """`12.3%`; a dash where there is none."""
    return "–" if fraction is None or not math.isfinite(fraction) else f"{fraction:.1%}"


def size(number: int) -> str:
    """Bytes in decimal units: `999 B`, `1.2 kB`, `3.4 GB`."""
    scaled, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if scaled < 999.5:
            break
        scaled, unit = scaled / 1000, larger
    return f"{number} B" if unit == "B" else f"{scaled:.1f} {unit}" if scaled < 99.95 else f"{scaled:.0f} {unit}"


def significant(number: float) -> str:
    """Four significant digits."""
    return f"{number:.4g}"


def on_one_scale(numbers: Iterable[float], digits: int = 4) -> str:
    """The format specification that gives the largest of `numbers` that many significant digits.

    One specification for a whole column aligns its decimal points, and shows no digits of a small number that would be
    lost beside the large ones. Zero has no sign.
    """
    largest = max((abs(number) for number in numbers if math.isfinite(number)), default=0.0)
    if largest == 0:
        return f"z.{digits - 1}f"
    exponent = int(f"{largest:.{digits - 1}e}".partition("e")[2])
    return f"z.{max(0, digits - 1 - exponent)}f" if -4 <= exponent < 7 else f"z.{digits - 1}e"
