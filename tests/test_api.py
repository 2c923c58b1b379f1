"""The door, on whole runs of a tiny project: what comes out, of whatever goes in."""

import json
import subprocess
import sys
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import surrogateshap
from surrogateshap import api
from surrogateshap.errors import RunError, SpecError
from surrogateshap.events import Event, RankingUpdated, RunStarted, StageProgress, Warned
from surrogateshap.record.results import GameResult, Results
from tests.samples import HOSTILE
from tests.tiny import MIXES, SPEC, Project, game, rows, run_files, values

ONE = SPEC["contributors"] | {"grouping": SPEC["contributors"]["grouping"][:1]}


def sums_up(result: GameResult) -> bool:
    total = sum(row.value for row in result.contributors)
    return total == pytest.approx(result.v_full - result.v_empty, abs=1e-9)


def table(project: Project, results: Results, name: str = "coalitions-owner") -> pl.DataFrame:
    return pl.read_parquet(project.store / "runs" / results.run / f"{name}.parquet")


@pytest.fixture(scope="module")
def finished(tiny_master: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Results, list[Event]]:
    """A project whose run is done. Don't change it."""
    project = Project(tiny_master, tmp_path_factory.mktemp("finished") / "project")
    events: list[Event] = []
    return project, project.apply(emit=events.append), events


Finished = tuple[Project, Results, list[Event]]


def test_python_use(finished: Finished) -> None:
    project, results, _ = finished
    spec = project.folder / "spec.toml"
    assert callable(surrogateshap.plan)
    assert surrogateshap.validate(spec).name == "tiny"
    assert surrogateshap.plan(spec).run == results.run
    assert surrogateshap.apply(spec) == results
    assert surrogateshap.show(str(spec)) == results
    assert surrogateshap.verify(project.store / "runs" / results.run / "record.json").holds


def test_values_are_those_of_brute_force_on_the_coalition_table(finished: Finished) -> None:
    project, results, _ = finished
    frame = table(project, results)
    owners = tuple(MIXES)
    for result in results.games:
        if result.grouping != "owner":
            continue
        column = f"value.{result.utility}.{result.proxy}"
        v = {frozenset(owner for owner in owners if row[owner]): row[column] for row in frame.iter_rows(named=True)}
        assert len(v) == 32
        assert v[frozenset()] == result.v_empty
        assert v[frozenset(owners)] == result.v_full
        for owner in owners:
            rest = [other for other in owners if other != owner]
            expected = sum(
                (v[frozenset((*s, owner))] - v[frozenset(s)]) / (5 * comb(4, size))
                for size in range(5)
                for s in combinations(rest, size)
            )
            assert values(results, str(f"owner / {result.utility} / {result.proxy}"))[owner] == pytest.approx(
                expected, abs=1e-12
            )
        assert sums_up(result)


def test_rankings_are_in_order_and_inside_their_intervals(finished: Finished) -> None:
    for result in finished[1].games:
        shown = [row.value for row in result.contributors]
        assert shown == pytest.approx(sorted(shown, reverse=True), abs=1e-12)
        for row in result.contributors:
            assert row.low <= row.value <= row.high
            assert row.rank_low <= row.rank <= row.rank_high
            assert row.sd_coalitions == 0
        assert result.contributors[0].rank == 1
        assert result.top == min(5, len(result.contributors))
        assert sum(row.in_top for row in result.contributors) == pytest.approx(result.top)
    assert any(row.sd_images > 0 for result in finished[1].games for row in result.contributors)


def test_the_prompt_proxy_treats_equal_labels_equally_and_the_image_proxy_does_not(finished: Finished) -> None:
    results = finished[1]
    for utility in ("right", "tail", "quality", "variety"):
        prompt, image = (values(results, f"owner / {utility} / {proxy}") for proxy in ("prompt", "image"))
        assert prompt["basil"] == pytest.approx(prompt["basil-copy"], abs=1e-12)
        assert image["basil"] != image["basil-copy"]
    assert game(results, "owner / right / prompt").indistinguishable == (("basil", "basil-copy"),)


