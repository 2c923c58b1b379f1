"""Pictures of every view at the smallest and at a large terminal, compared byte for byte."""

from collections.abc import Awaitable, Callable

import pytest
from canned import CannedSource, make_results, opened, with_anchors
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.screens.dialogs import ErrorPage
from test_app import active, begin, ready, until
from textual.pilot import Pilot

from surrogateshap.errors import PlanError

pytestmark = pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
Compare = Callable[..., bool]


async def settle(pilot: Pilot[None]) -> None:
    await pilot.pause()


def picture(app: SurrogateShapApp, steps: Callable[[Pilot[None]], Awaitable[None]]):
    async def run_before(pilot: Pilot[None]) -> None:
        await steps(pilot)
        await settle(pilot)

    return run_before


def test_plan(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = opened(CannedSource())
    assert snap_compare(app, terminal_size=size, run_before=picture(app, lambda pilot: ready(pilot, app)))


def test_confirmation(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = opened(CannedSource())

    async def steps(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("a")

    assert snap_compare(app, terminal_size=size, run_before=picture(app, steps))


def test_provisional_ranking(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = opened(CannedSource())

    async def steps(pilot: Pilot[None]) -> None:
        await begin(pilot, app)
        await pilot.press("3", "j")

    assert snap_compare(app, terminal_size=size, run_before=picture(app, steps))


def test_final_ranking(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = opened(CannedSource(results=make_results()))

    async def steps(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("3", "right_square_bracket")
        await until(pilot, lambda: active(app) == "ranking")

    assert snap_compare(app, terminal_size=size, run_before=picture(app, steps))


def test_retraining_game(snap_compare: Compare, size: tuple[int, int]) -> None:
    results = make_results()
    measured = results.model_copy(update={"games": tuple(map(with_anchors, results.games))})
    app = opened(CannedSource(results=measured))

    async def steps(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("3", "c")
        await until(pilot, lambda: active(app) == "ranking")

    assert snap_compare(app, terminal_size=size, run_before=picture(app, steps))


def test_errors(snap_compare: Compare, size: tuple[int, int]) -> None:
    error = PlanError("the plan plan.json is stale; since it was made, this moved: budget.images", "Make it again.")
    app = opened(CannedSource(plan=error))

    async def steps(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))

    assert snap_compare(app, terminal_size=size, run_before=picture(app, steps))


def test_help(snap_compare: Compare, size: tuple[int, int]) -> None:
    app = opened(CannedSource())

    async def steps(pilot: Pilot[None]) -> None:
        await ready(pilot, app)
        await pilot.press("question_mark")

    assert snap_compare(app, terminal_size=size, run_before=picture(app, steps))
