import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogateshap.units import about, amount, duration, listed, on_one_scale, percent, plural, rate, significant, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "60 s"),
        (89.6, "1 min"),
        (200, "3 min"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (273_600, "3 d 4 h"),
        (float("inf"), "unknown"),
        (float("nan"), "unknown"),
        (-1, "unknown"),
        (None, "unknown"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456, "123 kB"), (999_600, "1.0 MB"), (3_400_000_000, "3.4 GB")],
)
def test_size(number: int, text: str) -> None:
    assert size(number) == text


def test_words() -> None:
    assert (plural(1, "image"), plural(0, "image"), plural(12_900, "image")) == ("1 image", "0 images", "12,900 images")
    assert significant(0.0123456) == "0.01235"


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ([12.3456, -0.012], ["12.35", "-0.01"]),
        ([0.00123456, 0.0000005], ["0.001235", "0.000000"]),
        ([9.9996], ["10.00"]),
        ([123456.7, 1.0], ["123457", "1"]),
        ([1.5e9, 2.0], ["1.500e+09", "2.000e+00"]),
        ([-0.0], ["0.000"]),
        ([1.0, -0.00001], ["1.000", "0.000"]),
        ([float("nan"), 1.0], ["nan", "1.000"]),
        ([], []),
    ],
)
def test_columns_share_a_scale(numbers: list[float], shown: list[str]) -> None:
    assert [format(number, on_one_scale(numbers)) for number in numbers] == shown


@given(st.floats(min_value=1e-12, max_value=1e12))
def test_the_largest_number_keeps_four_significant_digits(number: float) -> None:
    shown = float(format(number, on_one_scale([number, 0.0])))
    assert abs(shown - number) <= 0.5001e-3 * number


def test_long_sets_are_cut() -> None:
    names = [f"c{i}" for i in range(20)]
    assert listed(names, 3) == "c0, c1, c2 and 17 others"
    assert listed(names[:4], 3) == "c0, c1, c2 and 1 other"
    assert listed(names[:3], 3) == "c0, c1, c2"


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(1234.4, "1,234/s"), (43.2, "43/s"), (1.84, "1.8/s"), (0.2, "12/min"), (0, ""), (math.nan, "")],
)
def test_rates(per_second: float, text: str) -> None:
    assert rate(per_second) == text


def test_amounts() -> None:
    assert amount(1, "records") == "1 record"
    assert amount(1360, "images") == "1,360 images"


def test_percentages_and_estimates() -> None:
    assert (percent(0.123), percent(None), percent(math.nan)) == ("12.3%", "–", "–")
    assert (about(200), about(None)) == ("about 3 min", "time unknown")
