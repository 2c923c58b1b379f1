"""The app under a pilot: canned events in, text on the screen out."""

import asyncio
import time
from collections.abc import Callable

import pytest
from canned import (
    FIRST_HALF,
    GAMES,
    NAMES,
    RUN,
    SECOND_HALF,
    CannedSource,
    make_plan,
    make_results,
    opened,
    ranking,
    started,
    with_anchors,
)
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.messages import EventArrived
from surrogateshap_tui.screens.dialogs import ErrorPage, HelpPage, Question
from surrogateshap_tui.state import Grade, RunState
from surrogateshap_tui.views.plan import PlanView
from surrogateshap_tui.views.ranking import RankingView
from surrogateshap_tui.widgets.ranking_table import RankingTable
from textual.pilot import Pilot

from surrogateshap.errors import Problem, RunError, SpecError
from surrogateshap.events import Event, StageProgress, StageStarted

SIZES = pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
BROKEN = SpecError(
    [
        Problem("specs/digits.toml", 12, "utility[0].kind", "unknown kind `frechett`", "did you mean `frechet`?"),
        Problem("specs/digits.toml", 31, "budget.images", "must be at least 1", "give a whole number of images"),
    ]
)


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Lets the app work until the condition holds."""
    last = time.monotonic() + 60
    while not condition():
        if time.monotonic() > last:
            raise TimeoutError("the app did not get there")
        await pilot.pause(0.01)


def screen(app: SurrogateShapApp) -> str:
    """What the screen shows, as lines of text."""
    width, height = app.size
    lines = app.screen._compositor.render_strips() if height else []
    return "\n".join("".join(segment.text for segment in strip)[:width].rstrip() for strip in lines)


def state(app: SurrogateShapApp) -> RunState:
    """What the workspace's session knows."""
    return app.workspace.session.state


async def ready(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    await until(pilot, lambda: app.workspace is not None and bool(state(app).stages) and not app.workers._workers)
    await pilot.pause()


async def begin(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    """Applies the plan and waits for the first half of the canned events."""
    await ready(pilot, app)
    await pilot.press("a", "y")
    await until(pilot, lambda: len(state(app).rankings) == len(GAMES) and bool(state(app).warnings))
    await pilot.pause()


def active(app: SurrogateShapApp) -> str:
    return app.workspace.tab


@SIZES
async def test_from_plan_to_ranking(size: tuple[int, int]) -> None:
    source = CannedSource()
    app = opened(source)
    async with app.run_test(size=size) as pilot:
        await ready(pilot, app)
        shown = screen(app)
        assert "5 stages of 6 to do, about 2 min" in shown
        assert "+  new      Generate images, image proxy" in shown
        assert "=  cached   Generate images, prompt proxy" in shown
        assert "1,360 of 1,800 images" in shown
        await pilot.press("a")
        assert isinstance(app.screen, Question)
        assert "Denoising steps: 32,640" in screen(app)
        await pilot.press("n")
        assert source.applied == 0
        await begin(pilot, app)
        shown = screen(app)
        assert active(app) == "run"
        assert "448/1,360" in shown
        assert "64 s left" in shown
        assert "Classifier confidence is below 0.5" in shown
        await pilot.press("3")
        await pilot.pause()
        assert "provisional, from 420 images" in screen(app)
        await pilot.press("2")
        source.gate.set()
        await until(pilot, lambda: state(app).status == "finished" and active(app) == "ranking")
        await pilot.pause()
        shown = screen(app)
        assert "final, from 1,360 images; exact, 16,384 coalitions; 95 % intervals" in shown
        assert " 1 (1–3)" in shown
        assert "0.94 …  1.26" in shown
        assert source.applied == 1


@SIZES
async def test_games_are_switched_and_the_cursor_moves_with_vim_keys(size: tuple[int, int]) -> None:
    app = opened(CannedSource(results=make_results()))
    async with app.run_test(size=size) as pilot:
        await ready(pilot, app)
        await pilot.press("3", "right_square_bracket")
        await pilot.pause()
        assert "source / fidelity / prompt" in screen(app)
        assert "game 2 of 4" in screen(app)
        assert "can't tell apart 2 sets of contributors" in screen(app)
        await pilot.press("left_square_bracket", "left_square_bracket")
        await pilot.pause()
        assert "game 4 of 4" in screen(app)
        table = app.workspace.query_one(RankingTable)
        await pilot.press("j", "j", "k")
        assert table.cursor_row == 1
        await pilot.press("G")
        await pilot.pause()
        assert table.cursor_row == len(NAMES) - 1
        assert "rank 14 of 14" in screen(app)
        await pilot.press("g")
        assert table.cursor_row == 0


async def test_new_values_change_cells_and_keep_the_cursor_on_its_contributor() -> None:
    app = opened(CannedSource())
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        await pilot.press("3", "j", "j")
        table = app.workspace.query_one(RankingTable)
        swapped = (NAMES[2], NAMES[0], NAMES[1], *NAMES[3:])
        for _ in range(2):
            app.workspace.session.take(arrived(app, ranking(provisional=True, images=421, names=swapped)))
            app.workspace.session.flush()
        await pilot.pause()
        assert table.selected.name == NAMES[2]
        assert table.cursor_row == 0
        assert [place.name for place in table.listed] == list(swapped)


async def test_a_ranking_without_intervals_claims_none() -> None:
    event = ranking(provisional=True, images=420)
    points = tuple(row.model_copy(update={"low": row.value, "high": row.value}) for row in event.contributors)
    source = CannedSource(first=(*FIRST_HALF[:-1], event.model_copy(update={"contributors": points}), FIRST_HALF[-1]))
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        await pilot.press("3")
        await pilot.pause()
        assert "no interval yet" in screen(app)
        assert "Interval" not in screen(app)


async def test_nothing_to_do_goes_to_the_ranking() -> None:
    source = CannedSource(results=make_results())
    app = opened(source)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot, app)
        assert active(app) == "plan"
        await pilot.press("a")
        await pilot.pause()
        assert active(app) == "ranking"
        assert [notice.message for notice in app._notifications] == ["Nothing to do: every stage is cached."]
        assert source.applied == 0


async def test_stop_keeps_what_is_finished() -> None:
    source = CannedSource()
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: state(app).status == "interrupted")
        await pilot.pause()
        assert source.closed_by_stop
        assert "stopped; what is finished is kept" in screen(app)
        assert state(app).ranking(GAMES[0]).images == 420
        await until(pilot, lambda: source.planned == 2)


