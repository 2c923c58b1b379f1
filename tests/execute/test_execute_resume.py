"""Whatever is killed at whatever moment, the next `apply` goes on and ends in the same bytes."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surrogateshap import api
from surrogateshap.errors import InterruptedRun, RunError, SpecError
from surrogateshap.events import (
    Event,
    RankingUpdated,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
    StageProgress,
    Warned,
)
from surrogateshap.store import Store
from tests.tiny import SPEC, Project, game, rows, run_files, values

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {
    "utility": SPEC["utility"][:2],
    "contributors": SPEC["contributors"] | {"grouping": SPEC["contributors"]["grouping"][:1]},
    "budget.images_per_contributor": 4,
    "sampling.steps": 2,
    "execution.batch_size": 32,
}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tui")]), "OMP_NUM_THREADS": "1"}


def made(events: list[Event]) -> dict[str, int]:
    """Images, games and so on that an attempt made anew, by stage."""
    started = next(event for event in events if isinstance(event, RunStarted))
    there = {stage.id: stage.cached for stage in started.stages}
    done = {event.stage: event.done for event in events if isinstance(event, StageProgress)}
    return {stage: last - there[stage] for stage, last in done.items() if last > there[stage]}


def test_killed_at_any_step(tiny: Project) -> None:
    command = [
        sys.executable,
        str(Path(__file__).with_name("killed.py")),
        str(tiny.spec(SMALL)),
        str(tiny.folder / "s"),
        "9",
        "24",
    ]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["killed"] >= 8
    assert found["links"] >= 3
    assert len(found["places"]) >= 24
    assert len(set(found["places"])) >= 2
    assert 99 not in found["codes"]
    assert None not in found["codes"]
    assert {found["chain"], *found["resumed"]} == {found["whole"]}
    assert set(json.loads(found["whole"])) == {
        "coalitions-owner.parquet",
        "plan.json",
        "pool-image.parquet",
        "pool-prompt.parquet",
        "record.json",
        "results.json",
        "spec.toml",
    }


def stopping(after: Callable[[Event], bool]) -> tuple[threading.Event, Callable[[Event], None], list[Event]]:
    stop, seen = threading.Event(), []

    def emit(event: Event) -> None:
        seen.append(event)
        if after(event):
            stop.set()

    return stop, emit, seen


@pytest.mark.parametrize("stage", ["generate:prompt", "encode:image:eye", "reference:eye", "fit"])
def test_a_stopped_run_goes_on_where_it_was(tiny: Project, tmp_path: Path, stage: str) -> None:
    spec = tiny.spec(SMALL | {"execution.batch_size": 8, "utility": SPEC["utility"][:3]})
    whole = api.apply(spec, store=tmp_path / "whole")
    stop, emit, seen = stopping(lambda event: isinstance(event, StageProgress) and event.stage == stage)
    with pytest.raises(InterruptedRun) as caught:
        api.apply(spec, emit=emit, stop=stop)
    assert caught.value.exit_code == 130
    assert isinstance(seen[-1], RunInterrupted)
    events, status = api.follow(whole.run, store=tiny.store)
    assert status == "interrupted"
    assert [event.kind for _, event in events] == [event.kind for event in seen]
    with pytest.raises(RunError, match="it is interrupted"):
        api.show(whole.run, store=tiny.store)
    assert api.plan(spec).stages[0].state in ("partial", "cached") or stage == "reference:eye"

    again: list[Event] = []
    assert api.apply(spec, emit=again.append) == whole
    started = again[0]
    assert isinstance(started, RunStarted)
    assert started.resumed
    assert run_files(tiny.store, whole.run) == run_files(tmp_path / "whole", whole.run)
    first, second = made(seen), made(again)
    for name in {*first, *second}:
        total = next(info.total for info in started.stages if info.id == name)
        assert first.get(name, 0) + second.get(name, 0) <= total


def test_a_second_apply_has_nothing_to_do_and_loads_no_model(tiny: Project) -> None:
    spec = tiny.spec(SMALL)
    first = api.apply(spec)
    files = run_files(tiny.store, first.run)
    assert not api.plan(spec).pending
    code = (
        "import sys; from pathlib import Path; from surrogateshap import api; seen = [];"
        "results = api.apply(Path(sys.argv[1]), emit=lambda event: seen.append(event.kind));"
        "heavy = [name for name in ('torch', 'diffusers', 'transformers', 'lightgbm', 'shap') if name in sys.modules];"
        "print(results.model_dump_json()); print(heavy, seen)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(spec)], env=environment(), capture_output=True, text=True, check=True
    )
    results, rest = done.stdout.splitlines()
    assert results == first.model_dump_json()
    assert rest.startswith("[] ['run_started'")
    assert rest.endswith("'run_finished']")
    assert run_files(tiny.store, first.run) == files


def test_nothing_is_loaded_either_where_only_the_estimate_changes(tiny: Project) -> None:
    api.apply(tiny.spec(SMALL))
    spec = tiny.spec(SMALL | {"intervals.level": 0.5})
    assert {stage.id for stage in api.plan(spec).stages if stage.state != "cached"} == {"fit", "record"}
    code = (
        "import sys; from pathlib import Path; from surrogateshap import api;"
        "api.apply(Path(sys.argv[1])); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(spec)], env=environment(), check=True)


@pytest.mark.parametrize(
    ("changes", "redone"),
    [
        ({"name": "renamed"}, {"record": 1}),
        ({"intervals.level": 0.5}, {"fit": 4, "record": 1}),
        ({"estimator.trees": 5}, {"record": 1}),
        (
            {"estimator": {"kind": "surrogate", "trees": 5}, "budget.coalitions": 12},
            {"evaluate": 4, "fit": 4, "record": 1},
        ),
        ({"utility": [{"name": "sure", "kind": "score"}]}, {"evaluate": 2, "fit": 2, "record": 1}),
        ({"utility": [{"name": "other-name", "kind": "score", "score": "condition"}]}, {"record": 1}),
        (
            {"budget.images_per_contributor": 6},
            {"generate:prompt": 10, "generate:image": 10, "encode:prompt:eye": 10, "encode:image:eye": 10}
            | {"evaluate": 4, "fit": 4, "record": 1},
        ),
        (
            {"proxy.strength": 1.0},
            {"generate:image": 20, "encode:image:eye": 20, "evaluate": 2, "fit": 2, "record": 1},
        ),
    ],
    ids=["name", "level", "trees", "surrogate", "utility", "utility-name", "budget", "strength"],
)
def test_only_what_changed_is_done_again(tiny: Project, changes: dict[str, Any], redone: dict[str, int]) -> None:
    tiny.apply(SMALL)
    plan = tiny.plan(SMALL | changes)
    assert {stage.id: stage.total - stage.cached for stage in plan.stages if stage.state != "cached"} == redone
    seen: list[Event] = []
    results = tiny.apply(SMALL | changes, emit=seen.append)
    assert made(seen) == redone
    names = {section["name"] for section in (SMALL | changes)["utility"]}
    assert {result.utility for result in results.games} == names
    fresh = tiny.apply(SMALL | changes, store=tiny.folder / "another")
    for one, other in zip(results.games, fresh.games, strict=True):
        for row, twin in zip(one.contributors, other.contributors, strict=True):
            assert (row.name, one.utility) == (twin.name, other.utility)
            assert row.value == pytest.approx(twin.value, abs=2e-3)  # batches differ, so pixels may by one level


def test_why_work_is_pending(tiny: Project) -> None:
    tiny.apply(SMALL)
    because = {stage.id: stage.because for stage in tiny.plan(SMALL | {"intervals.level": 0.5}).stages}
    assert because["generate:prompt"] == because["encode:image:eye"] == because["evaluate"] == ""
    assert because["fit"] == because["record"] == "intervals.level: 0.9 → 0.5"
    because = {stage.id: stage.because for stage in tiny.plan(SMALL | {"sampling.steps": 3}).stages}
    assert set(because.values()) == {"sampling.steps: 2 → 3"}
    tiny.manifest(rows().head(58))
    because = {stage.id: stage.because for stage in tiny.plan(SMALL).stages}
    assert because["record"] == "manifest: its content changed"


def test_a_run_measures_what_later_plans_cost(tiny: Project) -> None:
    before = tiny.plan(SMALL)
    assert all("may be off by 3×" in stage.basis for stage in before.stages if stage.kind != "record")
    assert before.cost.seconds is not None
    tiny.apply(SMALL)
    plan = tiny.plan(SMALL | {"seed": 9})
    pending = [stage for stage in plan.stages if stage.kind != "record"]
    assert all(stage.seconds is not None and stage.basis == "measured on cpu" for stage in pending)
    assert plan.cost.seconds == pytest.approx(sum(stage.seconds or 0 for stage in pending))


def test_utilities_alike_keep_their_names(tiny: Project) -> None:
    twice = [{"name": name, "kind": "score"} for name in ("one", "two")]
    tiny.apply(SMALL | {"utility": twice})
    for level in (0.5, 0.5, 0.6):
        results = tiny.apply(SMALL | {"utility": twice, "intervals.level": level, "name": f"again-{level}"})
        assert [result.utility for result in results.games] == ["one", "two", "one", "two"]
        assert not tiny.plan(SMALL | {"utility": twice, "intervals.level": level, "name": f"again-{level}"}).pending


def objects(project: Project, part: str) -> list[Path]:
    """Objects of one sort."""
    store = Store.open(project.store)
    found = []
    for path in sorted((project.store / "objects").glob("*/*")):
        if path.suffix == ".safetensors":
            arrays = store.get_arrays(path.stem)
            if arrays is not None and part in arrays:
                found.append(path)
        elif part == "json" and path.suffix == ".json":
            found.append(path)
    store.close()
    return found


@pytest.mark.parametrize("part", ["images", "features", "values", "json"])
@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_damage_on_disk_mends_itself(tiny: Project, part: str, damage: str) -> None:
    """On the first call; and progress never says more than all."""
    whole = tiny.apply(SMALL)
    for path in objects(tiny, part):
        if damage == "gone":
            path.unlink()
        else:
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    again = SMALL | {"name": "again", "encoder": [{"name": "eye", "source": "eye"}]}
    seen: list[Event] = []
    results = tiny.apply(again, emit=seen.append)
    for one, other in zip(results.games, whole.games, strict=True):
        assert one == other
    assert all(event.done <= event.total for event in seen if isinstance(event, StageProgress))
    assert api.verify(tiny.store / "runs" / results.run / "record.json").holds
    assert tiny.apply(SMALL).games == whole.games


def test_a_damaged_result_of_a_finished_run_is_made_again(tiny: Project) -> None:
    whole = tiny.apply(SMALL)
    for path in objects(tiny, "json"):
        path.write_bytes(b"{}")
    with pytest.raises(RunError, match="has no results"):
        api.show(whole.run, store=tiny.store)
    assert tiny.apply(SMALL) == whole
    assert api.show(whole.run, store=tiny.store) == whole


def test_damaged_images_that_a_new_encoder_asks_for_are_made_again(tiny: Project) -> None:
    tiny.apply(SMALL)
    for path in objects(tiny, "images"):
        path.write_bytes(b"x")
    weights = tiny.folder / "eye" / "preprocessor_config.json"
    weights.write_text(weights.read_text() + "\n")
    seen: list[Event] = []
    results = tiny.apply(SMALL, emit=seen.append)
    assert isinstance(seen[-1], RunFinished)
    assert all(event.done <= event.total for event in seen if isinstance(event, StageProgress))
    assert len(results.games) == 4


def test_a_stopped_run_goes_on_with_another_encoder(tiny: Project, tmp_path: Path) -> None:
    def far(event: Event) -> bool:
        return isinstance(event, StageProgress) and event.stage == "generate:prompt" and event.done >= 48

    batches = {
        "proxy.kind": "prompt",
        "budget.images_per_contributor": 24,
        "execution": SPEC["execution"] | {"batch_size": 8},
    }
    stop, emit, _ = stopping(far)
    with pytest.raises(InterruptedRun):
        tiny.apply(batches, emit=emit, stop=stop)
    (stage,) = (stage for stage in tiny.plan(batches).stages if stage.kind == "generate")
    assert 48 <= stage.cached < stage.total, "a ranking is looked at once the images are encoded"
    changes = batches | {
        "encoder": [*SPEC["encoder"], {"name": "raw", "kind": "pixels", "size": 8}],
        "utility": [one | {"encoder": "eye"} for one in SPEC["utility"][:2]]
        + [{"name": "look", "kind": "frechet", "reference": "manifest", "encoder": "raw"}],
    }
    _, emit, events = stopping(lambda _: False)
    run = tiny.apply(changes, emit=emit).run
    assert not [event for event in events if isinstance(event, Warned) and "damaged" in event.message]
    tiny.apply(changes, store=tmp_path / "whole")
    assert run_files(tiny.store, run) == run_files(tmp_path / "whole", run)


def test_a_record_that_was_deleted_is_written_again(tiny: Project) -> None:
    whole = tiny.apply(SMALL)
    files = run_files(tiny.store, whole.run)
    (tiny.store / "runs" / whole.run / "record.json").unlink()
    assert tiny.apply(SMALL) == whole
    assert run_files(tiny.store, whole.run) == files


def test_a_bad_image_stops_the_run_and_a_good_one_in_its_place_lets_it_go_on(tiny: Project) -> None:
    frame = rows()
    images = frame["image"].to_list()
    bad = 41
    good = images[bad]
    images[bad] = good[:40]
    changes = SMALL | {"budget.images_per_contributor": 12, "execution.batch_size": 8}
    tiny.manifest(frame.with_columns(image=np.array(images, dtype=object)))
    seen: list[Event] = []
    with pytest.raises(RunError, match=f"row {bad} of data.parquet is not an image") as caught:
        tiny.apply(changes, emit=seen.append)
    assert caught.value.exit_code == 6
    failed = seen[-1]
    assert isinstance(failed, RunFailed)
    assert failed.message == caught.value.message
    assert api.follow(str(tiny.folder / "spec.toml"))[1] == "failed"
    kept = made(seen)
    assert kept["generate:prompt"] == 92
    assert 0 < kept["generate:image"] < 92
    tiny.manifest(frame)
    again: list[Event] = []
    results = tiny.apply(changes, emit=again.append)
    assert "generate:prompt" not in made(again)
    assert made(again)["generate:image"] < 60
    assert values(results, "owner / right / image")


def test_broken_weights_are_named(tiny: Project) -> None:
    from safetensors.numpy import load_file, save_file

    weights = tiny.folder / "eye" / "model.safetensors"
    arrays = {
        name: np.full_like(array, np.nan) if array.dtype.kind == "f" else array
        for name, array in load_file(weights).items()
    }
    save_file(arrays, weights, metadata={"format": "pt"})
    with pytest.raises(SpecError, match=r"encoder\[0\]: encoder `eye` gives values that are not finite"):
        tiny.apply(SMALL)


def test_a_watcher_that_fails_leaves_a_store_that_works(tiny: Project) -> None:
    def emit(event: Event) -> None:
        if isinstance(event, RankingUpdated) and not event.provisional:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        tiny.apply(SMALL, emit=emit)
    results = tiny.apply(SMALL)
    with pytest.raises(BrokenPipeError):
        tiny.apply(SMALL, emit=emit)
    assert api.show(results.run, store=tiny.store) == results
    assert game(results, "owner / right / prompt").images == 52


def test_one_process_at_a_time_works_in_a_store(tiny: Project) -> None:
    results = tiny.apply(SMALL)
    with Store.open(tiny.store) as store, store.lock():
        with pytest.raises(RunError, match="in use by process"):
            tiny.apply(SMALL)
        assert api.show(results.run, store=tiny.store) == results
        assert api.follow(results.run, store=tiny.store)[1] == "done"
        assert not tiny.plan(SMALL).pending
