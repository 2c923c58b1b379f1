"""The plan tab: what it says of the work, the spec beside it, and the way from a problem to its line."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from canned import SPEC_TEXT, CannedSource, make_plan, opened
from rich.console import Console
from rich.style import Style
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.editing import command, edit
from surrogateshap_tui.screens.dialogs import ErrorPage
from surrogateshap_tui.source import SpecText
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.views.plan import PlanView, draw_plan
from surrogateshap_tui.views.spec import page
from test_app import BROKEN, active, ready, screen, until

from surrogateshap.errors import PlanError, Problem, RunError
from tests.samples import HOSTILE

HERE = "specs/digits.toml"
NONE = Palette(*[Style()] * 6)


def rows(text: str, problems: tuple[Problem, ...] = (), current: int = 0, width: int = 60) -> list[str]:
    return [row.plain for row in page(SpecText(HERE, text), problems, current, NONE, width).rows]


def test_problems_stand_below_their_lines_and_those_of_other_files_come_first() -> None:
    problems = (
        Problem("train.csv", 2, "source", "no such column"),
        Problem(HERE, 2, "seed", "must be a whole number", "such as 0"),
        Problem(HERE, 99, "", "behind the end"),
    )
    shown = rows('name = "a"\nseed = "b"\n', problems, current=1)
    assert shown == [
        "train.csv:2 source",
        "! no such column",
        "specs/digits.toml:99 ",
        "! behind the end",
        "",
        ' 1 name = "a"',
        '>2 seed = "b"',
        "   ▸ must be a whole number",
        "   → such as 0",
    ]
    assert page(SpecText(HERE, 'name = "a"\nseed = "b"\n'), problems, 1, NONE, 60).places == (0, 6, 2)


@pytest.mark.parametrize("width", [20, 33, 80])
def test_no_row_is_wider_than_the_pane_and_nothing_is_lost(width: int) -> None:
    words = " ".join(f"word{number}" for number in range(30))
    text = f'condition = "{"x" * 150}"\n\tindented = 1\n漢字 = "{"漢" * 40}"\n'
    problem = Problem(HERE, 1, "condition", words, "remedy")
    found = page(SpecText(HERE, text), (problem,), 0, NONE, width).rows
    assert max(row.cell_len for row in found) <= width
    joined = "".join(row.plain for row in found)
    assert joined.count("x") == 150
    assert joined.count("漢") == 41
    assert "    indented = 1" in joined
    assert all(f"word{number}" in joined for number in range(30))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_strangers_text_reaches_the_terminal_harmlessly(name: str) -> None:
    found = rows(f'name = "{name}"\x1b]0;title\x07\r\n# \x9b31m\u202egnp.exe', width=2000)
    assert not any(character in "".join(found) for character in "\x1b\x07\x9b\u202e\r\n")


def test_the_number_of_a_line_colours_nothing_else() -> None:
    styles = {name: Style(color=name) for name in ("blue", "green", "yellow", "red", "cyan", "white")}
    palette = Palette(*styles.values())
    found = page(SpecText(HERE, '[[utility]] # one\nseed = "b"\n'), (Problem(HERE, 2, "seed", "no"),), 0, palette, 60)
    spans = [[(row.plain[span.start : span.end], str(span.style)) for span in row.spans] for row in found.rows[:2]]
    assert spans[0] == [(" 1 ", "white"), ("[[utility]]", "cyan"), ("# one", "white")]
    assert spans[1] == [(">2 ", "red"), ("seed", "blue"), ('"b"', "green")]
    assert not str(found.rows[0].style)


def test_a_huge_text_is_cut_and_says_so() -> None:
    found = rows("x = 1\n" * 200_000)
    assert len(found) == 5001
    assert found[-1] == "… 195,000 more lines"


def drawn(width: int = 78, **changes: object) -> str:
    console = Console(width=width, color_system=None)
    plan = make_plan().model_copy(update=changes)
    with console.capture() as captured:
        console.print(draw_plan(plan, NONE, width))
    return captured.get()


def test_costs_name_what_they_stand_against() -> None:
    shown = drawn(100)
    assert "Fresh sampling  2,457,600 images, new ones for every coalition; 1,365 × fewer" in shown
    assert "Retraining      16,384 models to train; none here" in shown
    assert "GPU-hours" not in shown
    cost = make_plan().cost.model_copy(update={"gpu_seconds": 7326.0})
    assert "GPU-hours        2.04" in drawn(cost=cost)
    assert "Cost of what is to do, at most" in drawn(stops_when=("1 GPU-hours are spent",))


def test_a_plan_with_nothing_to_do_tells_no_cost() -> None:
    shown = drawn(stages=make_plan(cached=True).stages)
    assert "Cost of what is to do" not in shown
    assert "16,384 models to train" in shown


async def broken(app: SurrogateShapApp, pilot) -> None:
    await until(pilot, lambda: bool(app.workspace and app.workspace.session.problems))
    await pilot.pause()


async def test_the_spec_stands_beside_the_plan_where_there_is_room_and_in_its_place_where_not() -> None:
    app = opened(CannedSource())
    async with app.run_test(size=(160, 50)) as pilot:
        await ready(pilot, app)
        shown = screen(app)
        assert "Generate images, image proxy" in shown
        assert ' 6 source = "example:digits-unet"' in shown
        await pilot.press("o")
        await pilot.pause()
        assert "example:digits-unet" not in screen(app).split("Inputs")[0]
        await pilot.press("o")
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "Generate images, image proxy" in screen(app)
        await pilot.press("o")
        await pilot.pause()
        assert ' 6 source = "example:digits-unet"' in screen(app)
        assert "Generate images" not in screen(app)
        await pilot.press("j")
        assert app.workspace.query_one("#spec-pane").scroll_target_y == 1


async def test_problems_are_gone_through_and_the_first_is_in_sight() -> None:
    source = CannedSource(plan=BROKEN)
    source.written = "#\n" * 200 + SPEC_TEXT
    moved = [Problem(HERE, one.line + 200, one.key, one.message, one.remedy) for one in BROKEN.problems]
    BROKEN_BELOW = type(BROKEN)(moved)
    source._plan = BROKEN_BELOW
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await broken(app, pilot)
        assert not isinstance(app.screen, ErrorPage)
        await until(pilot, lambda: '>212 kind = "frechett"' in screen(app))
        await pilot.press("n")
        await until(pilot, lambda: ">231 images = 0" in screen(app))
        await pilot.press("n")
        await until(pilot, lambda: '>212 kind = "frechett"' in screen(app))
        await pilot.press("N")
        await until(pilot, lambda: ">231 images = 0" in screen(app))
        assert "a" not in {key for key, active in app.screen.active_bindings.items() if active.enabled}


async def test_on_a_wide_terminal_all_problems_are_listed_beside_the_spec() -> None:
    app = opened(CannedSource(plan=BROKEN))
    async with app.run_test(size=(160, 50)) as pilot:
        await broken(app, pilot)
        shown = screen(app)
        assert "No plan: 2 problems" in shown
        assert "line 31 budget.images" in shown
        assert '>12 kind = "frechett"' in shown


async def test_a_problem_that_comes_with_a_reload_takes_the_plan_away() -> None:
    source = CannedSource()
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        await pilot.press("2")
        source._plan = BROKEN
        await pilot.press("r")
        await broken(app, pilot)
        assert active(app) == "plan"
        assert app.workspace.session.plan is None


async def test_other_errors_stay_dialogs() -> None:
    app = opened(CannedSource(plan=PlanError("the plan is stale", "make it again")))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        await pilot.press("escape")
        await pilot.pause()
        assert "No plan: the error that was shown comes first" in screen(app)


def test_editors_are_told_the_line_in_their_own_way() -> None:
    path = Path("/specs/a b.toml")
    assert command("vim -n", path, 7) == ["vim", "-n", "+7", "/specs/a b.toml"]
    assert command("/usr/bin/hx", path, 7) == ["/usr/bin/hx", "/specs/a b.toml:7"]
    assert command("code", path, 7) == ["code", "--wait", "--goto", "/specs/a b.toml:7"]
    assert command("subl", path, 7) == ["subl", "--wait", "/specs/a b.toml:7"]


class Lent:
    """A terminal that notes when it is lent."""

    def __init__(self) -> None:
        self.times = 0

    @contextmanager
    def suspend(self) -> Iterator[None]:
        self.times += 1
        yield


def editor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An editor that notes what it is given."""
    script = folder / "my editor"
    script.write_text(f'#!/bin/sh\necho "$@" > "{folder}/seen"\n')
    script.chmod(stat.S_IRWXU)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"'{script}' -w")
    return folder / "seen"


