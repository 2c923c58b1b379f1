from typing import Any

import numpy as np
import pytest

from surrogateshap.plan.model import Plan
from surrogateshap.record.diff import Diff, Side, diff
from surrogateshap.record.results import ContributorResult, GameResult, Results
from tests.samples import contributor, game, peaceful_plan, peaceful_results


def results(*games: GameResult) -> Results:
    return peaceful_results().model_copy(update={"games": games})


def side(results: Results | None = None, plan: Plan | None = None, **more: Any) -> Side:
    fields: dict[str, Any] = {"kind": "run", "name": "r", "spec": {"seed": 1}}
    return Side(**(fields | more), plan=plan, results=results)


def of_two(old: tuple[ContributorResult, ...], new: tuple[ContributorResult, ...]) -> Diff:
    return diff(side(results(game(old))), side(results(game(new))))


def test_nothing_differs_between_the_same() -> None:
    found = diff(side(peaceful_results(), peaceful_plan()), side(peaceful_results(), peaceful_plan()))
    assert not found.differs
    assert (found.keys, found.inputs, found.names, found.counts, found.stages) == ((),) * 5
    assert [one.moved for one in found.games] == [0, 0]
    assert all(one.same_pool == (one.proxy == "image") for one in found.games)  # the plan has no prompt pool
    assert not any(one.notes for one in found.games)


def test_intervals_of_differences_are_square_and_add() -> None:
    old = contributor("a", 1, 1.0, 0.0).model_copy(update={"low": 0.4, "high": 1.3})
    new = contributor("a", 1, 2.0, 0.0).model_copy(update={"low": 1.6, "high": 3.2})
    (move,) = of_two((old,), (new,)).games[0].moves
    assert (move.old, move.new, move.difference) == (1.0, 2.0, 1.0)
    assert move.low == pytest.approx(1.0 - 0.5)  # √(0.4² + 0.3²)
    assert move.high == pytest.approx(1.0 + np.sqrt(1.2**2 + 0.6**2))
    assert move.beyond


def test_intervals_hold_zero_as_often_as_they_say_and_more_often_for_shared_images() -> None:
    """For independent errors 90 % of intervals hold the truth; for errors in common, all but hardly any do."""
    rng = np.random.default_rng(0)
    common, *own = rng.normal(size=(3, 4000))
    half = 1.6448536
    for share, least, most in ((0.0, 0.88, 0.92), (0.8, 0.999, 1.0)):
        errors = [np.sqrt(share) * common + np.sqrt(1 - share) * one for one in own]
        old, new = (
            tuple(contributor(f"c{i}", i + 1, float(value), half) for i, value in enumerate(values))
            for values in errors
        )
        (found,) = of_two(old, new).games
        assert least <= 1 - found.moved / 4000 <= most
        if share == 0:
            assert "Of 4,000 contributors about 400.0 would be beyond by chance" in found.notes[0]


def test_moves_come_before_others_and_large_ones_first() -> None:
    old = tuple(contributor(name, i + 1, 1.0, 0.1) for i, name in enumerate("abcd"))
    new = tuple(
        contributor(name, i + 1, value, spread, rank_low=low, rank_high=high)
        for i, (name, value, spread, low, high) in enumerate(
            [("d", 9.0, 50.0, 1, 4), ("b", 3.0, 0.1, 9, 9), ("c", 0.5, 0.1, 3, 4), ("a", 1.0, 0.1, 4, 5)]
        )
    )
    moves = of_two(old, new).games[0].moves
    assert [(one.name, one.beyond) for one in moves] == [("b", True), ("c", True), ("d", False), ("a", False)]
    assert [(one.old_rank, one.new_rank) for one in moves] == [(2, 2), (3, 3), (4, 1), (1, 4)]
    assert [one.ranks_apart for one in moves] == [True, False, False, True]


