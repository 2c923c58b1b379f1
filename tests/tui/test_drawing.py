"""Numbers, bars and whiskers as text."""

import io
import math

import pytest
from canned import GAMES, make_results, started
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.style import Style
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.state import RunState, reduce, with_results
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.views.ranking import draw_place
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


def test_a_place_says_how_probably_it_is_in_the_top() -> None:
    results = make_results()
    game = results.games[0]
    first = game.contributors[0].model_copy(update={"in_top": 0.97})
    known = game.model_copy(update={"contributors": (first, *game.contributors[1:]), "top": 5})
    ranking = with_results(reduce(RunState(), started()), results.model_copy(update={"games": (known,)})).ranking(
        GAMES[0]
    )
    assert ranking is not None
    palette = Palette(*(Style() for _ in range(6)))

    def drawn(place: int) -> str:
        console = Console(width=100, file=io.StringIO())
        console.print(draw_place(ranking.places[place], ranking, palette))
        return console.file.getvalue()

    assert "rank 1 of 14, 1 to 3; in the top 5 with 97.0%" in drawn(0)
    assert "in the top" not in drawn(1)
