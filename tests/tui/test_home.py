"""Home by keys: what it lists, finds, sorts and asks; and the library behind it on real folders."""

import os
from pathlib import Path

import pytest
from canned import RUN, CannedLibrary, CannedSource, summary_of
from rich.style import Style
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.library import About, ApiLibrary, Listing
from surrogateshap_tui.screens.dialogs import ErrorPage, Question
from surrogateshap_tui.screens.workspace import WorkspaceScreen
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.home_tables import in_order, matching, run_rows
from test_app import screen, until
from test_navigation import OTHER, at_home, library
from textual.widgets import DataTable

from surrogateshap import api
from surrogateshap.errors import RunError
from surrogateshap.store import Store
from tests.samples import HOSTILE
from tests.tiny import Project

NONE = Palette(*[Style()] * 6)
RUNS = (
    summary_of("b-run", "running", updated=30.0),
    summary_of("a-run", "failed", updated=20.0, spec="other.toml"),
    summary_of("c-run", updated=10.0),
)
LISTING = Listing(("specs/digits.toml", "z.toml"), RUNS, "", ("specs/digits.toml", "", "specs/digits.toml"))


def names(listing: Listing) -> str:
    return "".join(run.run[0] for run in listing.runs)


def test_runs_are_sorted_and_found_with_their_specs() -> None:
    assert [names(in_order(LISTING, order)) for order in ("changed", "run", "state", "progress")] == [
        "bac",
        "abc",
        "bca",
        "cba",
    ]
    assert in_order(LISTING, "run").spec("a-run") == ""
    assert in_order(LISTING, "run").spec("c-run") == "specs/digits.toml"
    found = matching(LISTING, {"z.toml": About("Faces")}, "FACES")
    assert (found.specs, names(found)) == (("z.toml",), "")
    assert names(matching(LISTING, {}, "run digits")) == "bc"
    assert names(matching(LISTING, {}, "failed")) == "a"


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("width", [76, 156])
def test_names_of_strangers_fit_and_are_harmless(name: str, width: int) -> None:
    run = summary_of("r", spec=name)
    for spec in (name, ""):
        (row,) = run_rows(Listing((), (run,), "", (spec,)), (), 0.0, NONE, width)
        assert sum(cell.cell_len + 2 for cell in row) <= width
        assert not any(ord(character) < 32 or character == "\u202e" for cell in row for character in cell.plain)


async def test_specs_say_what_they_are_and_how_they_last_went() -> None:
    shelf = library()
    shelf.sources["broken.toml"] = CannedSource()
    shelf.sources["broken.toml"].target = "broken.toml"
    shelf.abouts["broken.toml"] = About(problems=2)
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_home(pilot, app)
        await until(pilot, lambda: "! 2 problems" in screen(app))
        shown = screen(app)
        assert "digits  14 by source; 2 utilities" in shown
        assert "never run" in shown
        assert "✓ done, 6" in shown
        assert "━━━━━━ 6/6" in shown
        await until(pilot, lambda: "? Help  q Quit" in screen(app).splitlines()[-1])


async def test_a_slash_finds_and_escape_shows_all_again() -> None:
    app = SurrogateShapApp(library())
    async with app.run_test(size=(80, 24)) as pilot:
        home = await at_home(pilot, app)
        await pilot.press("slash", *"77aa")
        await pilot.pause()
        assert [run.run for run in home.seen.runs] == [OTHER]
        assert "0 of 1 spec, 1 of 2 runs" in screen(app)
        await pilot.press("enter")
        await pilot.pause()
        assert home.query_one("#runs").has_focus
        await pilot.press("escape")
        await pilot.pause()
        assert len(home.seen.runs) == 2
        await pilot.press("slash", *"zzz", "escape")
        await pilot.pause()
        assert len(home.seen.runs) == 2


async def test_runs_are_sorted_by_key_and_by_mouse() -> None:
    app = SurrogateShapApp(CannedLibrary(CannedSource(), runs=RUNS))
    async with app.run_test(size=(100, 24)) as pilot:
        home = await at_home(pilot, app)
        await pilot.press("o")
        await pilot.pause()
        assert names(home.seen) == "abc"
        assert "by run" in screen(app)
        table = home.query_one("#runs", DataTable)
        table.post_message(
            DataTable.HeaderSelected(table, table.ordered_columns[3].key, 3, table.ordered_columns[3].label)
        )
        await pilot.pause()
        assert names(home.seen) == "cba"


async def test_forgetting_asks_first() -> None:
    shelf = library()
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        home = await at_home(pilot, app)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await until(pilot, lambda: RUN in screen(app))
        await pilot.press("escape")
        assert shelf.did == []
        await pilot.press("d", "y")
        await until(pilot, lambda: len(home.listing.runs) == 1)
        assert shelf.did == [("forget", RUN)]


