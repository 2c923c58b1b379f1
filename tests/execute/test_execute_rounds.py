"""Adaptive budgets: rounds end when a rule holds, and a run that was stopped anywhere ends in the same bytes."""

import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surrogateshap import api
from surrogateshap.errors import InterruptedRun, SpecError
from surrogateshap.events import Event, RankingUpdated, StageFinished, StageProgress
from surrogateshap.execute.workshop import Workshop
from surrogateshap.plan.compile import compile_spec
from surrogateshap.plan.explain import explain
from surrogateshap.plan.pool import build_pool
from surrogateshap.plan.rounds import courses, pilot_counts
from surrogateshap.record.results import GameResult
from surrogateshap.store import Store
from tests.tiny import SPEC, Project, run_files

SMALL: dict[str, Any] = {
    "utility": [SPEC["utility"][0]],
    "budget.images_per_contributor": 40,
    "sampling.steps": 2,
    "execution.batch_size": 32,
}
ONE: dict[str, Any] = SMALL | {
    "proxy.kind": "prompt",
    "contributors": SPEC["contributors"] | {"grouping": SPEC["contributors"]["grouping"][:1]},
}


def width(game: GameResult) -> float:
    return max(row.high - row.low for row in game.contributors) / max(abs(row.value) for row in game.contributors)


def widths(project: Project, changes: dict[str, Any], store: Path) -> list[float]:
    """Widest intervals of a run with its whole budget."""
    return [width(game) for game in project.apply(changes | {"budget.stop_when": None}, store=store).games]


def test_it_stops_at_an_interval_width_in_every_game_of_both_proxies(tiny: Project, tmp_path: Path) -> None:
    wanted = 1.1 * max(widths(tiny, SMALL, tmp_path / "even"))
    rule = {"budget.stop_when": {"interval_width": wanted}}
    seen: list[Event] = []
    results = tiny.apply(SMALL | rule, emit=seen.append)
    assert [one.proxy for one in results.stopped] == ["prompt", "image"]
    assert {game.grouping for game in results.games} == {"owner", "region"}
    assert any(one.images < one.at_most for one in results.stopped)
    for one in results.stopped:
        games = [game for game in results.games if game.proxy == one.proxy]
        assert {game.images for game in games} == {one.images}
        assert one.at_most == 200 + 40
        assert one.rule == f"no interval is wider than {wanted:.4g} of the largest value"
        assert all(width(game) <= wanted for game in games)
    assert any(isinstance(event, RankingUpdated) and event.provisional for event in seen)
    ended = [event.stage for event in seen if isinstance(event, StageFinished)]
    assert len(ended) == len(set(ended))
    for one in results.stopped:
        progress = [event for event in seen if isinstance(event, StageProgress)]
        last = [event for event in progress if event.stage == f"generate:{one.proxy}"][-1]
        assert last.done == last.total == one.images
    files = run_files(tiny.store, results.run)
    assert not api.plan(tiny.folder / "spec.toml").pending
    assert tiny.apply(SMALL | rule) == results
    assert run_files(tiny.store, results.run) == files
    assert api.verify(tiny.store / "runs" / results.run / "record.json").holds


def test_the_budget_bounds_it(tiny: Project) -> None:
    results = tiny.apply(ONE | {"budget.stop_when": {"interval_width": 1e-6}})
    (one,) = results.stopped
    assert (one.images, one.at_most, one.rule) == (240, 240, None)
    assert one.rounds == 5  # of 60, 90, 135, 203 and 240 images
    assert results.games[0].images == 240


