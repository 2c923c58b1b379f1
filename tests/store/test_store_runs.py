from dataclasses import asdict
from pathlib import Path

import pytest

from surrogateshap.errors import RunError
from surrogateshap.events import StageProgress, Warned
from surrogateshap.store import Store
from surrogateshap.store import runs as runs_module


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def clock(monkeypatch):
    """A clock that ticks by one second whenever it is read."""

    class Clock:
        now = 1000.0

        def time(self) -> float:
            self.now += 1
            return self.now

    ticking = Clock()
    monkeypatch.setattr(runs_module, "time", ticking)
    return ticking


def begin(store: Store, run: str, spec: str = "spec-1", file: str = "a.toml") -> None:
    store.begin_run(run, "digits", f"plan-of-{run}", spec, file, "digest-of-plan")


def test_a_run_from_beginning_to_end(store, clock, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 4242)
    begin(store, "digits-1")
    row = store.run("digits-1")
    assert asdict(row) == {
        "run": "digits-1",
        "name": "digits",
        "plan_id": "plan-of-digits-1",
        "spec_digest": "spec-1",
        "spec_file": "a.toml",
        "status": "running",
        "pid": 4242,
        "created": 1001.0,
        "updated": 1001.0,
        "plan": "digest-of-plan",
        "results": None,
        "record": None,
    }
    store.set_status("digits-1", "interrupted")
    assert store.run("digits-1").status == "interrupted"
    monkeypatch.setattr("os.getpid", lambda: 4343)
    begin(store, "digits-1")
    resumed = store.run("digits-1")
    assert (resumed.status, resumed.pid, resumed.created, resumed.updated) == ("running", 4343, 1001.0, 1003.0)
    store.finish_run("digits-1", "r" * 64, None)
    done = store.run("digits-1")
    assert (done.status, done.results, done.record, done.updated) == ("done", "r" * 64, None, 1004.0)
    assert len(store.runs()) == 1


def test_unknown_run_and_unknown_status_are_refused(store):
    begin(store, "a")
    with pytest.raises(ValueError, match="no run 'b'"):
        store.set_status("b", "done")
    with pytest.raises(ValueError, match="no run 'b'"):
        store.finish_run("b", "r", None)
    with pytest.raises(RunError, match="CHECK"):
        store.set_status("a", "asleep")
    assert store.run("a").status == "running"


def test_prefixes(store):
    for run in ("digits-12", "digits-123", "digits-2", "art_%1", "ART-1"):
        begin(store, run)
    assert store.run("digits-12").run == "digits-12"
    assert store.run("digits-123").run == "digits-123"
    assert store.run("digits-2").run == "digits-2"
    assert store.run("digits-1") is None
    assert store.run("digits") is None
    assert store.run("art").run == "art_%1"
    assert store.run("A").run == "ART-1"
    assert store.run("%") is None
    assert store.run("_") is None
    assert store.run("") is None
    assert store.run("nothing") is None


def test_newest_first(store, clock):
    for run, spec, file in (("a", "s1", "x.toml"), ("b", "s1", "x.toml"), ("c", "s2", "x.toml"), ("d", "s3", "y.toml")):
        begin(store, run, spec, file)
    assert [row.run for row in store.runs()] == ["d", "c", "b", "a"]
    begin(store, "a", "s1", "x.toml")
    assert [row.run for row in store.runs()] == ["a", "d", "c", "b"]
    assert [row.run for row in store.runs_of_file("x.toml")] == ["a", "c", "b"]
    assert store.runs_of_file("z.toml") == []


def test_newest_first_within_one_tick(store, monkeypatch):
    monkeypatch.setattr(runs_module.time, "time", lambda: 5.0)
    for run in "abc":
        begin(store, run)
    assert [row.run for row in store.runs()] == ["c", "b", "a"]


def test_runs_of_a_spec(store, clock):
    assert store.runs_of_spec("s1") == []
    for run in "ab":
        begin(store, run, "s1")
        store.finish_run(run, f"results of {run}", f"record of {run}")
    begin(store, "c", "s1")
    begin(store, "other", "s2")
    store.finish_run("other", "r", None)
    assert [(row.run, row.record) for row in store.runs_of_spec("s1")] == [("b", "record of b"), ("a", "record of a")]
    assert [row.run for row in store.runs_of_spec("s1", done_only=False)] == ["c", "b", "a"]


def test_events_come_back_in_order_with_their_time(store, clock):
    ids = [store.record_event("a", Warned(message=f"{number}")) for number in range(5)]
    other = store.record_event("b", StageProgress(stage="generate", done=1, total=2))
    assert ids == sorted(set(ids))
    assert [(number, event.message) for number, event in store.events("a")] == list(zip(ids, "01234", strict=True))
    assert [event.at for _, event in store.events("a")] == [1001.0, 1002.0, 1003.0, 1004.0, 1005.0]
    assert [event.message for _, event in store.events("a", after=ids[1])] == ["2", "3", "4"]
    assert [event.message for _, event in store.events("a", after=ids[1], limit=2)] == ["2", "3"]
    assert store.events("a", after=ids[-1]) == []
    assert store.events("b") == [(other, StageProgress(stage="generate", done=1, total=2, at=1006.0))]


def test_event_given_is_left_as_it_was(store):
    event = Warned(message="here")
    store.record_event("a", event)
    assert event.at == 0.0


def test_unreadable_event_is_told(store):
    number = store.record_event("a", Warned(message="here"))
    with store._database.write() as connection:
        connection.execute('UPDATE events SET body = \'{"kind": "new"}\' WHERE id = ?', (number,))
    with pytest.raises(RunError, match="an event of run a can't be read") as caught:
        store.events("a")
    assert "Upgrade" in caught.value.remedy