async def test_quitting_asks_while_a_run_goes_on_and_stops_it() -> None:
    source = CannedSource()
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        await pilot.press("q")
        assert isinstance(app.screen, Question)
        await pilot.press("n")
        await pilot.pause()
        assert app.is_running
        assert not source.closed_by_stop
        await pilot.press("q", "s")
        await until(pilot, lambda: not app.is_running)
    assert source.closed_by_stop


async def test_a_run_goes_on_in_the_background_where_the_user_says_so() -> None:
    source = CannedSource()
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        await pilot.press("q")
        assert "Go on in background (b)" in screen(app)
        await pilot.press("b")
        await until(pilot, lambda: not app.is_running)
    assert source.status == "running"
    assert not source.closed_by_stop


async def test_a_paused_run_goes_on_with_the_same_key() -> None:
    source = CannedSource()
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        await pilot.press("p")
        await until(
            pilot, lambda: state(app).status == "interrupted" and source.planned == 2 and not app.workers._workers
        )
        await pilot.pause()
        assert "paused; p goes on with it" in screen(app)
        await pilot.press("p")
        await until(pilot, lambda: source.applied == 2 and state(app).status == "running")
        source.gate.set()
        await until(pilot, lambda: state(app).status == "finished")


async def test_quitting_does_not_ask_when_nothing_runs() -> None:
    app = opened(CannedSource())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)


@SIZES
async def test_a_wrong_spec_shows_every_problem_and_can_be_read_again(size: tuple[int, int]) -> None:
    source = CannedSource(plan=BROKEN)
    app = opened(source)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: bool(app.workspace and app.workspace.session.problems))
        await pilot.pause()
        shown = screen(app)
        for text in ('>12 kind = "frechett"', "▸ unknown kind `frechett`", "→ did you mean `frechet`?"):
            assert text in shown
        await pilot.press("n")
        await pilot.pause()
        assert ">31 images = 0" in screen(app)
        source.repair()
        await pilot.press("r")
        await ready(pilot, app)
        assert "Generate images, image proxy" in screen(app)


async def test_a_failing_run_is_a_dialog_and_the_app_goes_on() -> None:
    source = CannedSource(failure=RunError("the GPU ran out of memory", "set execution.batch_size = 16"))
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        source.gate.set()
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        await pilot.pause()
        assert "the GPU ran out of memory" in screen(app)
        assert "set execution.batch_size = 16" in screen(app)
        await pilot.press("escape")
        await until(pilot, lambda: source.planned == 2 and not app.workers._workers)
        await pilot.press("a")
        assert isinstance(app.screen, Question)


async def test_a_run_elsewhere_is_followed_to_its_end_and_closing_never_stops_it() -> None:
    source = CannedSource(run=RUN)
    source.log, source.status = list(enumerate(FIRST_HALF, 1)), "running"
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: bool(state(app).warnings))
        await pilot.pause()
        assert "running in another process" in screen(app)
        await pilot.press("a", "s")
        assert source.applied == 0
        source.finished = make_results()
        source.log += list(enumerate(SECOND_HALF, len(FIRST_HALF) + 1))
        source.status = "done"
        await until(pilot, lambda: state(app).status == "finished" and active(app) == "ranking")
        await pilot.pause()
        assert state(app).ranking(GAMES[0]).grade is Grade.RESULT
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
    assert not source.closed_by_stop


