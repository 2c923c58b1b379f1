"""Which runs a store has, what they say, and what can go."""

import io
import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from surrogateshap import api
from surrogateshap.cli import main
from surrogateshap.errors import InterruptedRun, RunError
from surrogateshap.events import Event, RunFailed, RunFinished, RunStarted, StageInfo, StageProgress
from surrogateshap.store import Store
from tests.execute.test_execute_resume import SMALL, made
from tests.tiny import Project, run_files

LARGER: dict[str, Any] = SMALL | {"budget.images_per_contributor": 6, "name": "larger"}


def kept(store: Path) -> set[str]:
    return {str(path.relative_to(store)) for path in (store / "objects").rglob("*") if path.is_file()}


def nothing_works(project: Project, changes: dict[str, Any]) -> bool:
    """Whether no stage works, not even where the run's folder has to be written again."""
    plan = project.plan(changes)
    seen: list[Event] = []
    results = project.apply(changes, emit=seen.append)
    files = run_files(project.store, results.run)
    assert api.show(results.run, store=project.store) == results
    (project.store / "runs" / results.run / "record.json").unlink()
    again: list[Event] = []
    project.apply(changes, emit=again.append)
    assert run_files(project.store, results.run) == files
    finished = seen[-1]
    return (
        not plan.pending
        and isinstance(finished, RunFinished)
        and finished.cached
        and not made(again).keys() - {"record"}
    )


def test_what_kept_runs_need_stays(tiny: Project) -> None:
    small, larger = tiny.apply(SMALL), tiny.apply(LARGER)
    before = kept(tiny.store)
    assert api.gc(store=tiny.store).files == 0
    assert kept(tiny.store) == before
    assert nothing_works(tiny, SMALL)
    assert nothing_works(tiny, LARGER)

    assert api.forget([small.run[:6]], store=tiny.store) == (small.run,)
    assert [one.run for one in api.runs(tiny.store)] == [larger.run]
    assert not (tiny.store / "runs" / small.run).exists()
    told = api.gc(store=tiny.store, dry_run=True)
    assert kept(tiny.store) == before
    freed = api.gc(store=tiny.store)
    assert freed == told.model_copy(update={"dry_run": False})
    assert {one.kind for one in freed.kinds} == {"documents", "values"}  # images and features are shared
    assert freed.files == len(before) - len(kept(tiny.store)) > 0
    assert nothing_works(tiny, LARGER)
    assert tiny.apply(SMALL) == small

    api.forget([small.run, larger.run], store=tiny.store)
    freed = api.gc(store=tiny.store)
    assert kept(tiny.store) == set()
    assert freed.kept_files == freed.kept_bytes == 0
    assert {one.kind for one in freed.kinds} == {"documents", "values", "images", "features"}


def test_an_interrupted_run_needs_what_it_made(tiny: Project) -> None:
    stop = threading.Event()

    def emit(event: Event) -> None:
        if isinstance(event, StageProgress) and event.stage == "encode:prompt:eye" and event.done > 20:
            stop.set()

    changes = LARGER | {"execution.batch_size": 8}
    with pytest.raises(InterruptedRun):
        tiny.apply(changes, emit=emit, stop=stop)
    before = kept(tiny.store)
    api.gc(store=tiny.store)
    assert {name for name in before if name.endswith("safetensors")} == {
        name for name in kept(tiny.store) if name.endswith("safetensors")
    }
    (one,) = api.runs(tiny.store)
    assert (one.status, one.stages, one.games, one.name) == ("interrupted", 7, 4, "larger")
    assert one.stages_done < one.stages
    there = {stage.id: stage.done for stage in api.run_details(one.run, store=tiny.store).per_stage}
    assert there["generate:prompt"] > 0
    assert {stage.id: stage.cached for stage in tiny.plan(changes).stages}["generate:prompt"] == there[
        "generate:prompt"
    ]


def test_runs_of_an_older_store_are_named_and_learnt_of_by_applying(tiny: Project) -> None:
    results = tiny.apply(SMALL)
    before = {name for name in kept(tiny.store) if name.endswith("safetensors")}
    connection = sqlite3.connect(tiny.store / "store.db")
    connection.executescript("DROP TABLE uses; PRAGMA user_version = 1")
    connection.close()
    assert api.run_details(results.run, store=tiny.store).objects is None
    with pytest.raises(RunError, match=f"an older version made {results.run}"):
        api.gc(store=tiny.store)
    assert nothing_works(tiny, SMALL)
    api.gc(store=tiny.store)
    assert {name for name in kept(tiny.store) if name.endswith("safetensors")} == before
    assert nothing_works(tiny, SMALL)


def test_details(tiny: Project) -> None:
    first = tiny.apply(SMALL)
    for target in (first.run, str(tiny.folder / "spec.toml")):
        run = api.run_details(target, store=tiny.store, events=4)
        assert (run.status, run.stages, run.stages_done, run.error) == ("done", 7, 7, "")
        assert [event.kind for event in run.events][-1] == "run_finished"
        assert len(run.events) == 4
        assert any("can't tell basil, basil-copy apart" in warning for warning in run.warnings)
        generated = next(stage for stage in run.per_stage if stage.id == "generate:prompt")
        assert (generated.done, generated.total, generated.unit) == (52, 52, "images")
        assert generated.seconds > 0
        assert generated.rate > 0
        objects = [tiny.store / "objects" / name[:2] / name for name in kept(tiny.store)]
        assert run.objects == len(objects)
    took = {stage.id: stage.seconds for stage in run.per_stage}
    tiny.apply(SMALL)  # an attempt that finds all of it leaves what earlier ones took
    run = api.run_details(first.run, store=tiny.store)
    assert {stage.id: stage.seconds for stage in run.per_stage} == took
    assert run.stages_done == 7
    with pytest.raises(RunError, match="no run `nowhere`"):
        api.run_details("nowhere", store=tiny.store)


