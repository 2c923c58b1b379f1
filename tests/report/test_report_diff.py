import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from surrogateshap.record.diff import Diff, Side, diff
from surrogateshap.record.results import Results
from surrogateshap.report import diff_table
from tests.samples import HOSTILE, contributor, game, golden, hostile_plan, peaceful_plan, peaceful_results

GOLDEN = Path(__file__).parent / "golden"


def shown(found: Diff, width: int = 80, top: int | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False, emoji=False)
    console.print(diff_table(found, top=top))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def spec(**more: object) -> dict[str, object]:
    return {
        "name": "artists",
        "seed": 0,
        "model": {"source": "old/model", "revision": None},
        "utility": [{"name": "aesthetics", "kind": "score"}, {"name": "quality", "kind": "frechet"}],
        "payout": None,
        "execution": {"batch_size": 16},
    } | more


def moved(results: Results) -> Results:
    first, second = results.games
    rows = [
        one.model_copy(update={"value": one.value + 2, "low": one.low + 2, "high": one.high + 2, "rank": 3 - one.rank})
        for one in first.contributors[:2]
    ]
    ranked = (*reversed(rows), *first.contributors[3:], contributor("someone new", 5, -0.5, 0.25))
    third = game((contributor("even", 1, 1.0, 0.5),), grouping="label", utility="variety", proxy="prompt")
    first = first.model_copy(update={"contributors": ranked, "v_full": 6.125})
    return results.model_copy(update={"run": "artists-ffffff", "games": (first, second, third)})


def peaceful() -> Diff:
    plan = peaceful_plan()
    first, model, manifest = plan.inputs
    files = (
        first,
        model.model_copy(update={"name": "new/model"}),
        manifest.model_copy(update={"digest": "9" * 64}),
    )
    pool = plan.pools[0].model_copy(update={"images": 3000, "digest": "8" * 64})
    other = plan.model_copy(update={"run": "artists-ffffff", "plan_id": "f" * 64, "pools": (pool,), "inputs": files})
    changed = spec(
        name="painters",
        seed=1,
        model={"source": "new/model", "revision": None},
        utility=[
            {"name": "quality", "kind": "frechet"},
            {"name": "aesthetics", "kind": "score", "statistic": {"quantile": 0.9}},
            {"name": "variety", "kind": "inception"},
        ],
        payout={"amount": 100.0, "minimum": 0.0},
        execution={"batch_size": 64},
    )
    results = peaceful_results()
    old = Side("run", "artists-0a1b2c", spec(), plan, results, {"artist": ["Zoë", "noise"]}, ["a", "b"])
    new = Side("run", "artists-ffffff", changed, other, moved(results), {"artist": ["noise", "new"]}, ["b", "c"])
    return diff(old, new)


def hostile() -> Diff:
    sides = []
    for i, names in enumerate((HOSTILE, (*HOSTILE[:8], "\x1b[2Jnew"))):
        ranked = tuple(contributor(name, k + 1, (1.0 + i) / (k + 1), 0.01) for k, name in enumerate(names))
        games = (game(ranked, grouping="\x1b[2Jg"), game(ranked, utility=HOSTILE[i]))
        told = {"run": HOSTILE[0], "fidelity": HOSTILE[5], "games": games}
        plan = hostile_plan().model_copy(update={"plan_id": HOSTILE[1], "inputs": (), "groupings": ()})
        sides.append(
            Side(
                "record",
                HOSTILE[i],
                {name: [{"name": name, "x": HOSTILE[i]}] for name in HOSTILE} | {"seed": HOSTILE[i]},
                plan if i else hostile_plan(),
                peaceful_results().model_copy(update=told),
                {HOSTILE[5]: HOSTILE[i:]},
                HOSTILE[1 - i :],
                (HOSTILE[5],),
            )
        )
    return diff(*sides)


@pytest.mark.parametrize(("name", "found"), [("peaceful", peaceful()), ("hostile", hostile())])
def test_golden(name: str, found: Diff) -> None:
    text = shown(found)
    assert max(map(cell_len, text.splitlines())) <= 80
    assert all(character.isprintable() or character == "\n" for character in text)
    golden(GOLDEN / f"{name}-diff.txt", text)


def test_as_many_contributors_as_asked_for() -> None:
    text = shown(hostile(), top=2)
    assert "6 contributors more, not shown" in text


def test_a_game_in_which_nobody_moved_shows_a_few() -> None:
    ranked = [tuple(contributor(f"c{i}", i + 1, 1.0 + k * i / 1000, 0.5) for i in range(20)) for k in (0, 1)]
    results = [peaceful_results().model_copy(update={"games": (game(rows),)}) for rows in ranked]
    sides = [Side("run", "r", {}, results=one) for one in results]
    text = shown(diff(*sides), top=10)
    assert "0 of 20 contributors moved beyond the 90% interval" in text
    assert [f"c{i} " in text for i in (19, 18, 17, 16)] == [True, True, True, False]
    assert "17 contributors more, not shown" in text


def test_equals_are_told_in_a_line() -> None:
    one = Side("run", "r", spec(), peaceful_plan(), peaceful_results())
    ending = "2 games with the same values: artist / aesthetics / image, label / quality / prompt"
    assert " ".join(shown(diff(one, one)).split()).endswith(f"Nothing that matters to results differs. {ending}")
    renamed = Side("run", "r", spec(name="x"), peaceful_plan(), peaceful_results())
    assert "Nothing that matters to results differs" in shown(diff(one, renamed))


def test_more_lines_than_anyone_reads_are_counted() -> None:
    sides = [Side("spec", "s", {f"k{i}": value for i in range(5_000)}) for value in (0, 1)]
    text = shown(diff(*sides))
    assert "4,900 more, not shown" in text
    assert len(text.splitlines()) < 120
