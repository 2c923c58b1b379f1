"""Runs beside retrained coalitions, end to end: in the spec and by `evaluate`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from surrogateshap import api
from surrogateshap.cli import main
from surrogateshap.errors import RunError, SpecError
from surrogateshap.execute import fidelity as module
from surrogateshap.record.results import Results
from tests.test_imports import HEAVY, modules_after
from tests.tiny import OWNERS, SPEC, Project, game, run_files

UTILITIES = SPEC["utility"][:2]
SMALL = {"utility": UTILITIES, "contributors": SPEC["contributors"] | {"grouping": SPEC["contributors"]["grouping"]}}
MEASURED = {**SMALL, "fidelity.anchors": "anchors.csv"}
"""Four games of the anchors' grouping, three of which the anchors say something of."""


def coalitions(project: Project, results: Results) -> pl.DataFrame:
    return pl.read_parquet(project.store / "runs" / results.run / "coalitions-owner.parquet")


def anchors(frame: pl.DataFrame) -> pl.DataFrame:
    """The run's own values of every coalition, twice as large and a little noisy; nothing can be said of `tail`."""
    truth = 0.1 + 2 * frame["value.right.image"] + 0.004 * np.random.default_rng(0).normal(size=len(frame))
    return frame.select(*OWNERS).with_columns(**{"value.right": truth, "value.tail": pl.lit(0.25)})


@pytest.fixture(scope="module")
def plain(tiny_master: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Results]:
    """A project whose run is done without anchors, and a table of them. Don't change it."""
    project = Project(tiny_master, tmp_path_factory.mktemp("fidelity") / "project")
    results = project.apply(SMALL)
    anchors(coalitions(project, results)).write_csv(project.folder / "anchors.csv")
    return project, results


def test_evaluate_measures_and_changes_nothing(plain: tuple[Project, Results]) -> None:
    project, results = plain
    before = run_files(project.store, results.run)
    found = api.evaluate(results.run, project.folder / "anchors.csv", store=project.store)
    assert run_files(project.store, results.run) == before
    assert api.show(results.run, store=project.store) == results
    assert results.fidelity == "not measured"
    assert found.fidelity == "measured on 31 anchors for 2 of 8 games"
    assert [(one.utility, one.proxy, one.fidelity is not None) for one in found.games] == [
        ("right", "prompt", True),
        ("tail", "prompt", False),
        ("right", "image", True),
        ("tail", "image", False),
    ]
    image = game(found, "owner / right / image").fidelity
    assert image is not None
    frame = coalitions(project, results)[1:]
    truth = anchors(coalitions(project, results))["value.right"][1:]
    assert image.spearman.value == pytest.approx(spearmanr(frame["value.right.image"], truth).statistic)
    assert image.spearman.value > 0.95
    assert image.slope == pytest.approx(2, abs=0.1)
    assert sum(part.anchors for part in image.calibration) == image.anchors == 31
    points = [(one.proxy, one.retrained) for one in image.points]
    assert points == list(zip(frame["value.right.image"], truth, strict=True))
    prompt = game(found, "owner / right / prompt").fidelity
    assert prompt is not None
    assert prompt.spearman.value == pytest.approx(spearmanr(frame["value.right.prompt"].round(10), truth).statistic)
    constant = game(found, "owner / tail / image")
    assert constant.warnings == ("Fidelity could not be measured: the retrained values are the same for all anchors.",)


def test_the_gap_is_closed_towards_the_retraining_game(plain: tuple[Project, Results]) -> None:
    project, results = plain
    found = api.evaluate(results.run, project.folder / "anchors.csv", store=project.store)
    for proxy in ("prompt", "image"):
        one = game(found, f"owner / right / {proxy}")
        assert one.fidelity is not None
        closed = one.fidelity.closed
        assert closed is not None
        assert closed.r2.value > 0.9 > closed.proxy_r2
        assert closed.r2.low <= closed.r2.value <= closed.r2.high
        assert {row.name for row in closed.contributors} == set(OWNERS)
        assert all(row.low <= row.value <= row.high and row.rank_low <= row.rank for row in closed.contributors)
        # Both proxies are led to nearly the same values, which are twice those of the image proxy.
        image = {row.name: 2 * row.value for row in game(results, "owner / right / image").contributors}
        values = {row.name: row.value for row in closed.contributors}
        first, second = (np.array([each[name] for name in OWNERS]) for each in (values, image))
        assert np.abs((first - first.mean()) - (second - second.mean())).max() < 0.1 * np.ptp(second)


