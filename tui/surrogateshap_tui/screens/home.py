"""Home: the specs of the folder, and the runs of its stores with their state."""

import time
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import DataTable, Footer

from surrogateshap import units
from surrogateshap.runs import RunSummary
from surrogateshap.text import harmless
from surrogateshap_tui.errors import known
from surrogateshap_tui.library import Library, Listing
from surrogateshap_tui.messages import Failed, Listed, OpenComparison, OpenTarget
from surrogateshap_tui.screens.page import Page
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scrolling import Table

_AGAIN = 2.0
"""Seconds between two looks at the stores while a run is going; none is taken while nothing runs."""
_SIGNS = {"running": ">", "done": "✓", "failed": "✗", "interrupted": "!"}
_MARK = "◆"


class HomeScreen(Page):
    """Two tables; what is chosen is opened in a workspace."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,h", "app.quit", "Quit", show=False),
        Binding("p", "plan", "Plan", tooltip="plan the spec, or the run's spec"),
        Binding("a", "apply", "Apply", tooltip="plan it, and ask whether to apply"),
        Binding("space", "mark", "Mark", tooltip="mark a run; two can be compared"),
        Binding("c", "compare", "Compare", tooltip="the two marked runs side by side"),
        Binding("r", "reload", "Reload", tooltip="look at the folder and the stores again"),
    ]

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.listing = Listing((), ())
        self.marked: tuple[str, ...] = ()
        """Runs, in the order in which they were marked; two at most."""
        self._library = library
        self._looking = False
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """See Screen."""
        yield Picture(id="status")
        yield Picture(id="specs-title", classes="title")
        yield Table(id="specs")
        yield Picture(id="runs-title", classes="title")
        yield Table(id="runs")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Redraws in the colours of a new theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._show())
        self._show()

    def on_screen_resume(self) -> None:
        """Looks again at what may have changed meanwhile."""
        self.action_reload()

    def on_screen_suspend(self) -> None:
        """Nothing is looked at that nobody sees."""
        if self._timer is not None:
            self._timer.stop()

    def action_reload(self) -> None:
        """Looks at the folder and the stores."""
        if not self._looking:
            self._looking = True
            self.run_worker(self._look, thread=True, group="listing")

    def action_open(self) -> None:
        """Opens what is selected."""
        target = self._selected
        if target:
            self.post_message(OpenTarget(target))

    def action_plan(self) -> None:
        """Opens the plan of what is selected."""
        self.post_message(OpenTarget(self._spec, tab="plan"))

    def action_apply(self) -> None:
        """Opens the plan of what is selected and asks whether to apply it."""
        self.post_message(OpenTarget(self._spec, tab="plan", ask=True))

    def action_mark(self) -> None:
        """Marks the selected run, or takes the mark away."""
        run = self._run
        if run is not None:
            rest = tuple(name for name in self.marked if name != run.run)
            self.marked = rest if run.run in self.marked else (*rest[-1:], run.run)
            self._show()

    def action_compare(self) -> None:
        """Opens the two marked runs side by side."""
        self.post_message(OpenComparison(*self.marked))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers only what can be done now."""
        match action:
            case "open":
                return bool(self._selected)
            case "plan" | "apply":
                return bool(self._spec)
            case "mark":
                return self._run is not None
            case "compare":
                return len(self.marked) == 2
            case _:
                return True

    @on(Listed)
    def _listed(self, message: Listed) -> None:
        first = self.listing == Listing((), ())
        self._looking, self.listing = False, message.listing
        names = {run.run for run in self.listing.runs}
        self.marked = tuple(name for name in self.marked if name in names)
        self._show()
        if first:
            self.query_one("#runs" if self.listing.runs else "#specs", Table).focus()
        if self.is_current and any(run.status == "running" for run in self.listing.runs):
            self._timer = self.set_timer(_AGAIN, self.action_reload)

    @on(DataTable.RowSelected)
    def _row_selected(self) -> None:
        self.action_open()

    def on_descendant_focus(self) -> None:
        """What can be done depends on the table."""
        self.refresh_bindings()

    def _look(self) -> None:
        try:
            listing = self._library.listing()
        except Exception as error:
            self.post_message(Listed(self.listing))
            self.post_message(Failed(known(error)))
            return
        self.post_message(Listed(listing))

    @property
    def _run(self) -> RunSummary | None:
        table = self.query_one("#runs", Table)
        runs = self.listing.runs
        return runs[table.cursor_row] if table.has_focus and 0 <= table.cursor_row < len(runs) else None

    @property
    def _selected(self) -> str:
        table = self.query_one("#specs", Table)
        if table.has_focus and 0 <= table.cursor_row < len(self.listing.specs):
            return self.listing.specs[table.cursor_row]
        return self._run.run if self._run is not None else ""

    @property
    def _spec(self) -> str:
        return self._run.spec_file if self._run is not None else self._selected

    def _show(self) -> None:
        listing, palette = self.listing, Palette.of(self.app)
        head = f"{units.plural(len(listing.specs), 'spec')}, {units.plural(len(listing.runs), 'run')}"
        title = Text.assemble(("surrogateshap", palette.heading), "  ", plain(self._library.folder), f"  {head}")
        self.query_one("#status", Picture).show(lambda _palette, _: title)
        self.query_one("#specs-title", Picture).show(lambda palette, _: Text("Specs", palette.heading))
        note = plain(listing.note or ("" if listing.runs else "none yet: apply a spec"), 500, palette.muted)
        runs_title = Text.assemble(("Runs", palette.heading), "  ", note)
        self.query_one("#runs-title", Picture).show(lambda _palette, _: runs_title)
        _fill(self.query_one("#specs", Table), ("Spec",), [(plain(spec),) for spec in listing.specs])
        now = time.time()
        rows = [_row(run, run.run in self.marked, now, palette) for run in listing.runs]
        _fill(self.query_one("#runs", Table), ("", "State", "Run", "Stages", "Games", "Changed", "Spec"), rows)
        self.refresh_bindings()


def _row(run: RunSummary, marked: bool, now: float, palette: Palette) -> tuple[Text, ...]:
    styles = {"running": palette.primary, "done": palette.success, "failed": palette.error}
    return (
        Text(_MARK if marked else " ", palette.warning),
        Text(f"{_SIGNS[run.status]} {run.status}", styles.get(run.status, palette.warning)),
        plain(run.run),
        Text(f"{run.stages_done}/{run.stages}"),
        Text(str(run.games)),
        Text(f"{units.duration(max(0.0, now - run.updated))} ago"),
        Text(harmless(run.spec_file)),
    )


def _fill(table: Table, titles: tuple[str, ...], rows: list[tuple[Text, ...]]) -> None:
    """Fills a table anew; the cursor stays where it is."""
    cursor = table.cursor_row
    table.clear(columns=True)
    for title in titles:
        table.add_column(Text(f"{title} "))
    for row in rows:
        table.add_row(*(Text.assemble(cell, "  ") for cell in row))
    table.move_cursor(row=min(cursor, max(0, len(rows) - 1)))
