"""What runs use, what is let go when none does, and stores of a version that didn't tell."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from surrogateshap.errors import RunError
from surrogateshap.events import DeviceProgress, StageProgress, Warned
from surrogateshap.store import Store
from surrogateshap.store.sweep import forget, sweep

OLD = """
CREATE TABLE artifacts (key TEXT PRIMARY KEY, digest TEXT NOT NULL, stage TEXT NOT NULL, created REAL NOT NULL)
    WITHOUT ROWID;
CREATE TABLE images (key TEXT PRIMARY KEY, digest TEXT NOT NULL, slot INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    run TEXT NOT NULL UNIQUE, name TEXT NOT NULL, plan_id TEXT NOT NULL, spec_digest TEXT NOT NULL,
    spec_file TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
    pid INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, plan TEXT NOT NULL, results TEXT, record TEXT);
CREATE INDEX runs_by_spec ON runs (spec_digest);
CREATE INDEX runs_by_file ON runs (spec_file);
CREATE TABLE events (id INTEGER PRIMARY KEY, run TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL);
CREATE INDEX events_by_run ON events (run, id);
CREATE TABLE rates (
    kind TEXT NOT NULL, subject TEXT NOT NULL, device TEXT NOT NULL, units REAL NOT NULL, seconds REAL NOT NULL,
    updated REAL NOT NULL, PRIMARY KEY (kind, subject, device)) WITHOUT ROWID;
