"""Pictures of ranking, detail, diagnostics, comparison and record, dark and light, compared byte for byte."""

from collections.abc import Awaitable, Callable

import pytest
from canned import GAMES, CannedLibrary, CannedSource, game_result, make_results, opened
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.screens.compare import CompareScreen
from surrogateshap_tui.screens.detail import DetailScreen
from surrogateshap_tui.screens.export import ExportDialog
from surrogateshap_tui.theme import LIGHT
from test_app import ready, screen, until
from test_results_screens import full_results
from textual.pilot import Pilot

Compare = Callable[..., bool]
Steps = Callable[[Pilot[None], SurrogateShapApp], Awaitable[None]]


async def filtered(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    await pilot.press("3", "o", "o", "slash", *"writer")


async def detail(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    await pilot.press("3", "enter")
    await until(pilot, lambda: isinstance(app.screen, DetailScreen) and bool(app.screen._data))


async def diagnostics(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    await pilot.press("4", "right_square_bracket")


async def record(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    await pilot.press("5")
    await until(pilot, lambda: "The record holds" in screen(app))


async def export(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    # The working directory is no part of the picture.
    await pilot.press("3")
    from pathlib import Path

    app.push_screen(ExportDialog("digits-5b1f0c", Path("results")))


SCREENS: dict[str, Steps] = {
    "filtered": filtered,
    "detail": detail,
    "diagnostics": diagnostics,
    "record": record,
    "export": export,
}


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
@pytest.mark.parametrize("name", SCREENS)
def test_results(snap_compare: Compare, name: str, size: tuple[int, int], theme: str) -> None:
    app = opened(CannedSource(results=full_results()))

    async def steps(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        if theme == "light":
            app.theme = LIGHT.name
        await SCREENS[name](pilot, app)
        await pilot.pause()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=steps)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
def test_comparison(snap_compare: Compare, size: tuple[int, int], theme: str) -> None:
    left = make_results()
    game = game_result(GAMES[0])
    first, *rest = game.contributors
    lower = {"value": first.value - 1.2, "low": first.low - 1.2, "high": first.high - 1.2, "rank": 9}
    games = (game.model_copy(update={"contributors": (*rest, first.model_copy(update=lower))}), *left.games[1:3])
    one, other = CannedSource(run="one", results=left), CannedSource(run="other", results=None)
    other.finished = left.model_copy(update={"run": "digits-9c0d11", "games": games})
    one.status = other.status = "done"
    shelf = CannedLibrary(one, other)
    app = SurrogateShapApp(shelf)

    async def steps(pilot: Pilot[None]) -> None:
        if theme == "light":
            app.theme = LIGHT.name
        app.push_screen(CompareScreen("one", "other", lambda: shelf.diff("one", "other")))
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and bool(app.screen.games))
        await pilot.pause()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=steps)