def test_the_editor_runs_while_the_terminal_is_lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, lent = editor(tmp_path, monkeypatch), Lent()
    edit(lent, "-spec.toml", 3)
    assert seen.read_text() == f"-w +3 {Path.cwd()}/-spec.toml\n"
    assert lent.times == 1


@pytest.mark.parametrize("words", ["/nowhere/ed", "'unclosed", "   "])
def test_an_editor_that_can_not_be_used(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", words)
    with pytest.raises(RunError) as caught:
        edit(Lent(), "spec.toml", 1)
    assert "EDITOR" in caught.value.remedy


async def test_e_edits_at_the_problem_and_plans_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, lent = editor(tmp_path, monkeypatch), Lent()
    source = CannedSource(plan=BROKEN)
    app = opened(source)
    monkeypatch.setattr(app, "suspend", lent.suspend)
    async with app.run_test(size=(80, 24)) as pilot:
        await broken(app, pilot)
        source.repair()
        await pilot.press("n", "e")
        await ready(pilot, app)
        assert seen.read_text() == f"-w +31 {Path.cwd()}/specs/digits.toml\n"
        assert source.planned == 2
        assert "Generate images, image proxy" in screen(app)
        assert app.workspace.query_one(PlanView).query_one("#plan-pane").has_focus


async def test_a_terminal_that_can_not_be_lent_says_what_to_do() -> None:
    app = opened(CannedSource())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        await pilot.pause()
        assert "in another window, then press r here" in screen(app)
