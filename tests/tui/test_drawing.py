"""Numbers, bars and whiskers as text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from surrogateshap_tui import formats
from surrogateshap_tui.widgets.whiskers import Axis, draw

numbers = st.floats(allow_nan=True, allow_infinity=True)


def test_a_positive_value_is_a_bar_from_zero_with_its_interval() -> None:
    assert draw(5, 7, 9, Axis(0, 10), 11) == "│━━━━├━●─┤ "


def test_a_negative_value_grows_to_the_left() -> None:
    assert draw(-6, -4, -3, Axis(-10, 0), 11) == "    ├─●┤━━│"


def test_the_axis_always_holds_zero() -> None:
    assert Axis.over((3.0, 5.0, math.nan)) == Axis(0.0, 5.0)


@given(numbers, numbers, numbers, st.integers(1, 60))
def test_every_number_draws_in_the_width(low: float, value: float, high: float, width: int) -> None:
    low, value, high = sorted((low, value, high))
    drawn = draw(low, value, high, Axis.over((low, value, high)), width)
    assert len(drawn) == width
    assert ("●" in drawn) == math.isfinite(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "< 1 s"),
        (20.4, "20 s"),
        (150, "2 min"),
        (3900, "1 h 05 min"),
        (200_000, "2 d 8 h"),
        (math.inf, "unknown"),
        (None, "unknown"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(1234.4, "1,234/s"), (43.2, "43/s"), (1.84, "1.8/s"), (0.2, "12/min"), (0, ""), (math.nan, "")],
)
def test_rates(per_second: float, text: str) -> None:
    assert formats.rate(per_second) == text


def test_units_and_sizes() -> None:
    assert formats.units(1, "records") == "1 record"
    assert formats.units(1360, "images") == "1,360 images"
    assert (formats.size(820), formats.size(4_800_000), formats.size(12e9)) == ("820 B", "4.8 MB", "12 GB")


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((1.234, -0.001), ["1.23", "0.00"]),
        ((0.01234, -0.2), ["0.012", "-0.200"]),
        ((123456.0, math.nan), ["123456", "—"]),
        ((1.5e-7, 0.0), ["1.50e-07", "0.00e+00"]),
    ],
)
def test_a_column_has_one_number_of_decimals(values: tuple[float, ...], texts: list[str]) -> None:
    scale = formats.Scale(values)
    assert [scale(value) for value in values] == texts