def test_a_spec_with_anchors_says_so_everywhere(plain: tuple[Project, Results], tmp_path: Path) -> None:
    project, _ = plain
    measured = project.apply({**MEASURED, "fidelity.kind": "fine_tuned"})
    said = "measured on 31 anchors for 2 of 8 games (fine-tuned anchors: biased in level)"
    assert measured.fidelity == said
    folder = project.store / "runs" / measured.run
    record = json.loads((folder / "record.json").read_text())["predicate"]
    assert record["fidelity"] == said
    assert {entry["role"] for entry in record["inputs"]} >= {"anchors", "manifest"}
    summary = {(one["grouping"], one["utility"], one["proxy"]): one["fidelity"] for one in record["games"]}
    assert summary["owner", "right", "image"]["kind"] == "fine_tuned"
    assert summary["owner", "right", "image"]["spearman"] > 0.95
    assert summary["owner", "tail", "image"] is None
    assert any("biased in level" in limit for limit in record["limits"])
    assert not any("not measured" in limit or "was not" in limit for limit in record["limits"])
    assert api.verify(folder).holds
    for kind in ("table", "md", "csv", "parquet", "json"):
        out = tmp_path / f"out.{kind}"
        assert main(["show", measured.run, "--store", str(project.store), "--format", kind, "-o", str(out)]) == 0
        text = pl.read_parquet(out)["fidelity"].str.join("\n")[0] if kind == "parquet" else out.read_text()
        assert ("fine_tuned" if kind == "json" else "fine-tuned anchors: biased in") in text
        if kind in ("csv", "parquet"):
            assert "not measured" in text


def test_fidelity_comes_from_the_store_and_in_the_same_bytes(
    plain: tuple[Project, Results], tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _ = plain
    (tiny.folder / "anchors.csv").write_bytes((project.folder / "anchors.csv").read_bytes())
    first = tiny.apply(MEASURED)
    again = project.apply(MEASURED)
    assert run_files(tiny.store, first.run) == run_files(project.store, again.run)

    def never(*_: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(module, "agreement", never)
    monkeypatch.setattr("surrogateshap.execute.run.measure", never)
    (tiny.store / "runs" / first.run / "record.json").unlink()
    assert tiny.apply(MEASURED) == first
    moved = tiny.plan(MEASURED).stages
    assert all(stage.state == "cached" for stage in moved)


def test_sampled_coalitions_and_fresh_images(plain: tuple[Project, Results], tiny: Project) -> None:
    frame = anchors(coalitions(*plain)).rename({"value.right": "value"}).drop("value.tail")
    frame.write_csv(tiny.folder / "anchors.csv")
    one = {"contributors": SPEC["contributors"] | {"grouping": SPEC["contributors"]["grouping"][:1]}}
    one |= {"utility": UTILITIES[:1], "proxy.kind": "prompt", "fidelity.anchors": "anchors.csv", "estimator.trees": 5}
    sampled = tiny.apply({**one, "estimator.kind": "surrogate", "budget.coalitions": 20})
    assert sampled.fidelity == "measured on 31 anchors for 1 of 1 game"
    fresh = tiny.apply({**one, "sampling.mode": "fresh", "budget": {"coalitions": 12, "images_per_coalition": 4}})
    found = fresh.games[0].fidelity
    assert found is not None
    assert 3 <= found.anchors < 31
    assert f"Only {found.anchors} of 31 anchors are among the coalitions that have fresh images." in found.notes


def test_the_command_prints_a_table_or_json(
    plain: tuple[Project, Results], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, results = plain
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(project.folder)
    project.spec(SMALL)
    command = ["evaluate", "spec.toml", "--against", "anchors.csv"]
    assert main([*command, "--top", "2"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "measured on 31 anchors for 2 of 8 games" in " ".join(text.split())
    assert "Retraining game, from 31 anchors: held-out R²" in text
    assert "…" not in text
    assert main([*command, "--json", "--utility", "right", "-o", "out.json"]) == 0
    found = Results.model_validate_json((project.folder / "out.json").read_text())
    assert [one.utility for one in found.games] == ["right", "right"]
    assert found == api.evaluate(results.run, Path("anchors.csv"), utility="right")
    assert main(["evaluate", "nothing", "--against", "anchors.csv"]) == 6
    assert main([*command, "--grouping", "region"]) == 2
    assert "5 columns of no contributor of the grouping: amber" in capsys.readouterr().err
    assert main([*command, "--utility", "rigth"]) == 2
    assert "none `rigth`" in capsys.readouterr().err
    assert main(["evaluate", "spec.toml", "--against", "none.csv"]) == 2


def test_evaluating_is_light(plain: tuple[Project, Results]) -> None:
    project, _ = plain
    project.spec(SMALL)
    loaded = modules_after(["evaluate", "spec.toml", "--against", "anchors.csv"], project.folder)
    assert loaded.isdisjoint(HEAVY)
    assert "scipy" in loaded


def test_a_run_whose_inputs_moved_is_refused(tiny: Project) -> None:
    results = tiny.apply({**SMALL, "proxy.kind": "prompt"})
    anchors(coalitions(tiny, results).with_columns(pl.col("value.right.prompt").alias("value.right.image"))).write_csv(
        tiny.folder / "anchors.csv"
    )
    assert api.evaluate(results.run, tiny.folder / "anchors.csv", store=tiny.store).games
    tiny.manifest(pl.read_parquet(tiny.folder / "data.parquet").head(59))
    with pytest.raises(RunError, match="manifest: its content changed"):
        api.evaluate(results.run, tiny.folder / "anchors.csv", store=tiny.store)
    (tiny.folder / "spec.toml").unlink()
    with pytest.raises(RunError, match="is not there"):
        api.evaluate(results.run, tiny.folder / "anchors.csv", store=tiny.store)
    with pytest.raises(SpecError):
        api.evaluate(str(tiny.folder / "spec.toml"), tiny.folder / "anchors.csv")
