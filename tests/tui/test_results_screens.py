"""Ranking, detail, diagnostics, comparison and record under a pilot: by keys, by mouse, and with hostile names."""

import csv
from pathlib import Path

import pytest
from canned import GAMES, NAMES, RUN, CannedLibrary, CannedSource, game_result, make_results, opened, with_anchors
from rich.cells import cell_len
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.made import Made
from surrogateshap_tui.screens.compare import CompareScreen
from surrogateshap_tui.screens.detail import DetailScreen
from surrogateshap_tui.screens.dialogs import ErrorPage, Question
from surrogateshap_tui.screens.export import ExportDialog
from surrogateshap_tui.screens.home import HomeScreen
from surrogateshap_tui.screens.methods import MethodsScreen
from surrogateshap_tui.widgets.game_tabs import GameTabs
from surrogateshap_tui.widgets.ranking_table import RankingTable
from surrogateshap_tui.widgets.thumbnails import Thumbnails
from test_app import ready, screen, until
from textual.pilot import Pilot
from textual.widgets import Input

from surrogateshap.events import GameInfo
from surrogateshap.record.comparison import ComparedMethod, ComparedUtility, ComparisonReport, UtilityComparison
from surrogateshap.record.contributor import ContributorData
from surrogateshap.record.results import (
    AnchorPoint,
    GameResult,
    HeldOut,
    Interaction,
    Measured,
    Payout,
    PayoutShare,
    Results,
)

HOSTILE = (
    "[red]bold[/red]",
    "\x1b[2Jwiped\x07",
    "a\u202ekcab",
    "[/",
    "名前" * 30,
    "x" * 500,
    "👩\u200d🔬 lab 🏳️\u200d🌈",
    "مرحبا بالعالم",
    "=HYPERLINK(1)",
    "tab\tbreak\nline",
    "é" * 3,
    "$(rm -rf /)",
)


async def at_ranking(pilot: Pilot[None], app: SurrogateShapApp) -> RankingTable:
    await ready(pilot, app)
    await pilot.press("3")
    await pilot.pause()
    return app.workspace.query_one(RankingTable)


def listed(table: RankingTable) -> list[str]:
    return [place.name for place in table.listed]


def full(result: GameResult) -> GameResult:
    """A game with all that results can hold."""
    result = with_anchors(result)
    points = tuple(AnchorPoint(proxy=at / 7, retrained=at / 5) for at in range(40))
    held = tuple(HeldOut(predicted=at / 7, evaluated=at / 6) for at in range(60))
    names = [row.name for row in result.contributors]
    shares = tuple(PayoutShare(name=name, share=1 / len(names), low=0.0, high=0.2, amount=12.5) for name in names)
    return result.model_copy(
        update={
            "fidelity": result.fidelity.model_copy(update={"points": points}),
            "surrogate": result.surrogate and result.surrogate.model_copy(update={"held_out": held}),
            "interactions": (Interaction(a=names[0], b=names[1], value=-0.25),),
            "payout": Payout(rule="in equal parts", shares=shares),
        }
    )


def full_results(names: tuple[str, ...] = NAMES) -> Results:
    results = make_results(names)
    return results.model_copy(update={"games": tuple(map(full, results.games))})


async def test_columns_sort_by_key_and_by_a_click_and_say_which_way() -> None:
    app = opened(CannedSource(results=make_results()))
    async with app.run_test(size=(100, 40)) as pilot:
        table = await at_ranking(pilot, app)
        assert "Rank ▲" in screen(app)
        await pilot.press("j", "o")
        await pilot.pause()
        assert "Contributor ▲" in screen(app)
        assert listed(table) == sorted(NAMES)
        assert table.selected.name == NAMES[1]
        await pilot.press("O")
        assert listed(table) == sorted(NAMES, reverse=True)
        x = screen(app).splitlines()[table.region.y].index("Rows") - table.region.x
        await pilot.click(RankingTable, offset=(x, 0))
        await pilot.pause()
        assert "Rows ▼" in screen(app)
        assert listed(table) == list(reversed(NAMES))
        await pilot.click(RankingTable, offset=(x, 0))
        assert listed(table) == list(NAMES)
        await pilot.click(RankingTable, offset=(20, 3))
        assert table.cursor_row == 2
        await pilot.click(RankingTable, offset=(20, 3), times=2)
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))


