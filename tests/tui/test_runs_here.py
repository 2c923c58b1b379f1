"""Runs that the app starts, pauses and stops: real processes on a tiny project, and what canned ones can show."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from canned import FIRST_HALF, RUN, CannedLibrary, CannedSource, make_results, opened, started, summary_of
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.jobs import ChildJob
from surrogateshap_tui.library import ApiLibrary
from surrogateshap_tui.screens.dialogs import ErrorPage, Question
from surrogateshap_tui.screens.workspace import WorkspaceScreen
from test_app import begin, ready, screen, state, until
from test_navigation import at_home
from textual.pilot import Pilot

from surrogateshap import api
from surrogateshap.errors import InterruptedRun, RunError
from surrogateshap.events import RunFinished
from surrogateshap.store import Store
from tests.execute.test_execute_resume import SMALL
from tests.execute.test_execute_waiting import CHANGES, applying
from tests.tiny import Project

LONG = SMALL | {"execution.batch_size": 4, "budget.images_per_contributor": 60}


async def patiently(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Waits for a process that loads a model."""
    for _ in range(1200):
        if condition():
            return
        await pilot.pause(0.05)
    raise TimeoutError("the app did not get there")


async def test_a_real_run_is_paused_goes_on_and_is_stopped_at_once(
    tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.folder)
    spec = tiny.spec(LONG)
    app = SurrogateShapApp(ApiLibrary(Path(), store=None), spec.name)
    async with app.run_test(size=(80, 24)) as pilot:
        await patiently(pilot, lambda: app.workspace is not None and app.workspace.session.plan is not None)
        session = app.workspace.session
        await pilot.press("a", "y")
        await patiently(pilot, lambda: any(0 < stage.done < stage.total for stage in state(app).stages))
        await pilot.press("p")
        await patiently(pilot, lambda: session.job is None and session.plan is not None and not session.loading)
        assert session.words == "paused; p goes on with it"
        kept = sum(stage.cached for stage in session.plan.stages)
        assert kept > 0
        await pilot.press("p")
        await patiently(pilot, lambda: session.job is not None and state(app).status == "running")
        job = session.job
        await pilot.press("s", "s")
        await patiently(pilot, lambda: session.job is None and not session.loading)
        assert isinstance(job.failure(), InterruptedRun)
        assert session.words == "stopped; what is finished is kept"
        assert not isinstance(app.screen, ErrorPage)
        (run,) = api.runs()
        assert run.status == "interrupted"
        assert run.run == state(app).run


async def test_a_spec_that_is_edited_between_plan_and_apply_makes_another_run(
    tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.folder)
    spec = tiny.spec(SMALL)
    app = SurrogateShapApp(ApiLibrary(Path(), store=None), spec.name)
    async with app.run_test(size=(80, 24)) as pilot:
        await patiently(pilot, lambda: app.workspace is not None and app.workspace.session.plan is not None)
        planned = app.workspace.session.plan.run
        tiny.spec(SMALL | {"seed": 77})
        await pilot.press("a", "y")
        await patiently(pilot, lambda: app.workspace.session.results is not None)
        assert state(app).run == app.workspace.session.results.run != planned
        assert not isinstance(app.screen, ErrorPage)


def test_only_the_process_that_works_in_the_store_is_signalled(tiny: Project) -> None:
    spec = tiny.spec(CHANGES)
    with applying(spec, tiny.store) as process:
        (run,) = api.runs(tiny.store)
        assert api.run_of_process(process.pid, store=tiny.store) == run.run
        assert api.run_of_process(process.pid, store=tiny.store, since=run.updated + 1) is None
        assert api.stop(run.run, store=tiny.store) == process.pid
        process.communicate(timeout=60)
        assert process.returncode not in (0, None)
    with pytest.raises(RunError, match="is not being applied: it is interrupted"):
        api.stop(run.run, store=tiny.store)


def test_a_process_that_only_bears_the_number_is_left_alone(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        monkeypatch.setattr("os.getpid", lambda: other.pid)
        with Store.open(tiny.store) as store:
            store.begin_run("a", "a", "0" * 64, "0" * 64, "a.toml", "0" * 64)
        monkeypatch.undo()
        with pytest.raises(RunError, match=f"process {other.pid}, which can't be reached") as caught:
            api.stop("a", store=tiny.store)
        assert f"kill -INT {other.pid}" in caught.value.remedy
        assert other.poll() is None
        other.communicate(b"\n")
        assert other.returncode == 0


def test_a_process_tells_its_run_and_is_not_signalled_once_it_has_ended() -> None:
    job = ChildJob(["--version"], lambda pid: f"run-of-{pid}")
    assert job.run() == f"run-of-{job._process.pid}"
    job._process.wait()
    job.stop()  # of one that has ended: nothing


async def test_the_run_is_called_as_its_process_calls_it() -> None:
    other = started().model_copy(update={"run": "digits-77aa01"})
    source = CannedSource(first=(other, *FIRST_HALF[1:]))
    source.named = "digits-77aa01"
    asked: list[str] = []
    follow = source.follow
    source.follow = lambda run, after: (asked.append(run), follow(run, after))[1]
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        assert state(app).run == "digits-77aa01"
        assert asked[-1] == "digits-77aa01"
        source.gate.set()


async def test_a_run_is_one_session_by_spec_by_path_and_by_name(tmp_path: Path) -> None:
    source = CannedSource()
    shelf = CannedLibrary(source, runs=(summary_of(RUN, "running"),))
    app = SurrogateShapApp(shelf, source.target)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        session = app.workspace.session
        await pilot.press("escape")
        await at_home(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, WorkspaceScreen))
        assert app.workspace.session is session
        await pilot.press("p")
        await until(pilot, lambda: session.job is None)
        assert source.closed_by_stop
        spec = tmp_path / "a.toml"
        spec.touch()
        source.target = str(spec)
        assert app._opened(f"{tmp_path}/../{tmp_path.name}/a.toml") is session
        assert app._opened("b.toml") is None


async def elsewhere(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    await until(pilot, lambda: app.workspace is not None and app.workspace.session.followed == "running")
    await pilot.pause()


def running() -> CannedSource:
    source = CannedSource(run=RUN)
    source.tell(*FIRST_HALF)
    source.status = "running"
    return source


async def test_a_run_in_the_background_is_stopped_after_asking() -> None:
    source = running()
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await elsewhere(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("n")
        assert source.interrupted == []
        await pilot.press("s", "y")
        await until(pilot, lambda: app.workspace.session.words == "stopped; what is finished is kept")
        assert source.interrupted == [RUN]


async def test_a_process_that_can_not_be_reached_is_named() -> None:
    source = running()
    source.unreachable = RunError("run a is applied by process 7, which can't be reached", "`kill -INT 7` ends it.")
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await elsewhere(pilot, app)
        await pilot.press("s", "y")
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        await pilot.pause()
        assert "kill -INT 7" in screen(app)
        await pilot.press("escape")
        assert not app.workspace.session.stopping


async def test_a_question_closes_when_it_does_not_matter_any_more() -> None:
    source = running()
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await elsewhere(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, Question))
        source.finished = make_results()
        source.tell(RunFinished(run=RUN, seconds=1.0, cached=False))
        source.status = "done"
        await until(pilot, lambda: isinstance(app.screen, WorkspaceScreen))
        assert source.interrupted == []


async def test_the_question_at_quitting_closes_when_the_run_ends() -> None:
    source = CannedSource()
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Question))
        source.gate.set()
        await until(pilot, lambda: isinstance(app.screen, WorkspaceScreen))
        assert app.is_running
        await ready(pilot, app)