def test_values_without_spread_are_beyond_only_where_they_differ() -> None:
    old, new = ((contributor("a", 1, 1.0, 0.0), contributor("b", 1, value, 0.0)) for value in (1.0, 1.5))
    assert [(one.name, one.beyond) for one in of_two(old, new).games[0].moves] == [("b", True), ("a", False)]


def test_contributors_and_games_that_only_one_has() -> None:
    a, b, c = (contributor(name, 1, 1.0, 0.1) for name in "abc")
    old = results(game((a, b)), game((a,), utility="gone"))
    new = results(game((b, c)), game((a,), utility="fresh"))
    found = diff(side(old, contributors={"artist": "ab"}), side(new, contributors={"artist": "bc", "x": "y"}))
    assert found.differs
    assert (found.games_removed, found.games_added) == (("artist / gone / image",), ("artist / fresh / image",))
    (one,) = found.games
    assert (one.added, one.removed, [move.name for move in one.moves]) == (("c",), ("a",), ["b"])
    assert one.notes == ("Other contributors are in the game: everyone's value may move for that alone.",)
    (names,) = found.names
    assert (names.what, names.added, names.removed) == ("contributors by artist", ("c",), ("a",))


def test_what_makes_values_hard_to_compare_is_said() -> None:
    rows = (contributor("a", 1, 1.0, 0.1),)
    specs = [{"utility": [{"name": "aesthetics", "kind": kind}, {"name": "b", "kind": "x"}]} for kind in "xy"]
    old = side(results(game(rows)), spec=specs[0])
    new = side(results(game(rows, level=0.8)), spec=specs[1])
    (one,) = diff(old, new).games
    assert one.level == 0.8
    assert one.notes == (
        "Utility aesthetics is another one now: values may be in other units.",
        "Intervals of 90% and of 80% are compared.",
    )


def test_conditions_and_counts_and_inputs_of_plans() -> None:
    plan = peaceful_plan()
    (pool,) = plan.pools
    file = plan.inputs[2].model_copy(update={"digest": "9" * 64})
    other = plan.model_copy(
        update={
            "inputs": (*plan.inputs[:2], file),
            "pools": (pool.model_copy(update={"images": 1600, "digest": "5" * 64}),),
            "groupings": plan.groupings[:1],
        }
    )
    found = diff(side(plan=plan, conditions=["a", "b"]), side(plan=other, conditions=["b", "c", "d"]))
    assert found.differs
    assert [(one.role, one.old_digest, one.new_digest) for one in found.inputs] == [("manifest", "3" * 64, "9" * 64)]
    assert [(one.what, one.old, one.new) for one in found.counts] == [
        ("contributors by label", 1, None),
        ("rows by label", 100, None),
        ("images of the image proxy", 1500, 1600),
    ]
    assert [(one.what, one.added, one.removed) for one in found.names] == [("conditions", ("c", "d"), ("a",))]
    assert [(one.stage, one.because) for one in found.stages] == [("generate", ("manifest",))]
    assert found.games == ()


def test_keys_that_change_no_result_are_no_difference() -> None:
    old, new = (side(spec={"name": name, "execution": {"batch_size": size}}) for name, size in (("a", 1), ("b", 2)))
    found = diff(old, new)
    assert [one.sort for one in found.keys] == ["cosmetic", "execution"]
    assert not found.differs
    assert diff(side(), side(spec={"seed": 2})).differs


def test_other_ends_of_a_game_differ_too() -> None:
    rows = (contributor("a", 1, 1.0, 0.1),)
    assert diff(side(results(game(rows))), side(results(game(rows, v_empty=0.25)))).differs


def test_it_reads_back_from_json() -> None:
    found = of_two((contributor("a", 1, 1.0, 0.1),), (contributor("a", 1, 2.0, 0.1),))
    assert Diff.model_validate_json(found.model_dump_json()) == found


def test_ten_thousand_contributors_take_a_moment() -> None:
    old, new = (tuple(contributor(f"c{i}", i + 1, 1.0 / (i + k), 0.01) for i in range(10_000)) for k in (1, 2))
    assert len(of_two(old, new).games[0].moves) == 10_000