async def test_the_filter_works_at_every_key_and_escape_takes_it_off() -> None:
    app = opened(CannedSource(results=make_results()))
    async with app.run_test(size=(80, 24)) as pilot:
        table = await at_ranking(pilot, app)
        await pilot.press("slash", "w", "r")
        await pilot.pause()
        assert table.row_count == 13
        await pilot.press("i", "t", "e", "r", "minus", "1")
        await pilot.pause()
        assert listed(table) == ["writer-10", "writer-11", "writer-12"]
        assert "3 of 14 contributors" in screen(app)
        await pilot.press("down", "enter")
        await pilot.pause()
        assert table.selected.name == "writer-11"
        assert app.focused is table
        await pilot.press("j")
        assert table.selected.name == "writer-12"
        await pilot.press("escape")
        await pilot.pause()
        assert table.row_count == 14
        assert table.selected.name == "writer-12"
        await pilot.press("slash", "z", "z", "escape")
        await pilot.pause()
        assert table.row_count == 14
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_going_to_a_rank_or_a_name_and_back() -> None:
    app = opened(CannedSource(results=make_results()))
    async with app.run_test(size=(80, 24)) as pilot:
        table = await at_ranking(pilot, app)
        await pilot.press("colon", "1", "2", "enter")
        await pilot.pause()
        assert table.selected.rank == 12
        await pilot.press("colon", *"wrong")
        await pilot.pause()
        assert table.selected.name == "wrong labels"
        await pilot.press("escape")
        await pilot.pause()
        assert table.selected.rank == 12


async def test_twenty_four_games_at_eighty_columns() -> None:
    infos = [
        GameInfo(grouping=grouping, utility=utility, proxy=proxy)
        for grouping in ("source", "region")
        for utility in ("fidelity", "confident", "aesthetic", "diversity", "vivid-tail", "sharpness")
        for proxy in ("image", "prompt")
    ]
    results = make_results().model_copy(update={"games": tuple(game_result(info) for info in infos)})
    app = opened(CannedSource(results=results))
    async with app.run_test(size=(80, 24)) as pilot:
        await at_ranking(pilot, app)
        for step in range(24):
            shown = screen(app)
            assert f"game {step + 1} of 24" in shown
            assert f"[{infos[step]}]" in shown
            await pilot.press("right_square_bracket")
            await pilot.pause()
        assert "game 1 of 24" in screen(app)
        line = screen(app).splitlines()[app.workspace.query_one(GameTabs).region.y]
        await pilot.click(GameTabs, offset=(line.index("fidelity / prompt") - 2, 0))
        await pilot.pause()
        assert "game 2 of 24" in screen(app)


async def test_ten_thousand_contributors_cost_what_is_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(f"contributor-{number:05d}" for number in range(10_000))
    results = make_results(NAMES).model_copy(update={"games": (game_result(GAMES[0], names),), "flags": ()})
    app = opened(CannedSource(results=results))
    lines = made = 0
    render_line, strip = RankingTable.render_line, RankingTable._strip

    def counted_line(self, y):
        nonlocal lines
        lines += 1
        return render_line(self, y)

    def counted_strip(self, cells, style):
        nonlocal made
        made += 1
        return strip(self, cells, style)

    monkeypatch.setattr(RankingTable, "render_line", counted_line)
    monkeypatch.setattr(RankingTable, "_strip", counted_strip)
    async with app.run_test(size=(120, 40)) as pilot:
        table = await at_ranking(pilot, app)
        height = table.size.height
        assert table.row_count == 10_000
        assert lines <= 6 * height
        for key, rows in (("G", height), ("j", 2), ("k", 2), ("ctrl+u", height), ("g", height), ("o", height)):
            lines = made = 0
            await pilot.press(key)
            await pilot.pause()
            assert lines <= 3 * height, key
            assert made <= 2 * rows + 6, key
        lines = made = 0
        await pilot.press("slash", *"09999")
        await pilot.pause()
        assert listed(table) == ["contributor-09999"]
        assert lines <= 8 * height
        assert made <= 7 * height


