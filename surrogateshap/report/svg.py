"""Small plots as inline SVG: the same text for the same numbers, coloured by the page's style sheet.

Every plot names itself in a `<title>` and draws its meaning by shape and place; colour only repeats it.
"""

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from surrogateshap.text import harmless
from surrogateshap.units import on_one_scale

WIDTH, HEIGHT = 240, 20
"""Of a row's plot, in the units of its view box."""
_MARGIN = 6.0
"""Room for the dot at either end."""


def whisker(value: float, low: float, high: float, ends: tuple[float, float], title: str) -> str:
    """One contributor's interval as a line between two whiskers, the value as a mark on it, and zero as a dashed line.

    Values below zero are hollow diamonds, others full dots. `ends` are those of the axis.
    """
    y = HEIGHT / 2
    x, left, right = (_at(number, ends) for number in (value, low, high))
    sign = "neg" if value < 0 else "pos"
    mark = (
        f'<path class="mark" d="M{_n(x)} {_n(y - 4.5)}l4.5 4.5l-4.5 4.5l-4.5 -4.5z"/>'
        if value < 0
        else f'<circle class="mark" cx="{_n(x)}" cy="{_n(y)}" r="3.6"/>'
    )
    return (
        _open(WIDTH, HEIGHT, f"whisker {sign}", title)
        + _zero(ends, HEIGHT)
        + f'<path class="line" d="M{_n(left)} {_n(y)}H{_n(right)}M{_n(left)} {_n(y - 4)}v8M{_n(right)} {_n(y - 4)}v8"/>'
        + f"{mark}</svg>"
    )


def axis(ends: tuple[float, float], title: str) -> str:
    """The axis above a column of whiskers: a few round numbers, and a line."""
    marks = ticks(*ends, most=4)
    spec = _tick_format(marks)
    height = 22
    drawn = "".join(f"M{_n(_at(mark, ends))} {height - 5}v5" for mark in marks)
    texts = "".join(_text(_at(mark, ends), 11, format(mark, spec), _anchor(_at(mark, ends))) for mark in marks)
    line = f'<path class="axis" d="M{_n(_MARGIN)} {height - 0.5:.1f}H{_n(WIDTH - _MARGIN)}{drawn}"/>'
    return _open(WIDTH, height, "axis-plot", title) + line + texts + "</svg>"


def share_bar(shares: Sequence[tuple[str, float]], title: str) -> str:
    """Shares that add up to at most 1 as parts of one bar, each named by its own `<title>`; the rest stays empty."""
    width, height, x = 480.0, 22, 0.0
    parts = []
    for position, (name, share) in enumerate(shares):
        wide = max(0.0, share) * width
        if wide > 0:
            shade = ("a", "b")[position % 2]
            inner = f"<title>{escape(harmless(name))}: {share:.1%}</title>"
            parts.append(f'<rect class="share-{shade}" x="{_n(x)}" width="{_n(wide)}" height="{height}">{inner}</rect>')
            if wide > 34:
                parts.append(_text(x + wide / 2, 15, f"{share:.0%}", "middle", f"on-{shade}"))
        x += wide
    frame = f'<rect class="frame" x="0.5" y="0.5" width="{_n(width - 1)}" height="{height - 1}"/>'
    return _open(int(width), height, "shares", title) + "".join(parts) + frame + "</svg>"