def test_one_pool_serves_every_game(finished: Finished) -> None:
    _, results, events = finished
    assert len(results.games) == 20
    assert {result.images for result in results.games} == {72}
    made = {event.stage: event.done for event in events if isinstance(event, StageProgress)}
    # The 32 unconditional images are made once, for the first pool.
    assert made["generate:prompt"] == made["generate:image"] == made["encode:image:eye"] == 72
    assert made["evaluate"] == made["fit"] == 20


def test_events_of_a_run(finished: Finished) -> None:
    project, results, events = finished
    stored, status = api.follow(results.run, store=project.store)
    assert status == "done"
    first = stored[: len(events)]
    assert [event.model_copy(update={"at": 0.0}) for _, event in first] == [
        event.model_copy(update={"at": 0.0}) for event in events
    ]
    numbers = [number for number, _ in stored]
    assert numbers == sorted(set(numbers))
    middle = numbers[len(numbers) // 2]
    assert api.follow(results.run, store=project.store, after=middle)[0] == [(n, e) for n, e in stored if n > middle]
    assert api.follow(results.run, store=project.store, after=numbers[-1])[0] == []

    started = events[0]
    assert isinstance(started, RunStarted)
    assert not started.resumed
    assert len(started.games) == 20
    assert {event.message for event in events if isinstance(event, Warned)} == set(project.plan().warnings)
    rankings = [event for event in events if isinstance(event, RankingUpdated)]
    provisional = [event for event in rankings if event.provisional]
    assert {event.images < 72 for event in provisional} == {True}
    assert {event.game.proxy for event in provisional} == {"prompt", "image"}
    final = [event for event in rankings if not event.provisional]
    assert [(event.game.grouping, event.game.utility, event.game.proxy) for event in final] == [
        (result.grouping, result.utility, result.proxy) for result in results.games
    ]
    assert [row.value for row in final[0].contributors] == [row.value for row in results.games[0].contributors]


def test_showing_by_spec_by_name_and_by_a_beginning_of_it(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    project, results, _ = finished
    monkeypatch.chdir(project.folder)
    for target in ("spec.toml", results.run, results.run[:9]):
        assert api.show(target) == results
    monkeypatch.chdir(project.folder.parent)
    assert api.show(results.run) == results
    assert api.show("project/spec.toml") == results
    for target in ("tinier", ""):
        with pytest.raises(RunError, match="no run"):
            api.show(target)
    with pytest.raises(SpecError, match="there is no such file"):
        api.show("nothing.toml")


def test_showing_an_earlier_version(tiny: Project) -> None:
    spec = tiny.spec({"budget.images_per_contributor": 4})
    with pytest.raises(RunError, match="has no results yet") as caught:
        api.show(str(spec))
    assert "surrogateshap apply" in caught.value.remedy
    results = api.apply(spec)
    assert api.show(str(spec)) == results
    tiny.spec({"seed": 4})
    with pytest.raises(RunError, match="as it stands, has no results yet") as caught:
        api.show(str(spec))
    assert f"surrogateshap show {results.run}" in caught.value.remedy
    plan = tiny.folder / "plan.json"
    tiny.spec({"budget.images_per_contributor": 4})
    api.save_plan(api.plan(spec), plan)
    assert api.show(str(plan)) == results
    assert api.apply(plan) == results


def test_results_of_inputs_that_moved_are_not_shown(tiny: Project) -> None:
    spec = tiny.spec({"budget.images_per_contributor": 4})
    results = api.apply(spec)
    manifest = tiny.folder / "data.parquet"
    frame = pl.read_parquet(manifest)
    frame.reverse().write_parquet(manifest)
    with pytest.raises(RunError, match=r"has no results yet \(manifest changed\)") as caught:
        api.show(str(spec))
    assert results.run in caught.value.remedy
    frame.write_parquet(manifest)
    api.apply(spec)
    assert api.show(str(spec)).games == results.games


def test_a_grouping_that_the_pool_is_too_small_for(tiny: Project) -> None:
    frame = pl.read_parquet(tiny.folder / "data.parquet")
    frame.with_row_index("number").write_parquet(tiny.folder / "data.parquet")
    grouping = [{"name": "owner", "by": ["owner"]}, {"name": "each", "by": ["number"]}]
    spec = tiny.spec({"contributors.grouping": grouping, "budget.images_per_contributor": 4})
    with pytest.raises(SpecError, match=r"contributors.grouping\[1\]: \d+ contributors get no image of the image"):
        api.plan(spec)


def test_a_record_holds_until_a_byte_flips(finished: Finished, tmp_path: Path) -> None:
    project, results, _ = finished
    files = run_files(project.store, results.run)
    assert set(files) == {
        "coalitions-owner.parquet",
        "coalitions-region.parquet",
        "plan.json",
        "pool-image.parquet",
        "pool-prompt.parquet",
        "record.json",
        "results.json",
        "spec.toml",
    }
    assert Results.model_validate_json(files["results.json"]) == results
    for name in [None, *files]:
        folder = tmp_path / str(name)
        folder.mkdir()
        for other, data in files.items():
            damaged = bytearray(data)
            if other == name:
                damaged[len(data) // 2] ^= 1
            (folder / other).write_bytes(damaged)
        try:
            holds = api.verify(folder / "record.json").holds
        except surrogateshap.errors.VerificationError:
            holds = False
        assert holds == (name is None)
    assert str(project.folder).encode() not in b"".join(files.values())


def test_the_same_spec_elsewhere_gives_the_same_bytes(finished: Finished, tiny: Project) -> None:
    project, results, _ = finished
    assert tiny.apply() == results
    assert run_files(tiny.store, results.run) == run_files(project.store, results.run)


def test_hostile_names_go_the_whole_way(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*HOSTILE, "value.right.image", "value.right.image_"]
    frame = rows()
    owner = [names[i % len(names)] for i in range(60)]
    tiny.manifest(frame.with_columns(owner=pl.Series(owner)))
    changes = {"contributors": ONE, "utility": SPEC["utility"][:1], "budget.images_per_contributor": 4}
    spec = tiny.spec(changes)
    text = api.explain(api.plan(spec))
    assert all(character.isprintable() or character == "\n" for character in text)
    results = api.apply(spec)
    for result in results.games:
        assert {row.name for row in result.contributors} == set(names)
        assert sums_up(result)
    frame = table(tiny, results)
    assert frame.width == len(set(names)) + 2
    assert [kind for kind in frame.dtypes if kind == pl.Boolean] == [pl.Boolean] * len(set(names))
    assert api.verify(tiny.store / "runs" / results.run / "record.json").holds
    code = "import sys; from surrogateshap.cli import main; sys.exit(main(sys.argv[1:]))"
    for arguments in (["show", str(spec)], ["show", str(spec), "--format", "md"], ["apply", str(spec), "--yes"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            check=True,
            cwd=Path(__file__).parents[1],
        )
        for stream in (done.stdout.decode(), done.stderr.decode()):
            assert "\x1b" not in stream
            assert "\u202e" not in stream


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("mode", ["pool", "fresh"])
def test_few_contributors(tiny: Project, n: int, mode: str) -> None:
    tiny.manifest(rows().with_columns(owner=(pl.int_range(60) % n).cast(pl.String)))
    budget = {"images_per_contributor": 8} if mode == "pool" else {"images_per_coalition": 12, "coalitions": 8}
    results = tiny.apply({"sampling.mode": mode, "budget": budget, "contributors": ONE, "utility": SPEC["utility"][:3]})
    for result in results.games:
        assert len(result.contributors) == n
        assert sums_up(result)
        assert result.surrogate is None
    assert api.verify(tiny.store / "runs" / results.run / "record.json").holds


def test_many_contributors_take_the_surrogate_and_stay_efficient(tiny: Project) -> None:
    tiny.manifest(rows().with_columns(owner=(pl.int_range(60) % 16).cast(pl.String)))
    changes: dict[str, Any] = {
        "contributors": ONE,
        "utility": SPEC["utility"][:2],
        "budget": {"images_per_contributor": 4, "coalitions": 80},
        "estimator": {"trees": 10},
    }
    results = tiny.apply(changes)
    for result in results.games:
        assert (result.estimator, result.coalitions, len(result.contributors)) == ("surrogate", 81, 16)
        assert result.surrogate is not None
        assert result.surrogate.trees == 10
        assert sums_up(result)
        assert all(row.sd_coalitions > 0 for row in result.contributors)
    assert table(tiny, results).height == 82
    assert tiny.apply(changes | {"execution": {"batch_size": 16}}) == results


def test_fresh_images_for_every_coalition(tiny: Project) -> None:
    changes: dict[str, Any] = {
        "sampling.mode": "fresh",
        "budget": {"images_per_coalition": 12, "coalitions": 20},
        "utility": SPEC["utility"][:3],
        "estimator": {"trees": 10},
    }
    results = tiny.apply(changes)
    assert {(result.grouping, result.proxy) for result in results.games} == {
        (grouping, proxy) for grouping in ("owner", "region") for proxy in ("prompt", "image")
    }
    for result in results.games:
        assert sums_up(result)
    files = run_files(tiny.store, results.run)
    assert {name for name in files if name.startswith("coalitions-")} == {
        f"coalitions-{grouping}-{proxy}-{grouping}.parquet"
        for grouping in ("owner", "region")
        for proxy in ("prompt", "image")
    }
    frame = table(tiny, results, "coalitions-owner-image-owner")
    assert frame.height == 22
    masks = frame.select(list(MIXES)).to_numpy()
    assert (masks[0::2] != masks[1::2]).all()  # ∅ and N are a pair too
    assert tiny.apply(changes) == results
    grown = tiny.plan(changes | {"budget": {"images_per_coalition": 12, "coalitions": 40}})
    states = {stage.id: stage.state for stage in grown.stages}
    assert states["generate:image-owner"] == states["generate:prompt-owner"] == "partial"


def test_a_given_value_of_nobody(tiny: Project) -> None:
    utilities = SPEC["utility"][:2]
    changes = {"utility": utilities, "empty": {"kind": "value", "value": {"right": 0.125, "tail": -1.0}}}
    results = tiny.apply(changes)
    for result in results.games:
        assert result.v_empty == {"right": 0.125, "tail": -1.0}[result.utility]
        assert result.images == 40
        assert sums_up(result)
    row = table(tiny, results).row(0, named=True)
    assert row["value.tail.image"] == -1.0


def test_automatic_proxy(tiny: Project) -> None:
    results = tiny.apply({"proxy.kind": "auto", "utility": SPEC["utility"][:1]})
    assert {result.proxy for result in results.games} == {"image"}


def test_every_utility_of_a_spec_runs(tiny: Project) -> None:
    utilities = [
        {"name": "a", "kind": "score", "statistic": {"above": 0.4}},
        {"name": "b", "kind": "score", "score": {"class": "three"}},
        {"name": "c", "kind": "rate", "class": 3},
        {"name": "d", "kind": "pairwise"},
        {"name": "e", "kind": "pairwise", "metric": "cosine"},
        {"name": "f", "kind": "frechet", "reference": "other.parquet"},
        {"name": "g", "kind": "kernel", "reference": "other.parquet"},
    ]
    rows().head(20).write_parquet(tiny.folder / "other.parquet")
    results = tiny.apply({"utility": utilities, "contributors": ONE, "proxy.kind": "image", "intervals.top": 2})
    assert [result.utility for result in results.games] == list("abcdefg")
    assert all(sums_up(result) for result in results.games)
    assert all(
        np.isfinite([row.value, row.low, row.high]).all() for result in results.games for row in result.contributors
    )
    assert len({result.v_full for result in results.games}) == 7
    for result in results.games:
        probable = [row.in_top or 0.0 for row in result.contributors]
        assert result.top == 2
        assert sum(probable) == pytest.approx(2)
        assert probable[0] > probable[-1]


def test_schema_and_template(tmp_path: Path) -> None:
    assert api.schema()["properties"]["name"]
    (tmp_path / "a.toml").write_text(api.template())
    assert api.validate(tmp_path / "a.toml").name == "my-data"
    json.dumps(api.schema())