async def test_a_spec_whose_run_goes_on_elsewhere_is_followed() -> None:
    source = CannedSource()
    source.log, source.status = list(enumerate(FIRST_HALF, 1)), "running"
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: bool(state(app).rankings) and active(app) == "run")
        await pilot.press("a")
        await pilot.pause()
        assert "Another process seems to be running this already." in screen(app)


async def test_a_run_that_is_not_there_is_an_error() -> None:
    app = opened(CannedSource(run="nothing-1"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        await pilot.pause()
        assert "there is no run nothing-1" in screen(app)


HOSTILE = ("[red]bold[/red]", "\x1b[2Jwiped", "a\u202ekcab", "[/", "名前" * 30, "x" * 300)


@SIZES
async def test_hostile_names_are_shown_as_plain_text(size: tuple[int, int]) -> None:
    plan = make_plan(name="[b]digits[/b]\x1b]0;title\x07", warnings=("[link=x]click[/link]\x1b[31m",))
    event = ranking(provisional=True, images=420, names=HOSTILE)
    source = CannedSource(plan=plan, first=(*FIRST_HALF, event))
    app = opened(source)
    async with app.run_test(size=size) as pilot:
        await ready(pilot, app)
        assert "[b]digits[/b]�]0;title�" in screen(app)
        assert "[link=x]click[/link]�[31m" in screen(app)
        await begin(pilot, app)
        await until(pilot, lambda: state(app).ranking(GAMES[0]).places[0].name == HOSTILE[0])
        await pilot.press("3")
        await pilot.pause()
        shown = screen(app)
        assert "[red]bold[/red]" in shown
        assert "�[2Jwiped" in shown
        assert "a�kcab" in shown
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert all(line.count("●") == 1 for line in shown.splitlines()[7:12])


async def test_help_and_jumping_between_tabs() -> None:
    app = opened(CannedSource())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        for key, tab in (("2", "run"), ("3", "ranking"), ("1", "plan")):
            await pilot.press(key)
            await pilot.pause()
            assert active(app) == tab
        view = app.workspace.query_one(PlanView).query_one("#plan-pane")
        await pilot.press("j", "j")
        assert view.scroll_target_y == 2
        await pilot.press("G")
        assert view.scroll_target_y == view.max_scroll_y > 2
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpPage)
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpPage)


async def test_a_flood_of_progress_redraws_rarely_and_loses_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    flood = tuple(StageProgress(stage="generate-image", done=done % 1361, total=1360, rate=9.0) for done in range(5000))
    first = (started(), StageStarted(stage="generate-image"), *flood, *FIRST_HALF[-5:])
    app = opened(CannedSource(first=first))
    drawn = 0
    show = RankingView.show

    def counted(self: RankingView, state: object) -> None:
        nonlocal drawn
        drawn += 1
        show(self, state)

    monkeypatch.setattr(RankingView, "show", counted)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        # 5,000 events, and a redraw four times a second, or where a key or the end of a load asks for one.
        assert drawn < 100
        assert {item.game for item in state(app).rankings} == set(GAMES)


async def test_messages_are_taken_in_the_order_they_were_posted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    source = CannedSource()
    app = opened(source)
    import surrogateshap_tui.session as module

    reduce_all = module.reduce_all

    def spied(state, events):
        seen.extend(events)
        return reduce_all(state, events)

    monkeypatch.setattr(module, "reduce_all", spied)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        source.gate.set()
        await until(pilot, lambda: state(app).status == "finished" and active(app) == "ranking")
        await asyncio.sleep(0)
    results = [event for event in (*FIRST_HALF, *SECOND_HALF) if not event.coalesces]
    assert [event for event in seen if not event.coalesces] == results


async def test_without_colour_the_signs_and_words_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = opened(CannedSource())
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, app)
        shown = screen(app)
        assert "> Generate images, image proxy" in shown
        assert "cached" in shown
        assert "━━━" in shown
        assert "───" in shown


def arrived(app: SurrogateShapApp, event: Event) -> EventArrived:
    return EventArrived(app.workspace.session, event)


async def test_the_retraining_game_is_shown_where_there_is_one() -> None:
    results = make_results()
    games = (with_anchors(results.games[0]), *results.games[1:])
    app = opened(CannedSource(results=results.model_copy(update={"games": games})))
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        await pilot.press("3")
        await pilot.pause()
        assert "fidelity: v 0.92 [0.88, 0.95], LDS 0.81 [0.72, 0.88] on 80 anchors" in screen(app)
        assert "-0.19" in screen(app)
        assert app.workspace.check_action("toggle_closed", ())
        await pilot.press("c")
        await pilot.pause()
        assert "retraining game, from 80 anchors: held-out R² 0.95, proxy 0.62" in screen(app)
        assert "-0.37" in screen(app)
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert "fidelity not measured" in screen(app)
        assert not app.workspace.check_action("toggle_closed", ())
        await pilot.press("left_square_bracket", "c")
        await pilot.pause()
        assert "-0.19" in screen(app)
