"""The source that the command uses calls the library's door as the door is."""

import sys
import types
from pathlib import Path

import pytest
from canned import make_plan, make_results, started, summary_of
from surrogateshap_tui.source import ApiSource

import surrogateshap
from surrogateshap.errors import RunError


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A door that notes what it is asked."""
    asked: list[tuple[str, object, dict[str, object]]] = []

    def note(name: str, answer: object):
        def call(*arguments: object, **options: object) -> object:
            asked.append((name, arguments[0], options))
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    module = types.ModuleType("surrogateshap.api")
    module.plan = note("plan", make_plan())
    module.show = note("show", RunError("no results"))
    module.follow = note("follow", ([(1, started())], "running"))
    module.store_folder = lambda spec, store: store or spec.parent / ".surrogateshap"
    monkeypatch.setitem(sys.modules, "surrogateshap.api", module)
    monkeypatch.setattr(surrogateshap, "api", module, raising=False)
    return types.SimpleNamespace(asked=asked, module=module)


def test_a_spec(door: types.SimpleNamespace, tmp_path: Path) -> None:
    source = ApiSource("specs/digits.toml", store=None, allow_paths=[tmp_path], allow_plugins=["sharp"])
    assert source.run is None
    assert source.plan() == make_plan()
    assert source.results() is None
    assert source.follow("digits-1", 7) == ([(1, started())], "running")
    assert door.asked == [
        ("plan", Path("specs/digits.toml"), {"store": None, "allow_paths": (tmp_path,), "allow_plugins": ("sharp",)}),
        ("show", "specs/digits.toml", {"store": None}),
        ("follow", "digits-1", {"store": Path("specs/.surrogateshap"), "after": 7}),
    ]


def test_a_run(door: types.SimpleNamespace, tmp_path: Path) -> None:
    source = ApiSource("digits-1", store=tmp_path, allow_paths=())
    assert source.run == "digits-1"
    door.module.show = lambda target, store: make_results()
    assert source.results() == make_results()
    source.follow("digits-1", 0)
    assert door.asked == [("follow", "digits-1", {"store": tmp_path, "after": 0})]


def test_a_run_is_started_as_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr("surrogateshap_tui.source.ChildJob", lambda arguments, find: started.append(tuple(arguments)))
    ApiSource("specs/digits.toml", store=tmp_path, allow_paths=[tmp_path], allow_plugins=["sharp"]).start()
    options = (f"--store={tmp_path}", f"--allow-path={tmp_path}", "--allow-plugin=sharp")
    assert started == [("apply", "--yes", "--display", "none", *options, "--", "specs/digits.toml")]


def test_images_and_other_runs_are_looked_for_where_the_run_is_kept(
    door: types.SimpleNamespace, tmp_path: Path
) -> None:
    door.module.newest_images = lambda run, count, store: [(run, count, store)]
    door.module.runs = lambda store: (summary_of("other", "running"), summary_of("mine", "running"))
    source = ApiSource("specs/digits.toml", store=None, allow_paths=())
    assert source.images("mine", 3) == [("mine", 3, Path("specs/.surrogateshap"))]
    assert source.waits_for("mine") == "other"
    door.module.runs = lambda store: (summary_of("other"), summary_of("mine", "running"))
    assert source.waits_for("mine") == ""
    assert ApiSource("mine", store=tmp_path, allow_paths=()).images("mine", 1) == [("mine", 1, tmp_path)]
