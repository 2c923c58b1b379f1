"""From Home through every screen and back, by keys."""

import time

import pytest
from canned import NAMES, RUN, CannedLibrary, CannedSource, make_results, opened, summary_of
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.screens.compare import CompareScreen
from surrogateshap_tui.screens.detail import DetailScreen
from surrogateshap_tui.screens.dialogs import ErrorPage, HelpPage, Question
from surrogateshap_tui.screens.home import HomeScreen
from surrogateshap_tui.screens.workspace import VIEWS, WorkspaceScreen
from surrogateshap_tui.theme import ROUND
from surrogateshap_tui.widgets.home_tables import ORDERS
from test_app import SIZES, begin, ready, screen, until
from textual.pilot import Pilot

OTHER = "digits-77aa01"


def library() -> CannedLibrary:
    finished, other = CannedSource(run=RUN, results=make_results()), CannedSource(run=OTHER, results=make_results())
    finished.status = other.status = "done"
    runs = (summary_of(RUN, updated=time.time() - 60), summary_of(OTHER, updated=time.time() - 7200))
    return CannedLibrary(CannedSource(), finished, other, runs=runs)


async def at_home(pilot: Pilot[None], app: SurrogateShapApp) -> HomeScreen:
    await until(pilot, lambda: isinstance(app.screen, HomeScreen) and bool(app.screen.listing.specs))
    await pilot.pause()
    return app.screen


@SIZES
async def test_from_home_through_every_screen_and_back(size: tuple[int, int]) -> None:
    app = SurrogateShapApp(library())
    async with app.run_test(size=size) as pilot:
        home = await at_home(pilot, app)
        shown = screen(app)
        assert "✓ done" in shown
        assert "specs/digits.toml" in shown
        assert "2 h 00 min ago" in shown
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, WorkspaceScreen) and app.screen.session.results is not None)
        for number, (tab, words) in enumerate(
            {
                "plan": "opened by its name",
                "run": "digits-5b1f0c",
                "ranking": "writer-01",
                "diagnostics": "Efficiency gap",
                "record": "The record holds.",
            }.items(),
            1,
        ):
            await pilot.press(str(number))
            await until(pilot, lambda: app.workspace.tab == tab and words in screen(app))  # noqa: B023
        assert list(VIEWS)[number - 1] == tab
        await pilot.press("3")
        await pilot.pause()
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        await pilot.pause()
        assert app.screen.contributor == NAMES[1]
        assert "In every game" in screen(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, WorkspaceScreen))
        await pilot.press("h")
        await at_home(pilot, app)
        assert not app.sessions
        await pilot.press("space", "j", "space")
        assert home.marked == (RUN, OTHER)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and bool(app.screen.games))
        await pilot.pause()
        assert "0 of 14 contributors moved by more than the intervals" in screen(app)
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert "game 2 of 4" in screen(app)
        await pilot.press("escape")
        await at_home(pilot, app)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)


async def test_apply_from_home_asks_in_the_workspace_and_outlives_it() -> None:
    shelf = library()
    source = shelf.sources["specs/digits.toml"]
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_home(pilot, app)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("y")
        await until(pilot, lambda: bool(app.workspace.session.state.rankings))
        session = app.workspace.session
        await pilot.press("escape")
        await at_home(pilot, app)
        assert source.status == "running"
        assert app.sessions[source.target] is session
        await pilot.press("a")
        await until(pilot, lambda: app.workspace is not None)
        assert app.workspace.session is session
        await pilot.press("escape")
        source.gate.set()
        await until(pilot, lambda: not app.sessions)
        assert session.results is not None
    assert source.applied == 1


async def test_an_error_at_home_is_a_dialog_and_the_app_goes_on() -> None:
    shelf = library()
    shelf.sources[OTHER].finished = None
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_home(pilot, app)
        await pilot.press("space", "j", "space", "c")
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        await pilot.pause()
        assert "digits-77aa01 has no results" in screen(app)
        await pilot.press("escape", "escape")
        await at_home(pilot, app)


async def test_a_workspace_opened_directly_leads_home() -> None:
    app = opened(CannedSource())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        await pilot.press("escape")
        await at_home(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, WorkspaceScreen))


async def test_help_shows_the_keys_of_the_screen_it_was_asked_on() -> None:
    app = SurrogateShapApp(library())
    async with app.run_test(size=(80, 50)) as pilot:
        await at_home(pilot, app)
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpPage)
        shown = screen(app)
        assert "mark a run; two can be compared" in shown
        lines = [" ".join(line.strip("│ ").split()) for line in shown.splitlines()]
        assert "↑ ↓ j k up, down" in lines
        assert "pgup pgdn a page up, a page down" in lines
        assert any(line.startswith("^q q quit; asks while a run") for line in lines)
        for word in ("Focus Next", "Cursor", "Scroll", "Page Left", "Copy selected"):
            assert word not in shown
        assert "pause" not in shown
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, HomeScreen)


async def test_the_palette_finds_contributors_games_and_themes() -> None:
    app = opened(CannedSource(results=make_results()))
    async with app.run_test(size=(100, 40)) as pilot:
        await ready(pilot, app)
        await pilot.press("ctrl+p", *"corrupted")
        await until(pilot, lambda: "corrupted scans" in screen(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        assert app.screen.contributor == "corrupted scans"


async def test_the_palette_does_what_keys_do() -> None:
    app = SurrogateShapApp(library())
    async with app.run_test(size=(100, 40)) as pilot:
        home = await at_home(pilot, app)
        await pilot.press("ctrl+p", *("space" if one == " " else one for one in "sort the runs"))
        await until(pilot, lambda: "sort the runs by another column" in screen(app))
        await pilot.press("enter")
        await until(pilot, lambda: home.order != ORDERS[0])


@pytest.mark.parametrize("name", ROUND)
async def test_every_theme_draws_every_tab(name: str) -> None:
    app = opened(CannedSource(results=make_results()))
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        while app.theme != name:
            await pilot.press("t")
        for key in "12345":
            await pilot.press(key)
            await pilot.pause()
            assert "digits" in screen(app)


async def test_nothing_is_scheduled_while_nothing_changes() -> None:
    shelf = library()
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_home(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, WorkspaceScreen) and app.screen.session.results is not None)
        await until(pilot, lambda: not app.workers._workers)
        looked = shelf.looked
        await pilot.pause(0.1)
        assert not app._timers
        assert set(app.screen._timers) <= {app.screen._update_timer}  # Textual's own, which rests
        assert shelf.looked == looked


async def test_closing_a_workspace_stops_no_run() -> None:
    source = CannedSource()
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        await pilot.press("h")
        await at_home(pilot, app)
        assert source.status == "running"
        assert not source.closed_by_stop
        source.gate.set()
