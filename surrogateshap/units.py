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


def listed(names: Sequence[str], most: int = 12) -> str:
    """`a, b, c and 5 others`, harmlessly."""
    shown = ", ".join(harmless(name, 60) for name in names[:most])
    return f"{shown} and {plural(len(names) - most, 'other')}" if len(names) > most else shown


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`; `unknown` for None and what is no length of time."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "unknown"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def size(number: int) -> str:
    """Bytes in decimal units: `999 B`, `1.2 kB`, `3.4 GB`."""
    amount, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{number} B" if unit == "B" else f"{amount:.1f} {unit}" if amount < 99.95 else f"{amount:.0f} {unit}"


def significant(number: float) -> str:
    """Four significant digits."""
    return f"{number:.4g}"


def on_one_scale(numbers: Iterable[float]) -> str:
    """The format specification that gives the largest of `numbers` four significant digits.

    One specification for a whole column aligns its decimal points, and shows no digits of a small number that would be
    lost beside the large ones. Zero has no sign.
    """
    largest = max((abs(number) for number in numbers if math.isfinite(number)), default=0.0)
    if largest == 0:
        return "z.3f"
    exponent = int(f"{largest:.3e}".partition("e")[2])
    return f"z.{max(0, 3 - exponent)}f" if -4 <= exponent < 7 else "z.3e"