async def test_a_row_and_the_ranking_are_copied_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("TERM_PROGRAM", raising=False)
    app = opened(CannedSource(results=make_results(HOSTILE)))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await at_ranking(pilot, app)
        await pilot.press("y")
        await pilot.pause()
        titles, row = csv.reader(app.clipboard.splitlines(), dialect="excel-tab")
        assert dict(zip(titles, row, strict=True))["name"] == HOSTILE[0]
        await pilot.press("slash", "equals_sign", "enter", "Y")
        await pilot.pause()
        assert "'=HYPERLINK(1)" in app.clipboard
        assert len(app.clipboard.splitlines()) == 2
        assert not list(tmp_path.iterdir())
        await pilot.press("Y")
        await pilot.pause()
        assert (tmp_path / f"{RUN}-ranking.tsv").read_text() == app.clipboard
        assert any(str(tmp_path) in note.message for note in app._notifications)
        monkeypatch.setenv("TERM_PROGRAM", "Apple_Terminal")
        await pilot.press("escape", "Y")
        await pilot.pause()
        assert len((tmp_path / f"{RUN}-ranking-2.tsv").read_text().splitlines()) >= 13


async def test_exports_ask_before_a_file_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = make_results()
    app = opened(CannedSource(results=results))
    async with app.run_test(size=(80, 24)) as pilot:
        await at_ranking(pilot, app)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ExportDialog))
        await pilot.press("j", "j")
        await pilot.pause()
        assert app.screen.query_one(Input).value == f"{RUN}.json"
        await pilot.press("enter")
        written = tmp_path / f"{RUN}.json"
        await until(pilot, written.exists)
        assert Results.model_validate_json(written.read_text()) == results
        written.write_text("mine")
        await pilot.press("x", "down", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, Question))
        assert str(tmp_path)[:20] in screen(app)
        await pilot.press("n")
        await pilot.pause()
        assert written.read_text() == "mine"
        await pilot.press("x", "down", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("y")
        await until(pilot, lambda: written.read_text() != "mine")
        await pilot.press("x", "tab")
        app.screen.query_one(Input).value = "no/such/folder.csv"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        assert "can't be written" in screen(app)


@pytest.mark.parametrize("kind", ["csv", "parquet", "md"])
async def test_every_format_is_written(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = opened(CannedSource(results=make_results(HOSTILE)))
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        app.export(kind)
        app.export(kind)
        assert sorted(path.name for path in tmp_path.iterdir()) == [f"{RUN}-2.{kind}", f"{RUN}.{kind}"]
        if kind == "csv":
            assert "'=HYPERLINK" in (tmp_path / f"{RUN}.csv").read_text()


async def test_a_contributor_in_full() -> None:
    app = opened(CannedSource(results=full_results()))
    async with app.run_test(size=(120, 80)) as pilot:
        await at_ranking(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen) and "Conditions" in screen(app))
        await pilot.pause()
        shown = screen(app)
        for text in (
            "payout 7.1%, 0.0% to 20.0%   amount 12.50",
            "± 0.02",
            "confident  prompt",
            "south        40 %",
            "worth less together",
            "6 conditions in 72 rows",
            "! loss 2.4 times the others'",
        ):
            assert text in shown
        assert app.screen.query_one(Thumbnails).size.height == 8
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert "source / fidelity / prompt" in screen(app)
        assert "can't be told apart from corrupted scans" in screen(app)
        await pilot.press("y")
        await pilot.pause()
        assert len(app.clipboard.splitlines()) == 1 + len(GAMES)


async def test_a_contributor_of_whom_nothing_is_known() -> None:
    source = CannedSource(results=make_results())
    source.data = ContributorData(notes=("Conditions and images can't be had: the spec is not there",))
    app = opened(source)
    async with app.run_test(size=(80, 60)) as pilot:
        await at_ranking(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: "the spec is not there" in screen(app))
        shown = screen(app)
        assert "not known: it needs the coalitions' values" in shown
        assert "not asked for: estimator.interactions = true" in shown


async def test_diagnostics_draw_what_was_measured_and_say_what_was_not() -> None:
    results = make_results()
    mixed = results.model_copy(update={"games": (results.games[0], *map(full, results.games[1:]))})
    app = opened(CannedSource(results=mixed))
    async with app.run_test(size=(160, 50)) as pilot:
        await ready(pilot, app)
        await pilot.press("4")
        await pilot.pause()
        shown = screen(app)
        assert "no surrogate: every coalition was evaluated" in shown
        assert "surrogateshap anchors plan specs/digits.toml --count 15 -o anchors" in shown
        assert "expected, not measured" in shown
        assert "measured at one number of images" in shown
        await pilot.press("right_square_bracket")
        await pilot.pause()
        shown = screen(app)
        assert "60 held-out coalitions" in shown
        assert "40 anchors" in shown
        assert sum(0x2801 <= ord(cell) <= 0x28FF for cell in shown) > 40


async def test_a_comparison_says_what_changed_and_who_moved() -> None:
    left = make_results()
    game = game_result(GAMES[0])
    first, *rest = game.contributors
    moved = first.model_copy(update={"value": first.value - 9, "low": first.low - 9, "high": first.high - 9})
    right = left.model_copy(
        update={
            "run": "other",
            "games": (game.model_copy(update={"contributors": (*rest[:-1], moved)}), *left.games[1:3]),
        }
    )
    one, other = CannedSource(run="one", results=left), CannedSource(run="other", results=right)
    plan = other.made().plan.model_copy(update={"spec": {"seed": 7}})
    other.made = lambda: Made("", plan)
    app = SurrogateShapApp(CannedLibrary(one, other))
    async with app.run_test(size=(100, 40)) as pilot:
        app.push_screen(CompareScreen(one, other))
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and bool(app.screen.games))
        await pilot.pause()
        shown = screen(app)
        for text in (
            "~ seed: not there → 7",
            "game only in ←: source / confident / prompt",
            "1 of 13 contributors moved by more than the intervals",
            "! beyond",
            "only in ←: wrong labels",
            "game 1 of 3",
        ):
            assert text in shown
        await pilot.press("y")
        await pilot.pause()
        assert len(app.clipboard.splitlines()) == 14