def test_a_run_that_is_stopped_again_and_again_takes_the_same_rounds(
    tiny: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surrogateshap.execute.progress._TICK", 0.0)
    changes = ONE | {"budget.images_per_contributor": 20, "proxy.kind": ["prompt", "image"], "execution.batch_size": 16}
    spec = tiny.spec(changes | {"budget.stop_when": [{"interval_width": 1e-6}]})
    whole = api.apply(spec, store=tmp_path / "whole")
    assert {one.rounds for one in whole.stopped} == {3}
    results, links = None, 0
    while results is None:
        stop, count = threading.Event(), [0]

        def emit(event: Event, stop: threading.Event = stop, count: list[int] = count) -> None:
            count[0] += isinstance(event, StageProgress | RankingUpdated)
            if count[0] == 3:
                stop.set()

        try:
            results = api.apply(spec, emit=emit, stop=stop)
        except InterruptedRun:
            links += 1
            assert api.plan(spec).pending
    assert links >= 5
    assert results == whole
    assert run_files(tiny.store, whole.run) == run_files(tmp_path / "whole", whole.run)


def test_rules_compose(tiny: Project, tmp_path: Path) -> None:
    """All keys of a rule must hold, and any rule of a list."""
    wanted = 1.5 * max(widths(tiny, ONE, tmp_path / "even"))
    easy, never = {"interval_width": wanted}, {"interval_width": 1e-6}

    def ended(rule: Any) -> tuple[int, str | None]:
        (one,) = tiny.apply(ONE | {"budget.stop_when": rule}).stopped
        return one.images, one.rule

    images, words = ended(easy)
    assert images < 240
    assert words is not None
    assert ended(never | {"gpu_hours": 1e-9}) == (240, None)
    assert ended(easy | {"gpu_hours": 1e9}) == (240, None)
    assert ended([never, {"stable_top": 5}])[1] == "5 contributors are surely the first"
    assert ended([never | {"gpu_hours": 1e9}, easy])[1] == words
    assert ended(easy | {"stable_top": 5})[1] == f"{words} and 5 contributors are surely the first"


def test_hours_stop_it_and_are_remembered(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is what the images took, in whichever attempt; the pilot is always finished."""
    ticks = [0.0]
    monkeypatch.setattr("surrogateshap.execute.assembly.time.monotonic", lambda: ticks[0])
    make = Workshop.make

    def slow(self: Workshop, items: Any) -> Any:
        ticks[0] += 36.0
        return make(self, items)

    monkeypatch.setattr(Workshop, "make", slow)
    changes = ONE | {"execution.batch_size": 8, "budget.stop_when": {"gpu_hours": 0.1}}  # ten shards
    stop, count = threading.Event(), [0]

    def emit(event: Event) -> None:
        if isinstance(event, StageProgress) and event.stage == "generate:prompt":
            count[0] += 1
            if count[0] == 9:
                stop.set()

    monkeypatch.setattr("surrogateshap.execute.progress._TICK", 0.0)
    with pytest.raises(InterruptedRun):
        tiny.apply(changes, emit=emit, stop=stop)
    results = tiny.apply(changes)
    (one,) = results.stopped
    assert one.rule == "0.1 GPU-hours are spent"
    assert one.images < 240
    assert ticks[0] == 360
    files = run_files(tiny.store, results.run)
    (tiny.store / "runs" / results.run / "record.json").unlink()
    assert api.plan(tiny.folder / "spec.toml").stages[0].state == "cached"
    assert tiny.apply(changes) == results
    assert run_files(tiny.store, results.run) == files
    other = tiny.apply(changes | {"intervals.level": 0.5})  # the same images took the same time
    assert [game.images for game in other.games] == [one.images]
    assert ticks[0] == 360

    (pilot,) = tiny.apply(changes | {"seed": 5, "budget.stop_when": {"gpu_hours": 1e-9}}).stopped
    assert (pilot.rounds, pilot.rule) == (1, "1e-09 GPU-hours are spent")


def test_a_grown_pool_begins_with_the_former_one(tiny: Project) -> None:
    for kind in ("prompt", "image"):
        compiled = compile_spec(tiny.spec(SMALL | {"proxy.kind": kind}))
        (pool,) = compiled.pools
        assert pool.request is not None
        manifest = compiled.checked.manifest
        rounds = [pilot_counts(pool.request, manifest)]
        assert (rounds[0] <= pool.counts).all()
        assert (rounds[0][pool.counts > 0] >= np.minimum(2, pool.counts[pool.counts > 0])).all()
        rounds += [rounds[0] + 1, rounds[0] + np.arange(len(rounds[0])) + 1]
        pools = [build_pool(pool.request, manifest, rounds[: n + 1]) for n in range(3)]
        for smaller, larger in pairwise(pools):
            assert larger.keys[: len(smaller.keys)] == smaller.keys
        assert pools[2].counts.tolist() == rounds[2].tolist()
        at_once = build_pool(pool.request, manifest, rounds[2:])
        assert sorted(at_once.keys) == sorted(pools[2].keys)
        assert build_pool(pool.request, manifest, [pool.counts]).keys == pool.keys


def test_the_plan_counts_at_most(tiny: Project) -> None:
    rule = {"budget.stop_when": [{"interval_width": 0.25, "stable_top": 1}, {"gpu_hours": 2}]}
    plan = tiny.plan(SMALL | rule)
    assert plan.stops_when == (
        "no interval is wider than 0.25 of the largest value and 1 contributor is surely the first",
        "2 GPU-hours are spent",
    )
    text = explain(plan)
    assert "at most 240 images" in text
    assert "Stops before that when no interval is wider than 0.25 of the largest value and 1" in " ".join(text.split())
    assert "or 2 GPU-hours are spent" in " ".join(text.split())
    plain = tiny.plan(SMALL)
    assert plain.stops_when == ()
    assert "at most" not in explain(plain)


def test_decisions_are_read_not_made_again(tiny: Project) -> None:
    spec = tiny.spec(ONE | {"budget.stop_when": {"interval_width": 1e-6}})
    api.apply(spec)
    compiled = compile_spec(spec)
    with Store.open(tiny.store) as store:
        (one,) = courses(compiled, store).values()
        assert one.stopped
        assert [int(counts.sum()) for counts in one.rounds] == sorted({int(counts.sum()) for counts in one.rounds})
        (pilot,) = courses(compiled, None).values()
        assert not pilot.stopped
        assert (pilot.rounds[0] == one.rounds[0]).all()


def test_fresh_images_can_not_grow(tiny: Project) -> None:
    changes = {"sampling.mode": "fresh", "budget": {"stop_when": {"interval_width": 0.1}}}
    with pytest.raises(SpecError, match=r"budget\.stop_when: needs a pool that grows"):
        tiny.plan(changes)
