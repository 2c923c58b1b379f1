import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from surrogateshap.report import svg
from tests.samples import HOSTILE

NUMBER = st.floats(-1e12, 1e12)


def parsed(text: str) -> ET.Element:
    """The drawing, which is well-formed, named, and without a number that a browser can't read."""
    root = ET.fromstring(text)
    assert root.attrib["role"] == "img"
    assert root[0].tag == "title"
    assert not re.search(r"nan|inf|e[+-]?\d", " ".join(f"{one.attrib.get('d')} {one.attrib.get('cx')}" for one in root))
    return root


def x_of(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"[MH](-?[0-9.]+)", path)]


@given(st.lists(NUMBER, min_size=3, max_size=3))
def test_whiskers_lie_in_order_within_the_box(numbers: list[float]) -> None:
    low, value, high = sorted(numbers)
    root = parsed(svg.whisker(value, low, high, svg.ends_of(numbers), "t"))
    line = root.find("path[@class='line']")
    mark = root.find("*[@class='mark']")
    assert line is not None
    assert mark is not None
    left, right, *_ = x_of(line.attrib["d"])
    at = float(mark.attrib["cx"]) if value >= 0 else x_of(mark.attrib["d"])[0]
    assert 0 <= left <= at <= right <= svg.WIDTH
    assert (mark.tag == "circle") == (value >= 0)


def test_a_whisker_is_where_it_should_be() -> None:
    root = parsed(svg.whisker(0.5, 0.25, 1.0, (0.0, 1.0), "t"))
    assert root.find("path[@class='line']").attrib["d"].startswith("M63 10H234")  # type: ignore[union-attr]
    assert root.find("circle").attrib["cx"] == "120"  # type: ignore[union-attr]
    assert root.find("path[@class='zero']").attrib["d"].startswith("M6 0")  # type: ignore[union-attr]


@given(NUMBER, st.floats(1e-9, 1e12), st.integers(2, 8))
def test_ticks_are_few_round_and_within(low: float, span: float, most: int) -> None:
    high = low + span
    if high <= low or span < 1e-9 * abs(low):
        return
    found = svg.ticks(low, high, most)
    assert 1 <= len(found) <= max(most, 2)
    assert all(low - 1e-6 * span <= one <= high + 1e-6 * span for one in found)
    apart = [b - a for a, b in pairwise(found)]
    if len(found) > 2:
        digits = apart[0] / 10 ** math.floor(math.log10(apart[0]) + 1e-9)
        assert min(abs(digits - one) for one in (1, 2, 5, 10)) < 1e-3


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        ((-0.3, 1.25), ["0.0", "0.5", "1.0"]),
        ((-240.0, 131.0), ["-200", "-100", "0", "100"]),
        ((0.0, 0.0012), ["0.0000", "0.0005", "0.0010"]),
        ((0.0, 3e7), ["0", "1e+07", "2e+07", "3e+07"]),
        ((-1.0, 1.0), ["-1", "0", "1"]),
    ],
)
def test_axes(ends: tuple[float, float], shown: list[str]) -> None:
    found = [one.text for one in parsed(svg.axis(ends, "t")).findall("text")]
    assert found == shown


@given(st.lists(st.tuples(NUMBER, NUMBER), max_size=20), NUMBER, st.floats(-1e3, 1e3))
@example([(0.0, 0.0002), (202592797.0, 0.0)], -1073741823.0, 5.0)
def test_scatters_hold_every_point(points: list[tuple[float, float]], intercept: float, slope: float) -> None:
    root = parsed(svg.scatter(points, "t", ("x", "y"), (intercept, slope)))
    dots = root.findall("circle")
    assert len(dots) == len(points)
    for dot in dots:
        assert 58 <= float(dot.attrib["cx"]) <= 346
        assert 12 <= float(dot.attrib["cy"]) <= 254
    for line in (*root.findall("path[@class='fit']"), *root.findall("path[@class='identity']")):
        ends = [float(number) for number in re.findall(r"-?[0-9.]+", line.attrib["d"])]
        assert 57.9 <= min(ends[::2]) <= max(ends[::2]) <= 346.1
        assert 11.9 <= min(ends[1::2]) <= max(ends[1::2]) <= 254.1


def test_lines_are_where_they_should_be() -> None:
    root = parsed(svg.scatter([(0.0, 0.0), (1.0, 1.0)], "t", ("x", "y"), (0.0, 1.0)))
    fit, same = root.find("path[@class='fit']"), root.find("path[@class='identity']")
    assert fit is not None
    assert same is not None
    assert fit.attrib["d"] == same.attrib["d"] == "M58 254L346 12"


def test_sizes_are_areas() -> None:
    root = parsed(svg.scatter([(0.0, 0.0), (1.0, 1.0)], "t", ("x", "y"), (0.0, 1.0), [1, 4]))
    assert [one.attrib["r"] for one in root.findall("circle")] == ["4.2", "6"]


def test_shares_are_parts_of_the_bar() -> None:
    root = parsed(svg.share_bar([("a", 0.5), ("b", 0.0), ("c", 0.25), ("d", -1.0)], "t"))
    parts = [one for one in root.findall("rect") if one.attrib["class"] != "frame"]
    assert [(one.attrib["x"], one.attrib["width"]) for one in parts] == [("0", "240"), ("240", "120")]
    assert [one[0].text for one in parts] == ["a: 50.0%", "c: 25.0%"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_texts(name: str) -> None:
    for text in (
        svg.whisker(1.0, 0.0, 2.0, (0.0, 2.0), name),
        svg.axis((0.0, 1.0), name),
        svg.share_bar([(name, 1.0)], name),
        svg.scatter([(0.0, 1.0)], name, (name, name), (0.0, 1.0)),
    ):
        assert {one.tag for one in parsed(text).iter()} <= {"svg", "title", "path", "circle", "text", "rect"}
        assert text.isprintable()


def test_numbers_that_are_none_are_put_at_the_start() -> None:
    assert svg.ends_of([math.nan, math.inf, 2.0]) == (0.0, 2.0)
    assert svg.ends_of([]) == (-1.0, 1.0)
    parsed(svg.whisker(math.nan, -math.inf, math.inf, (0.0, 1.0), "t"))