async def test_other_methods_are_shown_as_they_were_kept() -> None:
    source = CannedSource(results=make_results())
    app = opened(source)
    async with app.run_test(size=(100, 40)) as pilot:
        await ready(pilot, app)
        await pilot.press("m")
        await until(pilot, lambda: "No other method was tried" in screen(app))
        await pilot.press("escape")
        found = Measured(value=0.75, low=0.5, high=0.9)
        scores = UtilityComparison(utility="quality", values=(1.0, 2.0), lds=found)
        method = ComparedMethod(name="nda", title="NDA", paper="", utilities=(scores,), notes=("\x1b[2J careful",))
        report = ComparisonReport(
            run="r-1",
            name="digits",
            plan_id="0",
            grouping="source",
            contributors=("a", "b"),
            level=0.9,
            kind="retrained",
            utilities=(ComparedUtility(name="quality", v_empty=0.0, v_full=3.0, anchors=9),),
            methods=(method,),
        )
        source.compared = (report,)
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, MethodsScreen) and bool(app.screen.reports))
        await pilot.pause()
        shown = screen(app)
        _harmless(shown)
        for text in ("source / quality", "nda", "0.75", "careful"):
            assert text in shown
        await pilot.press("y")
        await pilot.pause()
        assert "source,quality,nda,0.75" in app.clipboard


async def test_the_record_tells_environment_limits_and_signatures() -> None:
    app = opened(CannedSource(results=make_results()))
    async with app.run_test(size=(100, 60)) as pilot:
        await ready(pilot, app)
        await pilot.press("5")
        await until(pilot, lambda: "The record holds" in screen(app))
        shown = screen(app)
        for text in ("torch 2.6.0", "cpu, float32", "spec 0", "no: its digests find damage", "proxy game", "ab" * 32):
            assert text in shown


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
async def test_hostile_names_are_harmless_on_every_screen(size: tuple[int, int]) -> None:
    source = CannedSource(results=full_results(HOSTILE))
    app = opened(source)
    async with app.run_test(size=size) as pilot:
        table = await at_ranking(pilot, app)
        for _ in range(len(HOSTILE) if size == (80, 24) else 2):
            lines = screen(app).splitlines()[table.region.y + 1 : table.region.y + table.size.height]
            _aligned([line for line in lines if "●" in line])
            _harmless(screen(app))
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, DetailScreen) and bool(app.screen._data))
            await pilot.pause()
            _harmless(screen(app))
            await pilot.press("escape", "j")
            await pilot.pause()
        for tab in ("4", "5"):
            await pilot.press(tab)
            await pilot.pause()
            _harmless(screen(app))
        app.push_screen(CompareScreen(source, source))
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and bool(app.screen.games))
        await pilot.pause()
        _harmless(screen(app))
        _aligned([line for line in screen(app).splitlines() if line.endswith("= within")])


def _harmless(shown: str) -> None:
    assert not any(character in shown for character in "\x1b\x07\u202e\t")


def _aligned(lines: list[str]) -> None:
    """The last columns stand below each other, in cells."""
    assert lines
    assert len({cell_len(line.rstrip(" ▁▂▃▄▅▆▇█")) for line in lines}) == 1
