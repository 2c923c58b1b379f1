"""What workers say where something goes wrong, or where there is much to say; and sessions that were left meanwhile."""

import os
from pathlib import Path
from threading import Event as Flag

from canned import RUN, CannedLibrary, CannedSource, make_results, opened, started
from surrogateshap_tui import workers
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.exporting import free_name
from surrogateshap_tui.library import ApiLibrary
from surrogateshap_tui.messages import EventArrived, LoadFailed, OpenComparison
from surrogateshap_tui.screens.compare import CompareScreen
from surrogateshap_tui.screens.dialogs import ErrorPage
from surrogateshap_tui.session import Session
from test_app import screen, until
from test_navigation import at_home
from textual.message import Message

from surrogateshap.errors import RunError
from surrogateshap.events import Event, RunInterrupted
from surrogateshap.record.results import Results


class Nobody:
    """A host that does nothing."""

    def in_thread(self, work: object) -> None:
        """No."""

    def post(self, message: Message) -> None:
        """No."""

    def later(self, seconds: float, call: object) -> None:
        """No."""


class Damaged(CannedSource):
    """Its results can't be read once it was run."""

    def results(self) -> Results | None:
        if self.applied:
            raise ValueError("results.json is damaged")
        return None


class Slices(CannedSource):
    """Gives two events at a look, as a store gives ten thousand."""

    def follow(self, run: str, after: int) -> tuple[list[tuple[int, Event]], str]:
        events, status = super().follow(run, after)
        return list(events)[:2], status


def followed(source: CannedSource) -> list[Message]:
    said: list[Message] = []
    workers.follow(Session(source, Nobody()), RUN, 0, None, 0.0, Flag(), said.append)
    return said


def test_all_events_of_a_run_that_has_ended_are_read() -> None:
    source = Slices(run=RUN)
    source.tell(*[started()] * 4, RunInterrupted(run=RUN))
    source.status = "interrupted"
    arrived = [one.number for one in followed(source) if isinstance(one, EventArrived)]
    assert arrived == [1, 2, 3, 4, 5]


async def test_a_run_whose_results_cannot_be_read_has_ended_all_the_same() -> None:
    source = Damaged()
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.workspace.session.plan is not None)
        await pilot.press("a", "y")
        await until(pilot, lambda: app.workspace.session.job is not None)
        source.gate.set()
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        assert app.workspace.session.job is None
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ErrorPage) or "running" not in app.workspace.session.words)


async def test_a_session_that_was_left_shows_no_errors() -> None:
    shelf = CannedLibrary(CannedSource())
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_home(pilot, app)
        left = Session(CannedSource(), app)
        app.post_message(LoadFailed(left, RunError("too late", "Nothing."), planning=True))
        await until(pilot, lambda: left.problem is not None)
        await pilot.pause()
        assert not isinstance(app.screen, ErrorPage)


async def test_runs_that_cannot_be_compared_are_not_read_for_ever() -> None:
    shelf = CannedLibrary(CannedSource(run="one"), CannedSource(run="two", results=make_results()))
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        app.post_message(OpenComparison("one", "two"))
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        assert "can't be compared" in screen(app)


def test_the_name_of_a_strangers_run_leads_to_no_other_folder(tmp_path: Path) -> None:
    for name in ("../evil", "/etc/evil", "..", ".hidden", "a\nb", "", "x" * 500):
        path = free_name(tmp_path, name, "csv")
        assert path.parent == tmp_path
        assert path.name[0] != "."
        path.write_text("")
    assert free_name(tmp_path, "digits-5b1f0c", "csv").name == "digits-5b1f0c.csv"


def test_a_named_pipe_is_no_spec(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    assert ApiLibrary(tmp_path, store=None).listing().specs == ()
