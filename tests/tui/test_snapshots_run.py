"""Pictures of the run view in its states, dark and light, small and large, compared byte for byte."""

from collections.abc import Callable

import pytest
from canned import FIRST_HALF, GAMES, RUN, CannedSource, opened, ranking
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.theme import DARK, LIGHT
from surrogateshap_tui.views.newest import NewestImages
from surrogateshap_tui.widgets.thumbnails import Thumbnails
from test_app import begin, ready, screen, state, until
from test_run import DEVICES
from textual.pilot import Pilot

from surrogateshap.errors import RunError
from surrogateshap.events import Event, RunFailed

Compare = Callable[..., bool]
SIZES = pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
SHRUNK: tuple[Event, ...] = tuple(ranking(GAMES[0], provisional=True, images=count) for count in (600, 800, 1000))


@pytest.fixture(autouse=True)
def _colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a terminal with all colours, whatever these tests run in."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")


async def seen(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    """Waits for the images."""
    newest = app.workspace.query_one(NewestImages)
    await until(pilot, lambda: newest.display and newest.query_one(Thumbnails).size.height > 0)
    await pilot.pause()


@SIZES
@pytest.mark.parametrize("theme", [DARK.name, LIGHT.name, "ansi-dark"], ids=["dark", "light", "ansi"])
def test_running(snap_compare: Compare, size: tuple[int, int], theme: str) -> None:
    app = opened(CannedSource(first=(*FIRST_HALF, *DEVICES, *SHRUNK)))

    async def steps(pilot: Pilot[None]) -> None:
        await begin(pilot, app)
        await until(pilot, lambda: len(state(app).ranking(GAMES[0]).widths) == 4)
        app.theme = theme
        await seen(pilot, app)

    assert snap_compare(app, terminal_size=size, run_before=steps)


def test_images_below(snap_compare: Compare) -> None:
    app = opened(CannedSource(first=(*FIRST_HALF, *DEVICES, *SHRUNK)))

    async def steps(pilot: Pilot[None]) -> None:
        await begin(pilot, app)
        await until(pilot, lambda: len(state(app).ranking(GAMES[0]).widths) == 4)
        await seen(pilot, app)
        await pilot.press("G")
        await pilot.pause()

    assert snap_compare(app, terminal_size=(80, 24), run_before=steps)


@SIZES
def test_failed(snap_compare: Compare, size: tuple[int, int]) -> None:
    told = RunFailed(run=RUN, message="cuda:0 has not enough memory", remedy="Lower execution.batch_size.")
    app = opened(CannedSource(first=(*FIRST_HALF, *DEVICES, told), failure=RunError(told.message, told.remedy)))

    async def steps(pilot: Pilot[None]) -> None:
        await begin(pilot, app)
        app.workspace.session.source.gate.set()
        await until(pilot, lambda: app.screen is not app.workspace)
        await pilot.press("escape")
        await until(pilot, lambda: app.workspace.session.plan is not None and not app.workspace.session.loading)
        await seen(pilot, app)

    assert snap_compare(app, terminal_size=size, run_before=steps)


def test_waiting_for_another(snap_compare: Compare) -> None:
    source = CannedSource(first=())
    source.waiting_for = "fashion-81ce02"
    app = opened(source)

    async def steps(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("a", "y")
        await until(pilot, lambda: "Waits for run" in screen(app))
        await pilot.pause()

    assert snap_compare(app, terminal_size=(80, 24), run_before=steps)