def started(store: Store, run: str, pid: int) -> None:
    store.begin_run(run, "n", "p", "s", "spec \x1b[2J.toml", "d")
    stage = StageInfo(id="a", title="Make \x1b[2J", unit="images", total=9, cached=2)
    store.record_event(run, RunStarted(run=run, name="n", resumed=False, stages=(stage,), games=()))
    with store._database.write() as connection:
        connection.execute("UPDATE runs SET pid = ? WHERE run = ?", (pid, run))


def test_a_failed_run_tells_why_until_it_is_begun_again(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        started(store, "a", os.getpid())
        store.record_event("a", RunFailed(run="a", message="too hot", remedy="Cool it."))
        store.set_status("a", "failed")
        run = api.run_details("a", store=tmp_path)
        assert (run.status, run.error, run.remedy) == ("failed", "too hot", "Cool it.")
        assert [(stage.done, stage.total) for stage in run.per_stage] == [(2, 9)]
        started(store, "a", os.getpid())
        assert api.run_details("a", store=tmp_path).error == ""


def test_a_running_run_is_not_forgotten(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        started(store, "a", os.getpid())
        started(store, "b", 2**22 + 1)  # no process has this id
        assert {one.run: one.status for one in api.runs(tmp_path)} == {"a": "running", "b": "interrupted"}
        with pytest.raises(RunError, match=f"being applied by process {os.getpid()}"):
            api.forget(["b", "a"], store=tmp_path)
        assert len(api.runs(tmp_path)) == 2
        with pytest.raises(RunError, match="no single run `x`"):
            api.forget(["x"], store=tmp_path)
        assert api.forget(["b"], store=tmp_path) == ("b",)
        assert len(api.runs(tmp_path)) == 1


def test_the_store_that_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for act in (api.runs, api.gc, lambda: api.forget(["a"])):
        with pytest.raises(RunError, match=r"there is no store at \.surrogateshap"):
            act()
    assert list(tmp_path.iterdir()) == []
    with Store.open(tmp_path / "x" / ".surrogateshap") as store:
        started(store, "a", os.getpid())
    assert [one.run for one in api.runs()] == ["a"]
    Store.open(tmp_path / "y" / ".surrogateshap").close()
    with pytest.raises(RunError, match=r"there are several stores: x/\.surrogateshap, y/\.surrogateshap"):
        api.runs()
    Store.open(tmp_path / ".surrogateshap").close()
    assert api.runs() == ()


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return (code, *capsys.readouterr())

    monkeypatch.delenv("SURROGATESHAP_STORE", raising=False)
    store = str(tmp_path / "s")
    with Store.open(tmp_path / "s") as opened:
        with opened.using("gone-0123456789"):
            started(opened, "gone-0123456789", 2**22 + 1)
            opened.put_json("its own")
        opened.record_event("gone-0123456789", RunFailed(run="a", message="too\x1b[2J hot", remedy="Cool it."))
    for width in ("80", "50", "200"):
        monkeypatch.setenv("COLUMNS", width)
        code, out, _ = run("runs", "--store", store)
        assert code == 0
        assert "\x1b" not in out
        assert max(map(len, out.splitlines())) <= int(width)
        assert "interru" in out
    assert "gone-0123456789" in out
    assert "0/1" in out
    code, out, _ = run("runs", "--json", "--store", store)
    assert [one["run"] for one in json.loads(out)] == ["gone-0123456789"]
    code, out, _ = run("runs", "show", "gone", "--events", "1", "--store", store)
    assert code == 0
    assert "\x1b" not in out
    assert "Error   too\ufffd[2J hot" in out
    assert "run_failed" in out
    code, out, _ = run("runs", "--store", store, "show", "gone", "--json")
    assert json.loads(out)["per_stage"][0]["total"] == 9
    assert run("runs", "show", "none", "--store", store)[0] == 6
    assert run("gc", "--dry-run", "--store", store)[1].startswith("Would free 0 B in 0 files\nKept ")
    for answer in ("n\n", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        code, out, err = run("runs", "forget", "gone", "--store", store)
        assert (code, out) == (1, "")
        assert "Forget 1 run, with results and records?" in err
    assert len(api.runs(Path(store))) == 1
    assert run("runs", "forget", "gone", "--yes", "--store", store) == (0, "gone-0123456789: forgotten\n", "")
    code, out, _ = run("gc", "--store", store)
    assert out.startswith("Freed 9 B in 1 file\n  documents: 1, 9 B\n")
    assert json.loads(run("gc", "--json", "--store", store)[1])["files"] == 0
    assert run("runs", "--store", store)[1] == "No runs yet.\n"


def test_where_a_finished_run_lies(tiny: Project) -> None:
    run = tiny.apply(SMALL).run
    folder = tiny.store / "runs" / run
    assert (folder / "record.json").is_file()
    for target in (run, run[:8], str(tiny.folder / "spec.toml")):
        assert api.run_folder(target, store=tiny.store) == folder
    with pytest.raises(RunError, match="no run `nowhere`"):
        api.run_folder("nowhere", store=tiny.store)
    with Store.open(tiny.store) as opened:
        opened.begin_run("unfinished", "unfinished", "0" * 64, "0" * 64, "other.toml", "0" * 64)
    with pytest.raises(RunError, match="has no results"):
        api.run_folder("unfinished", store=tiny.store)