async def test_freeing_says_how_much_and_asks() -> None:
    shelf = library()
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_home(pilot, app)
        await pilot.press("z")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.pause()
        assert "images: 3 files, 1.2 MB" in screen(app)
        assert "5.0 MB that runs need stay" in screen(app)
        await pilot.press("y")
        await until(pilot, lambda: ("free", "") in shelf.did)


async def test_a_run_of_another_window_is_stopped_after_asking() -> None:
    shelf = CannedLibrary(CannedSource(), runs=RUNS)
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        home = await at_home(pilot, app)
        await pilot.press("j", "s")
        assert not isinstance(app.screen, Question)  # a failed run can't be stopped
        await pilot.press("k", "s", "y")
        await until(pilot, lambda: home.listing.runs[0].status == "interrupted")
        assert shelf.did == [("stop", "b-run")]


async def test_a_run_whose_spec_is_gone_says_so() -> None:
    app = SurrogateShapApp(CannedLibrary(CannedSource(), runs=RUNS))
    async with app.run_test(size=(80, 24)) as pilot:
        await at_home(pilot, app)
        assert "other.toml (not here" in screen(app)
        await pilot.press("j", "p")
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        await pilot.pause()
        assert "the spec of run a-run, other.toml, is not in this folder" in screen(app).replace("\n", " ")


async def test_a_new_spec_is_written_and_opened() -> None:
    shelf = CannedLibrary()
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Nothing to see in . yet" in screen(app))
        assert "write a commented spec" in screen(app)
        await pilot.press("n", "enter")
        await until(pilot, lambda: isinstance(app.screen, WorkspaceScreen) and app.screen.session.plan is not None)
        assert app.screen.session.source.target == "surrogateshap.toml"
        assert app.screen.tab == "plan"


async def test_another_folder_is_listed_or_named_as_wrong() -> None:
    shelf = library()
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_home(pilot, app)
        await pilot.press("f", "backspace", *"nowhere", "enter")
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        await pilot.press("escape", "f", "backspace", *"elsewhere", "enter")
        await until(pilot, lambda: "Nothing to see in elsewhere yet" in screen(app))


def test_a_real_folder(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.folder)
    spec = tiny.spec()
    (tiny.folder / "pyproject.toml").write_text("[project]\n")
    (tiny.folder / "broken.toml").write_text('spec_version = 1\nname = "b"\nwhat = 1\n')
    shelf = ApiLibrary(Path(), store=None)
    assert shelf.listing() == Listing(("broken.toml", spec.name), ())
    with pytest.raises(RunError, match="no store"):
        shelf.free(dry_run=True)
    run = api.apply(spec).run
    listing = shelf.listing()
    assert [one.run for one in listing.runs] == [run]
    assert listing.spec(run) == spec.name
    assert shelf.about("broken.toml").problems > 1
    about = shelf.about(spec.name)
    assert about.name == api.plan(spec).name
    assert "by owner" in about.words
    assert "utilit" in about.words
    os.utime("broken.toml", (1, 1))
    (tiny.folder / "broken.toml").write_text(spec.read_text())
    assert shelf.about("broken.toml") == about
    assert shelf.about("gone.toml") == About()
    (freed,) = shelf.free(dry_run=True)
    assert freed.files == 0
    with pytest.raises(RunError, match="is done"):
        shelf.stop(run)
    shelf.forget(run)
    assert shelf.listing().runs == ()
    assert shelf.free(dry_run=False)[0].bytes > 0
    assert shelf.create("new") == "new.toml"
    assert api.plan(Path("new.toml")).name == "my-data"
    with pytest.raises(RunError, match="is there already"):
        shelf.create("new.toml")
    with pytest.raises(RunError, match="can't be written"):
        shelf.create("no/such/folder")


def test_no_store_leads_out_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    outside = tmp_path / "outside.toml"
    outside.write_text("spec_version = 1\n")
    (folder / "link.toml").symlink_to(outside)
    with Store.open(folder / ".surrogateshap") as store:
        for name, spec in (("a", str(outside)), ("b", "link.toml"), ("c", "../outside.toml"), ("d", "a\0b")):
            store.begin_run(name, name, "0" * 64, "0" * 64, spec, "0" * 64)
    listing = ApiLibrary(Path(), store=None).listing()
    assert set(listing.spec_of) == {""}
    allowed = ApiLibrary(Path(), store=None, allow_paths=[tmp_path]).listing()
    assert allowed.spec("a") == allowed.spec("b") == "link.toml"  # the same file, as it is listed


def test_a_folder_must_be_there(tmp_path: Path) -> None:
    shelf = ApiLibrary(tmp_path, store=None)
    with pytest.raises(RunError, match="is not a folder"):
        shelf.move(str(tmp_path / "no"))
    (tmp_path / "yes").mkdir()
    shelf.move(str(tmp_path / "yes"))
    assert shelf.folder.endswith("yes")
