"""Pictures of Home and of the plan tab, at the smallest and at a large terminal, dark and light."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from canned import RUN, CannedLibrary, CannedSource, make_results, opened, summary_of
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.library import About
from surrogateshap_tui.theme import DARK, LIGHT
from test_app import BROKEN, ready, screen, until
from test_navigation import at_home
from textual.pilot import Pilot

Compare = Callable[..., bool]
NOW = 1_000_000.0


@pytest.fixture(params=[(80, 24), (160, 50)], ids=["80x24", "160x50"])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param


@pytest.fixture(params=[DARK.name, LIGHT.name, "ansi-dark"], ids=["dark", "light", "ansi"])
def theme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surrogateshap_tui.screens.home.time", SimpleNamespace(time=lambda: NOW))


def shelf() -> CannedLibrary:
    sources = [CannedSource(), CannedSource(), CannedSource(run=RUN, results=make_results())]
    sources[1].target = "specs/faces.toml"
    runs = (
        summary_of("faces-0b12aa", "running", spec="specs/faces.toml", updated=NOW - 40),
        summary_of(RUN, updated=NOW - 60 * 25),
        summary_of("digits-77aa01", "interrupted", updated=NOW - 7200),
        summary_of("older-31c0de", "failed", spec="/elsewhere/older.toml", updated=NOW - 400_000),
    )
    made = CannedLibrary(*sources, runs=runs)
    made.sources["specs/broken.toml"] = CannedSource()
    made.sources["specs/broken.toml"].target = "specs/broken.toml"
    made.abouts["specs/faces.toml"] = About("faces", "1,204 by photographer, 9 by studio; 1 utility")
    made.abouts["specs/broken.toml"] = About(problems=2)
    return made


def themed(app: SurrogateShapApp, theme: str, steps: Callable[[Pilot[None]], object]):
    async def run_before(pilot: Pilot[None]) -> None:
        while app.theme != theme:
            await pilot.press("t")
        await steps(pilot)
        await pilot.pause()

    return run_before


def test_home(snap_compare: Compare, size: tuple[int, int], theme: str) -> None:
    app = SurrogateShapApp(shelf())

    async def steps(pilot: Pilot[None]) -> None:
        await at_home(pilot, app)
        await until(pilot, lambda: "! 2 problems" in screen(app))
        await pilot.press("j", "space", "j", "space")
        await until(pilot, lambda: "c Compare" in screen(app))

    assert snap_compare(app, terminal_size=size, run_before=themed(app, theme, steps))


def test_home_of_an_empty_folder(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = SurrogateShapApp(CannedLibrary())

    async def steps(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "Nothing to see" in screen(app))
        await until(pilot, lambda: "q Quit" in screen(app).splitlines()[-1])

    assert snap_compare(app, terminal_size=size, run_before=themed(app, DARK.name, steps))


def test_plan(snap_compare: Compare, size: tuple[int, int], theme: str) -> None:
    app = opened(CannedSource())
    assert snap_compare(app, terminal_size=size, run_before=themed(app, theme, lambda pilot: ready(pilot, app)))


def test_problems(snap_compare: Compare, size: tuple[int, int], theme: str) -> None:
    app = opened(CannedSource(plan=BROKEN))

    async def steps(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "▸ unknown kind" in screen(app))
        await until(pilot, lambda: "n Next problem" in screen(app))

    assert snap_compare(app, terminal_size=size, run_before=themed(app, theme, steps))


async def test_no_colour_is_left_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for app, words in ((opened(CannedSource(plan=BROKEN)), ">12"), (SurrogateShapApp(shelf()), "! interrupted")):
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: words in screen(app))  # noqa: B023
            strips = app.screen._compositor.render_strips()
            styles = [segment.style for strip in strips for segment in strip if segment.style is not None]
            used = {color.triplet for style in styles for color in (style.color, style.bgcolor) if color is not None}
            assert all(color is None or color.red == color.green == color.blue for color in used)