def scatter(
    points: Sequence[tuple[float, float]],
    title: str,
    labels: tuple[str, str],
    line: tuple[float, float],
    sizes: Sequence[float] | None = None,
) -> str:
    """Points (x, y) with the regression `line` (intercept, slope), full, and the identity, dashed; axes named `labels`.

    `sizes` scale the points' areas; by default they are equal.
    """
    width, height, left, bottom, top, right = 360, 300, 58.0, 46.0, 12.0, 14.0
    xs, ys = zip(*points, strict=True) if points else ((0.0,), (0.0,))
    x_ends, y_ends = _padded(min(xs), max(xs)), _padded(min(ys), max(ys))

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - x_ends[0]) / (x_ends[1] - x_ends[0]) * (width - left - right),
            height - bottom - (y - y_ends[0]) / (y_ends[1] - y_ends[0]) * (height - bottom - top),
        )

    parts = [f'<path class="axis" d="M{_n(left)} {_n(top)}V{_n(height - bottom)}H{_n(width - right)}"/>']
    x_marks, y_marks = ticks(*x_ends, most=5), ticks(*y_ends, most=5)
    for mark in x_marks:
        x, y = at(mark, y_ends[0])
        parts.append(f'<path class="axis" d="M{_n(x)} {_n(y)}v4"/>')
        parts.append(_text(x, y + 16, format(mark, _tick_format(x_marks)), "middle"))
    for mark in y_marks:
        x, y = at(x_ends[0], mark)
        parts.append(f'<path class="axis" d="M{_n(x)} {_n(y)}h-4"/>')
        parts.append(_text(x - 7, y + 3.5, format(mark, _tick_format(y_marks)), "end"))
    for kind, (intercept, slope) in (("identity", (0.0, 1.0)), ("fit", line)):
        ends = _clipped(intercept, slope, x_ends, y_ends)
        if ends is not None:
            (x0, y0), (x1, y1) = at(*ends[0]), at(*ends[1])
            parts.append(f'<path class="{kind}" d="M{_n(x0)} {_n(y0)}L{_n(x1)} {_n(y1)}"/>')
    largest = max(sizes, default=1.0) if sizes else 1.0
    for position, point in enumerate(points):
        x, y = at(*point)
        radius = 3.0 if not sizes else 2.5 + 3.5 * math.sqrt(sizes[position] / largest)
        parts.append(f'<circle class="point" cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"/>')
    parts.append(_text((left + width - right) / 2, height - 8, labels[0], "middle", "label"))
    middle = (top + height - bottom) / 2
    parts.append(_text(0, 0, labels[1], "middle", "label", f"translate(13 {_n(middle)}) rotate(-90)"))
    return _open(width, height, "scatter", title) + "".join(parts) + "</svg>"


def ends_of(numbers: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis that holds all finite `numbers`, and zero."""
    finite = [number for number in numbers if math.isfinite(number)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    return (low, high) if high > low else (-1.0, 1.0)


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`."""
    span = high - low
    if not (span > 0 and math.isfinite(span)):
        return [low] if math.isfinite(low) else []
    power = 10.0 ** math.floor(math.log10(span / most))
    for step in (power, 2 * power, 5 * power, 10 * power, 20 * power):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [number * step for number in range(first, last + 1)]
    return [low, high]


def _tick_format(marks: Sequence[float]) -> str:
    """Digits enough to tell neighbouring marks apart, and none more."""
    apart = min((b - a for a, b in pairwise(marks)), default=0.0)
    largest = max(map(abs, marks), default=0.0)
    if apart <= 0 or largest >= 1e6 or apart < 1e-5:
        return on_one_scale(marks, 3) if apart <= 0 else "z.3g"
    return f"z.{max(0, -math.floor(math.log10(apart) + 1e-9))}f"


def _padded(low: float, high: float) -> tuple[float, float]:
    room = (high - low) * 0.06
    return (low - room, high + room) if room > 0 else (low - 1.0, high + 1.0)


def _clipped(
    intercept: float, slope: float, x_ends: tuple[float, float], y_ends: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The part of a line inside a rectangle; None where none is."""
    low, high = x_ends
    if slope == 0:
        return ((low, intercept), (high, intercept)) if y_ends[0] <= intercept <= y_ends[1] else None
    crossing = sorted((y - intercept) / slope for y in y_ends)
    low, high = max(low, crossing[0]), min(high, crossing[1])
    if low >= high:
        return None
    # Where large numbers cancel, the line's own formula may leave the rectangle.
    start, end = (min(max(intercept + slope * x, y_ends[0]), y_ends[1]) for x in (low, high))
    return (low, start), (high, end)


def _at(number: float, ends: tuple[float, float]) -> float:
    """Where a number is in a row's plot; what lies outside the axis is put at its end."""
    share = (number - ends[0]) / (ends[1] - ends[0]) if math.isfinite(number) else 0.0
    return _MARGIN + min(1.0, max(0.0, share)) * (WIDTH - 2 * _MARGIN)


def _zero(ends: tuple[float, float], height: int) -> str:
    return f'<path class="zero" d="M{_n(_at(0.0, ends))} 0V{height}"/>'


def _anchor(x: float) -> str:
    return "start" if x < 20 else "end" if x > WIDTH - 20 else "middle"


def _open(width: int, height: int, kind: str, title: str) -> str:
    return (
        f'<svg class="{kind}" role="img" viewBox="0 0 {width} {height}"><title>{escape(harmless(title, 500))}</title>'
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick", transform: str = "") -> str:
    moved = f' transform="{transform}"' if transform else ""
    words = escape(harmless(text, 80))
    return f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{moved}>{words}</text>'


def _n(number: float) -> str:
    """A coordinate to a tenth, without a trailing zero and without minus zero."""
    return f"{number:z.1f}".removesuffix(".0")
