import json
import os
import shutil
import threading
from pathlib import Path

import polars as pl
import pytest

from surrogateshap import api
from surrogateshap.cli import main
from surrogateshap.diffing import load_side
from surrogateshap.errors import InterruptedRun, PlanError, RunError, SpecError, SurrogateShapError
from surrogateshap.record.diff import Diff
from tests.tiny import OWNERS, Project, rows

SMALL = {"budget.images_per_contributor": 4}


def keys(found: Diff) -> list[str]:
    return [change.key for change in found.keys]


def test_specs_are_planned_and_compared(tiny: Project) -> None:
    old = str(tiny.spec(SMALL))
    other = Project(tiny.folder, tiny.folder.parent / "other")
    other.manifest(rows().filter(pl.col("owner") != "dill"))
    new = str(other.spec(SMALL | {"sampling.steps": 5}))
    found = api.diff(old, new)
    assert keys(found) == ["sampling.steps"]
    assert [one.role for one in found.inputs] == ["manifest"]
    assert {one.what: (one.added, one.removed) for one in found.names} == {"contributors by owner": ((), ("dill",))}
    assert ("rows by owner", 60, 48) in [(one.what, one.old, one.new) for one in found.counts]
    assert [(one.stage, one.because) for one in found.stages] == [("generate", ("sampling.steps", "manifest"))]
    assert found.differs
    assert not tiny.store.exists()
    read = api.diff(old, new, plan_specs=False)
    assert keys(read) == ["sampling.steps"]
    assert (read.inputs, read.names, read.counts, read.old.plan_id) == ((), (), (), None)


def test_a_spec_whose_inputs_are_gone_is_compared_by_its_keys(tiny: Project) -> None:
    old = str(tiny.spec(SMALL))
    new = str(tiny.spec(SMALL | {"contributors.manifest": "gone.parquet"}, "new.toml"))
    found = api.diff(old, new)
    assert keys(found) == ["contributors.manifest"]
    (note,) = found.notes
    assert "new.toml can't be planned, so its keys alone are compared: " in note
    assert "`gone.parquet` does not exist" in note
    assert found.inputs == ()


def test_runs_records_plans_and_specs_of_one_thing_are_the_same(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny.apply(SMALL).run
    spec = str(tiny.folder / "spec.toml")
    saved = tiny.folder / "saved.json"
    api.save_plan(api.plan(Path(spec)), saved)
    record = tiny.store / "runs" / run
    monkeypatch.chdir(tiny.folder)
    sides = [spec, str(saved), run, run[:-3], str(record), str(record / "record.json")]
    assert [load_side(one).kind for one in sides] == ["spec", "plan", "run", "run", "record", "record"]
    for one in sides:
        for other in (spec, run, str(record)):
            found = api.diff(one, other)
            assert not found.differs, (one, other)
            assert keys(found) == []
    assert len(api.diff(run, str(record)).games) == 20
    assert api.diff(run, spec).games == ()


def test_two_runs(tiny: Project, capsys: pytest.CaptureFixture[str]) -> None:
    old = tiny.apply(SMALL).run
    new = tiny.apply(SMALL | {"intervals.level": 0.5}).run
    found = api.diff(old, new, store=tiny.store)
    assert keys(found) == ["intervals.level"]
    assert [(one.stage, one.because) for one in found.stages] == [("fit", ("intervals.level",))]
    assert all(one.same_pool and one.level == 0.5 and not one.moved for one in found.games)
    assert {move.name for one in found.games if one.grouping == "owner" for move in one.moves} == set(OWNERS)
    third = tiny.apply(SMALL | {"seed": 5}).run
    assert main(["diff", old, third, "--store", str(tiny.store), "--json"]) == 0
    told = Diff.model_validate_json(capsys.readouterr().out)
    assert told == api.diff(old, third, store=tiny.store)
    assert not any(one.same_pool for one in told.games)
    assert told.differs
    for one in told.games:
        for move in one.moves:
            assert move.difference == move.new - move.old
            assert move.beyond == (move.low > 0 or move.high < 0)
    assert main(["diff", old, third, "--store", str(tiny.store), "--exit-code"]) == 1
    assert main(["diff", old, old, "--store", str(tiny.store), "--exit-code"]) == 0


def test_an_unfinished_run_is_compared_by_its_plan(tiny: Project) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedRun):
        api.apply(tiny.spec(SMALL), stop=stop)
    run = api.runs(tiny.store)[0].run
    found = api.diff(run, str(tiny.folder / "spec.toml"), store=tiny.store)
    assert not found.differs
    assert found.notes == (f"{run} has no results: it is interrupted.",)


def record(tiny: Project) -> Path:
    folder = tiny.folder / "record"
    shutil.copytree(tiny.store / "runs" / tiny.apply(SMALL).run, folder)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("plan.json", None, "plan.json: missing"),
        ("results.json", b"", "results.json: top level: Invalid JSON"),
        ("results.json", b"[" * 100_000, "results.json: top level: Invalid JSON"),
        ("results.json", b'{"a":' * 100_000, "results.json: top level: Invalid JSON"),
        ("plan.json", b"{}", "plan.json: plan_id: Field required"),
        ("plan.json", b'{"plan_version": 1, "\\u001b[2J": 1}', "plan.json: plan_id: Field required"),
        ("plan.json", b"\xff\xfe", "plan.json: top level: Invalid JSON"),
    ],
)
def test_broken_records_are_told(tiny: Project, name: str, content: bytes | None, words: str) -> None:
    folder = record(tiny)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(RunError) as caught:
        load_side(str(folder))
    assert words in str(caught.value)
    assert str(caught.value).replace("\n", "").isprintable()


def test_records_lead_nowhere_else(tiny: Project) -> None:
    folder = record(tiny)
    shutil.move(folder / "results.json", tiny.folder / "elsewhere.json")
    (folder / "results.json").symlink_to(tiny.folder / "elsewhere.json")
    with pytest.raises(RunError, match="a symbolic link, which is not followed"):
        load_side(str(folder))
    (folder / "results.json").unlink()
    os.mkfifo(folder / "results.json")
    with pytest.raises(RunError, match="not a regular file"):
        load_side(str(folder))
    (folder / "results.json").unlink()
    with (folder / "results.json").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(RunError, match="larger than 64 MiB"):
        load_side(str(folder))


def test_what_is_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text("spec_version = 1\n")
    (tmp_path / "bad.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "folder").mkdir()
    expected: list[tuple[str, type[SurrogateShapError]]] = [
        ("bad.toml", SpecError),
        ("gone.toml", SpecError),
        ("bad.json", PlanError),
        ("gone.json", RunError),
        ("folder", RunError),
        ("no-such-run", RunError),
        ("", RunError),
        ("x" * 5000, RunError),
        ("\x1b[2J\0", RunError),
    ]
    for name, kind in expected:
        with pytest.raises(kind) as caught:
            load_side(name)
        assert "\x1b" not in str(caught.value)
