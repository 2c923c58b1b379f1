"""Sorting, filtering and going to a contributor; games on a line; points of a plane."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from surrogateshap_tui.ordering import KEYS, Order, arranged, sought
from surrogateshap_tui.state import Place
from surrogateshap_tui.widgets.game_tabs import fitted
from surrogateshap_tui.widgets.scatter import scatter

from surrogateshap.events import GameInfo

PLACES = (
    Place(1, "Ärzte", 3.0, 2.0, 4.0, rows=10, share=0.5),
    Place(2, "beta", 2.0, -1.0, 5.0, rows=None, share=None),
    Place(3, "Alpha", math.nan, math.nan, math.nan, rows=30, share=0.1),
    Place(4, "alphabet", -1.0, -1.5, -0.5, rows=20, share=-0.1),
)
MANY = tuple(
    GameInfo(grouping=grouping, utility=utility, proxy=proxy)
    for grouping in ("artist", "region")
    for utility in ("aesthetic", "fidelity", "diversity", "confident", "vivid-tail", "x" * 300)
    for proxy in ("image", "prompt")
)


@pytest.mark.parametrize(
    ("order", "ranks"),
    [
        (Order(), [1, 2, 3, 4]),
        (Order("rank", True), [4, 3, 2, 1]),
        (Order("name", False), [3, 4, 2, 1]),
        (Order("value", True), [1, 2, 4, 3]),
        (Order("value", False), [4, 2, 1, 3]),
        (Order("interval", True), [2, 1, 4, 3]),
        (Order("share", True), [1, 3, 4, 2]),
        (Order("rows", False), [1, 4, 3, 2]),
    ],
)
def test_what_has_no_number_comes_last_whichever_way_it_is_sorted(order: Order, ranks: list[int]) -> None:
    assert [PLACES[at].rank for at in arranged(PLACES, order)] == ranks


def test_the_filter_takes_any_case_and_any_part() -> None:
    assert [PLACES[at].name for at in arranged(PLACES, Order(), "ALPH")] == ["Alpha", "alphabet"]
    assert [PLACES[at].name for at in arranged(PLACES, Order(), "är")] == ["Ärzte"]
    assert arranged(PLACES, Order("name"), "[b]") == []


def test_orders_go_round_and_turn() -> None:
    order, seen = Order(), []
    for _ in KEYS:
        seen.append(order.key)
        order = order.next
    assert seen == list(KEYS)
    assert order == Order()
    assert Order().by("value") == Order("value", True)
    assert Order("value", True).by("value") == Order("value", False)
    assert {Order().sign, Order().turned.sign} == {"▲", "▼"}


def test_a_rank_a_beginning_and_a_part_of_a_name_are_found() -> None:
    everyone = range(len(PLACES))
    assert sought(PLACES, everyone, "4") == 3
    assert sought(PLACES, everyone, " alphab ") == 3
    assert sought(PLACES, everyone, "ta") == 1
    assert sought(PLACES, everyone, "9") is None
    assert sought(PLACES, [0, 1], "alpha") is None
    assert sought(PLACES, everyone, "") is None


@given(st.integers(0, len(MANY) - 1), st.integers(30, 200))
def test_the_current_game_is_always_on_the_line_and_the_line_fits(current: int, width: int) -> None:
    before, tabs, after = fitted(MANY, current, width)
    (here,) = [tab for tab in tabs if tab.game == current]
    assert here.text.startswith("[")
    assert here.text.endswith("]")
    ended = tabs[-1].start + cell_len(tabs[-1].text) + cell_len(after)
    assert ended <= width
    assert f"game {current + 1} of 24" in before
    assert tabs[0].game == int(before.partition("‹ ")[2] or 0)
    assert len(MANY) - 1 - tabs[-1].game == int(after.strip(" ›") or 0)
    assert [tab.game for tab in tabs] == list(range(tabs[0].game, tabs[-1].game + 1))


def test_points_lie_where_their_numbers_are() -> None:
    lines, low, high = scatter([(0.0, 0.0), (10.0, 10.0), (10.0, 0.0), (math.nan, 1.0)], 10, 4)
    assert (low, high) == (0.0, 10.0)
    dots = [(x, y) for y, line in enumerate(lines) for x, cell in enumerate(line) if 0x2801 <= ord(cell) <= 0x28FF]
    assert dots == [(9, 0), (0, 3), (9, 3)]
    assert all(len(line) == 10 for line in lines)
    assert scatter([], 5, 3)[0] == ["   ··", "  ·  ", "··   "]
