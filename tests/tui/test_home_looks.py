"""How Home shows what it finds: an error that lasts is told once, and tables fit from the first."""

from canned import CannedLibrary, CannedSource
from rich.text import Text
from surrogateshap_tui.app import SurrogateShapApp
from surrogateshap_tui.library import About, Listing
from surrogateshap_tui.screens.dialogs import ErrorPage
from surrogateshap_tui.screens.home import HomeScreen, _fill
from surrogateshap_tui.widgets.scrolling import Table
from test_app import screen, until
from test_navigation import at_home
from textual.widgets import Input

from surrogateshap.errors import RunError


class Unreadable(CannedLibrary):
    """Lists nothing, or describes nothing."""

    listed = described = False

    def listing(self) -> Listing:
        if not self.listed:
            self.looked += 1
            raise RunError("the disk is gone", "Mount it.")
        return super().listing()

    def about(self, spec: str) -> About:
        if not self.described and spec == "a.toml":
            raise RunError("a.toml is a riddle", "Solve it.")
        return super().about(spec)


def two_specs() -> Unreadable:
    first, second = CannedSource(), CannedSource()
    first.target, second.target = "a.toml", "b.toml"
    return Unreadable(first, second)


async def test_a_folder_that_cannot_be_listed_is_told_once() -> None:
    shelf = two_specs()
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        looked = shelf.looked
        await pilot.press("escape")
        await until(pilot, lambda: shelf.looked > looked)
        await pilot.pause(0.05)
        assert isinstance(app.screen, HomeScreen)
        shelf.listed = shelf.described = True
        await pilot.press("r")
        await at_home(pilot, app)
        shelf.listed = False
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))


async def test_a_spec_that_cannot_be_described_leaves_the_others_alone() -> None:
    shelf = two_specs()
    shelf.listed = True
    app = SurrogateShapApp(shelf)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ErrorPage))
        looked = shelf.looked
        await pilot.press("escape")
        await until(pilot, lambda: shelf.looked > looked)
        await pilot.pause(0.05)
        assert isinstance(app.screen, HomeScreen)
        assert "14 by source" in screen(app)


async def test_columns_are_as_wide_as_their_cells_before_the_table_idles() -> None:
    app = SurrogateShapApp(CannedLibrary(CannedSource()))
    async with app.run_test(size=(80, 24)) as pilot:
        home = await at_home(pilot, app)
        table = home.query_one("#specs", Table)
        _fill(table, ("A", "Longer"), [(Text("the first"), Text("b")), (Text("c"), Text("写字"))])
        assert [column.get_render_width(table) for column in table.ordered_columns] == [11, 7]


async def test_what_is_typed_at_once_goes_to_the_line_that_asks() -> None:
    app = SurrogateShapApp(CannedLibrary(CannedSource()))
    async with app.run_test(size=(80, 24)) as pilot:
        home = await at_home(pilot, app)
        home.action_filter()
        assert isinstance(app.focused, Input)
