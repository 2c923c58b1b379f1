"""Runs with every estimator: what they find, what they warn of, what they share out, and the tables they leave."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from surrogateshap import api
from surrogateshap.estimate import ESTIMATORS, exact_shapley, paper
from surrogateshap.execute import fit
from surrogateshap.plan import compile as compiling
from surrogateshap.plan.coalitions import Choice
from surrogateshap.record.results import UNCORRECTED, Results
from tests.tiny import MIXES, SPEC, Project, game, run_files, values

SMALL: dict[str, Any] = {
    "proxy.kind": "prompt",
    "utility": SPEC["utility"][:1],
    "contributors": SPEC["contributors"] | {"grouping": SPEC["contributors"]["grouping"][:1]},
    "sampling.steps": 2,
}
OWNERS = list(MIXES)
GAME = "owner / right / prompt"


@pytest.fixture(scope="module")
def project(tiny_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tiny_master, tmp_path_factory.mktemp("estimators") / "project")


@pytest.fixture(scope="module")
def truth(project: Project) -> Results:
    return project.apply(SMALL | {"estimator": {"interactions": True}, "payout": {"amount": 1000.0}})


def coalition_table(project: Project, results: Results, name: str = "coalitions-owner") -> pl.DataFrame:
    return pl.read_parquet(project.store / "runs" / results.run / f"{name}.parquet")


@pytest.mark.parametrize("kind", [name for name in ESTIMATORS if name != "exact"])
def test_every_estimator_by_name(project: Project, truth: Results, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "surrogateshap_paper":
        pytest.importorskip("xgboost")
        monkeypatch.setattr(paper, "TREES", 20)
    changes = SMALL | {"estimator": {"kind": kind}}
    if kind != "leave_one_out":
        changes |= {"budget.coalitions": 24}
    assert all(stage.state != "new" for stage in project.plan(changes).stages if stage.kind in ("generate", "encode"))
    results = project.apply(changes)
    found, exact = game(results, GAME), values(truth, GAME)
    # 24 draws may be all that there are, which the surrogate says.
    assert found.estimator == kind or (kind, found.estimator) == ("surrogate", "exact")
    total = sum(row.value for row in found.contributors)
    gap = found.efficiency_gap if kind in UNCORRECTED else 0
    assert total + gap == pytest.approx(found.v_full - found.v_empty, abs=1e-9)
    assert bool(found.warnings) == (kind in UNCORRECTED)
    report = api.verify(project.store / "runs" / results.run / "record.json")
    assert report.holds, report
    assert all(row.sd_images > 0 for row in found.contributors)

    frame = coalition_table(project, results)
    names, masks = OWNERS, frame.select(OWNERS).to_numpy()
    level = frame["value.right.prompt"].to_numpy()
    assert frame.height == found.coalitions + 1
    assert (masks[0].any(), masks[1].all()) == (False, True)
    by_mask = dict(zip(map(bytes, masks), level, strict=True))
    if kind == "leave_one_out":
        for i, name in enumerate(names):
            lost = found.v_full - by_mask[bytes(~np.eye(5, dtype=bool)[i])]
            assert values(results, GAME)[name] == pytest.approx(lost, abs=1e-12)
    else:
        spread = max(exact.values()) - min(exact.values())
        for name, value in values(results, GAME).items():
            assert value == pytest.approx(exact[name], abs=spread)
    # The table that a run leaves gives what the run found.
    path = project.store / "runs" / results.run / "coalitions-owner.parquet"
    held = {row.name: row.rows or 0 for row in found.contributors}
    again = api.estimate_shapley(
        path, empty=None, full=None, value="value.right.prompt", rows=held, estimator=kind, seed=3
    )
    for row in again.contributors:
        assert row.value == pytest.approx(values(results, GAME)[row.name], abs=1e-9)


def test_interactions_of_an_exact_game_are_those_of_the_definition(project: Project, truth: Results) -> None:
    found = game(truth, GAME)
    assert found.interactions is not None
    assert len(found.interactions) == 10
    assert [abs(pair.value) for pair in found.interactions] == sorted(
        (abs(pair.value) for pair in found.interactions), reverse=True
    )
    frame = coalition_table(project, truth)
    index = frame.select(OWNERS).to_numpy() @ (1 << np.arange(5))
    level = frame["value.right.prompt"].to_numpy()[np.argsort(index)]
    for pair in found.interactions:
        i, j = OWNERS.index(pair.a), OWNERS.index(pair.b)
        without = level.reshape(-1, 2, 2**i)[:, 0].reshape(-1)
        joined = level.reshape(-1, 2, 2**i)[:, 1].reshape(-1)
        gains = exact_shapley(joined - without, 4)
        assert pair.value == pytest.approx(gains[j - (j > i)], abs=1e-12)


def test_only_the_strongest_interactions_are_kept(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = game(project.apply(SMALL | {"estimator": {"interactions": True}}), GAME)
    monkeypatch.setattr(fit, "MOST_PAIRS", 4)
    changes = SMALL | {"estimator": {"interactions": True}, "intervals.level": 0.8}
    cut = game(project.apply(changes), GAME)
    assert cut.interactions == (whole.interactions or ())[:4]
    assert cut.warnings == ("Of 10 interactions the 4 strongest are kept.",)


def test_shares_for_payment(project: Project, truth: Results) -> None:
    found = game(truth, GAME)
    assert found.payout is not None
    shares = {row.name: row for row in found.payout.shares}
    assert [row.name for row in found.payout.shares] == [row.name for row in found.contributors]
    assert sum(round((row.amount or 0) * 100) for row in shares.values()) == 100_000
    positive = {row.name: max(row.value, 0) for row in found.contributors}
    for name, row in shares.items():
        assert row.share == pytest.approx(positive[name] / sum(positive.values()), abs=1e-9)
        assert row.low <= row.share <= row.high
    assert shares["basil"].share == shares["basil-copy"].share  # which the prompt proxy can't tell apart
    assert sum(row.share for row in shares.values()) == pytest.approx(1, abs=1e-15)
    plan = project.plan(SMALL | {"estimator": {"interactions": True}, "payout": {"amount": 1001.0}})
    assert {stage.id for stage in plan.stages if stage.state != "cached"} == {"fit", "record"}
    assert game(project.apply(SMALL), GAME).payout is None


def test_nobody_is_paid_where_nobody_is_worth_anything(project: Project) -> None:
    changes = SMALL | {"empty": {"kind": "value", "value": 1.0}, "payout": {"bound": "low"}}
    found = game(project.apply(changes), GAME)
    assert max(row.low for row in found.contributors) <= 0
    assert found.payout is None
    assert found.warnings == ("No shares for payment: no lower end of an interval is above zero.",)


@pytest.mark.parametrize("kind", ["permutation", "leave_one_out"])
def test_fresh_images_for_other_coalitions(project: Project, kind: str) -> None:
    budget = {"images_per_coalition": 6} | ({"coalitions": 16} if kind == "permutation" else {})
    changes = SMALL | {"sampling.mode": "fresh", "budget": budget, "estimator": {"kind": kind}}
    results = project.apply(changes)
    (found,) = results.games
    assert found.estimator == kind
    total = sum(row.value for row in found.contributors)
    gap = found.efficiency_gap if kind in UNCORRECTED else 0
    assert total + gap == pytest.approx(found.v_full - found.v_empty, abs=1e-9)
    assert project.apply(changes) == results
    assert len(run_files(project.store, results.run)) == 6


def test_games_of_one_grouping_with_several_numbers_of_coalitions(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer coalitions are the first of more: one table, with empty cells; all coalitions have a table of their own."""
    sizes = iter([Choice("surrogate", 17, "a"), Choice("surrogate", 9, "b"), Choice("exact", 32, "c")])
    monkeypatch.setattr(compiling, "choose", lambda *_: next(sizes))
    results = project.apply(SMALL | {"utility": SPEC["utility"][:3], "estimator": {"trees": 5}})
    monkeypatch.undo()
    assert [(found.estimator, found.coalitions) for found in results.games] == [
        ("surrogate", 17),
        ("surrogate", 9),
        ("exact", 32),
    ]
    drawn, every = (coalition_table(project, results, f"coalitions-owner-{how}") for how in ("drawn", "all"))
    assert (drawn.height, every.height) == (18, 32)
    assert [column for column in drawn.columns if "value" in column] == ["value.right.prompt", "value.tail.prompt"]
    assert drawn["value.right.prompt"].null_count() == 0
    assert drawn["value.tail.prompt"].is_null().to_list() == [False] * 10 + [True] * 8
    path = project.store / "runs" / results.run / "coalitions-owner-drawn.parquet"
    for utility, size in (("right", 16), ("tail", 8)):
        found = api.estimate_shapley(path, empty=None, full=None, value=f"value.{utility}.prompt", estimator="kernel")
        assert found.coalitions == size
        assert found.v_full == game(results, f"owner / {utility} / prompt").v_full
    assert api.verify(path.with_name("record.json")).holds