INSERT INTO runs VALUES ('old', 'n', 'p', 's', 'f', 'done', 1, 1.0, 1.0, 'd', NULL, NULL);
PRAGMA user_version = 1;
"""


def nothing(_: str) -> tuple[str, ...]:
    return ()


def begin(store: Store, run: str) -> None:
    store.begin_run(run, "n", "p", "s", "f", store.put_json(f"plan of {run}"))


def old_store(root: Path) -> None:
    connection = sqlite3.connect(root / "store.db")
    connection.executescript(OLD)
    connection.close()


def test_what_is_kept_or_found_is_used(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        before = store.put_json("before")
        store.remember("k", before, "fit")
        with store.using("a"):
            made = store.put_json("made")
            assert store.lookup(["k"]) == {"k": before}
            assert store.used("a") == frozenset()
            store.remember("m", made, "fit")
            assert store.used("a") == {before, made}
            thread = threading.Thread(target=lambda: store.put_json("elsewhere"))
            thread.start()
            thread.join()
        assert len(store.used("a")) == 3
        after = store.put_json("after")
        store.remember("later", after, "fit")
        assert after not in store.used("a")
        store.use("b", [after, before])
        store.use("b", [after])
        assert store.used("b") == {after, before}


def test_uses_are_told_on_errors_too(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        with pytest.raises(TypeError), store.using("a"):
            store.put_json([store.put_json(1), object()])
        assert len(store.used("a")) == 1
        with store.using("b"), pytest.raises(ValueError, match="'b' uses this store already"), store.using("c"):
            pass


def test_a_kill_leaves_no_object_that_is_found_and_unused(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from surrogateshap.store import Store;"
        "store = Store.open(Path(sys.argv[1])); user = store.using('a'); user.__enter__();"
        "store.add_images(store.put_json('named'), ['x']); store.put_json('unnamed');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -signal.SIGKILL
    with Store.existing(tmp_path) as reader:
        assert {digest for digest, _ in reader.find_images(["x"]).values()} == reader.used("a")


def test_an_older_store_opens_and_learns(tmp_path: Path) -> None:
    old_store(tmp_path)
    before = (tmp_path / "store.db").read_bytes()
    with Store.existing(tmp_path) as reader:
        assert [row.run for row in reader.runs()] == ["old"]
        assert reader.used("old") == frozenset()
    assert (tmp_path / "store.db").read_bytes() == before
    with Store.open(tmp_path) as store:
        assert store.run("old").status == "done"
        with store.using("new"):
            begin(store, "new")
        assert len(store.used("new")) == 1
        with pytest.raises(RunError, match="an older version made old,") as caught:
            sweep(store, nothing, dry_run=True)
        assert "runs forget" in caught.value.remedy
        forget(store, ["old"])
        assert sweep(store, nothing, dry_run=False).kinds == {}
    with Store.open(tmp_path) as store:
        assert [row.run for row in store.runs()] == ["new"]


def folder(path: Path, **files: str) -> Path:
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name.replace("_", ".")).write_text(text)
    return path


def test_what_no_run_uses_goes(tmp_path: Path) -> None:
    import numpy as np

    with Store.open(tmp_path) as store:
        for run in "ab":
            with store.using(run):
                begin(store, run)
                store.add_images(store.put_arrays({"images": np.arange(5)}), ["shared"])
                own = store.put_arrays({"features": np.full(9, ord(run)), "probabilities": np.zeros(1)})
                store.remember(f"own {run}", own, "encode")
            folder(tmp_path / "runs" / run, record_json="{}")
            folder(tmp_path / "shards" / run, x="12345")
        beside = store.put_json({"where": "here"})
        store.remember(f"about {own}", beside, "generate")
        orphan = store.put_json("orphan")
        store.remember("orphan", orphan, "fit")
        (tmp_path / "objects" / "README").write_text("not the store's")
        (tmp_path / "objects" / orphan[:2] / ".0123.tmp").write_text("left")
        forget(store, ["a"])
        assert [row.run for row in store.runs()] == ["b"]
        assert not (tmp_path / "runs" / "a").exists()
        assert not (tmp_path / "shards" / "a").exists()
        folder(tmp_path / "runs" / "half", spec_toml="x")
        folder(tmp_path / "runs" / "unknown", record_json="x")
        files = sorted(tmp_path.rglob("*"))
        told = sweep(store, lambda one: [f"about {one}"], dry_run=True)
        assert sorted(tmp_path.rglob("*")) == files
        assert sweep(store, lambda one: [f"about {one}"], dry_run=False) == told
        assert {kind: count for kind, (count, _) in told.kinds.items()} == {
            "features": 1,
            "documents": 2,
            "temporary files": 1,
            "run folders": 1,
        }
        assert told.rows == 2
        assert told.unlisted == ("unknown",)
        assert set(store.lookup(["own a", "own b", "orphan", f"about {own}"])) == {"own b", f"about {own}"}
        assert store.find_images(["shared"])
        assert (tmp_path / "shards" / "b" / "x").exists()
        assert (tmp_path / "objects" / "README").exists()
        assert sweep(store, lambda one: [f"about {one}"], dry_run=False).kinds == {}


def test_nothing_is_deleted_through_links(tmp_path: Path) -> None:
    outside = folder(tmp_path / "outside", spec_toml="x")
    with Store.open(tmp_path / "store") as store:
        with store.using("../outside"):
            begin(store, "../outside")
        (tmp_path / "store" / "runs").mkdir()
        (tmp_path / "store" / "runs" / "linked").symlink_to(outside)
        (tmp_path / "store" / "shards").symlink_to(tmp_path)
        forget(store, ["../outside", "outside", "linked"])
        sweep(store, nothing, dry_run=False)
    assert (outside / "spec.toml").read_text() == "x"


def test_a_sweep_never_runs_beside_an_apply(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store, store.lock():
        for act in (lambda: sweep(store, nothing, dry_run=True), lambda: forget(store, ["a"])):
            with pytest.raises(RunError, match=f"in use by process {os.getpid()}"):
                act()


def test_condensed_events_keep_the_newest_progress(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for done in range(3):
            for stage in "xy":
                store.record_event("a", StageProgress(stage=stage, done=done, total=3))
            store.record_event("a", Warned(message=str(done)))
            for device in ("cpu", "cuda:0"):
                told = DeviceProgress(
                    device=device, images=done, seconds=1, rate=done, utilisation=None, memory_bytes=1, memory_total=2
                )
                store.record_event("a", told)
        events = [event for _, event in store.condensed("a")]
        assert [event.done for event in events if isinstance(event, StageProgress)] == [2, 2]
        assert [event.images for event in events if isinstance(event, DeviceProgress)] == [2, 2]
        assert [event.message for event in events if isinstance(event, Warned)] == ["0", "1", "2"]
        assert store.last_events("a", 2) == store.events("a")[-2:]
