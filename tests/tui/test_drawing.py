"""Numbers, bars and whiskers as text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from surrogateshap_tui.scale import Scale
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
    ("values", "texts"),
    [
        ((1.234, -0.001), ["1.23", "0.00"]),
        ((0.01234, -0.2), ["0.012", "-0.200"]),
        ((123456.0, math.nan), ["123456", "–"]),
        ((1.5e-7, 0.0), ["1.50e-07", "0.00e+00"]),
    ],
)
def test_a_column_has_one_number_of_decimals(values: tuple[float, ...], texts: list[str]) -> None:
    scale = Scale(values)
    assert [scale(value) for value in values] == texts
