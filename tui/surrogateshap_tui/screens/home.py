"""Home: the specs of the folder, and the runs of its stores with their state."""

import time
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from rich.console import RenderableType
from rich.table import Table as Grid
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widgets import DataTable, Footer

from surrogateshap import units
from surrogateshap.errors import RunError, SurrogateShapError
from surrogateshap.runs import Cleanup, RunSummary
from surrogateshap.text import harmless
from surrogateshap_tui.errors import known
from surrogateshap_tui.library import About, Library, Listing
from surrogateshap_tui.messages import CanFree, Described, Did, Failed, Listed, OpenComparison, OpenTarget
from surrogateshap_tui.screens.dialogs import Question
from surrogateshap_tui.screens.page import Page
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.home_tables import ORDERS, Rows, in_order, matching, run_rows, spec_rows
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.prompt import Prompt
from surrogateshap_tui.widgets.scrolling import Table

_AGAIN = 2.0
"""Seconds between two looks at the stores while a run is going; none is taken while nothing runs."""
_SPECS = ("Spec", "What it is", "Last run")
_RUNS = ("", "State", "Run", "Progress", "Changed", "Spec")
_SORTS = {1: "state", 2: "run", 3: "progress", 4: "changed"}
"""Columns whose titles can be clicked."""


class HomeScreen(Page):
    """Two tables; what is chosen is opened in a workspace."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,h", "unfilter", "Show all", show=False, tooltip="show all again"),
        Binding("p", "plan", "Plan", tooltip="plan the spec, or the run's spec"),
        Binding("a", "apply", "Apply", tooltip="plan it, and ask whether to apply"),
        Binding("space", "mark", "Mark", tooltip="mark a run; two can be compared"),
        Binding("c", "compare", "Compare", tooltip="the two marked runs side by side"),
        Binding("slash", "filter", "Find", key_display="/", tooltip="show what holds these words"),
        Binding("o", "sort", "Sort", show=False, tooltip="sort the runs by another column"),
        Binding("n", "create", "New", tooltip="write a commented spec to start from, and open it"),
        Binding("f", "move", "Folder", show=False, tooltip="list another folder"),
        Binding("s", "stop", "Stop", show=False, tooltip="stop the selected run, whoever started it; asks first"),
        Binding("d", "forget", "Forget", show=False, tooltip="forget the selected run and its results; asks first"),
        Binding("z", "free", "Free space", show=False, tooltip="delete what no run needs; says how much, then asks"),
        Binding("r", "reload", "Reload", show=False, tooltip="look at the folder and the stores again"),
    ]

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.listing = Listing((), ())
        self.seen = Listing((), ())
        """What of it is shown, as it is sorted."""
        self.marked: tuple[str, ...] = ()
        """Runs, in the order in which they were marked; two at most."""
        self.order = ORDERS[0]
        self.words = ""
        """What is looked for."""
        self._abouts: dict[str, About] = {}
        self._library = library
        self._looked = self._looking = False
        self._complaint = ""
        """What the last look failed with. Closing its dialog looks again: the same isn't told twice."""
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """See Screen."""
        yield Picture(id="status")
        yield Picture(id="empty")
        yield Picture(id="specs-title", classes="title")
        yield Table(id="specs")
        yield Picture(id="runs-title", classes="title")
        yield Table(id="runs")
        yield Prompt()
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
        self._look_later(False)

    def on_resize(self) -> None:
        """Fits the columns."""
        self._show()

    # What the user asks

    def action_reload(self) -> None:
        """Looks at the folder and the stores."""
        if not self._looking:
            self._looking = True
            self.run_worker(self._look, thread=True, group="listing")

    def action_open(self) -> None:
        """Opens what is selected; a run that goes on elsewhere is followed."""
        target = self._selected
        if target:
            self.post_message(OpenTarget(target))

    def action_plan(self) -> None:
        """Opens the plan of what is selected."""
        self._open_spec(ask=False)

    def action_apply(self) -> None:
        """Opens the plan of what is selected and asks whether to apply it."""
        self._open_spec(ask=True)

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

    def action_filter(self) -> None:
        """Asks what to look for."""
        self.query_one(Prompt).open("find", "/", self.words)

    def action_unfilter(self) -> None:
        """Shows all again."""
        self._find("")

    def action_sort(self) -> None:
        """Sorts by the next column."""
        self._sort(ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)])

    def action_create(self) -> None:
        """Asks for a name."""
        self.query_one(Prompt).open("create", "New spec:", "surrogateshap.toml")

    def action_move(self) -> None:
        """Asks for a folder."""
        self.query_one(Prompt).open("move", "Folder:", self._library.folder)

    def action_forget(self) -> None:
        """Asks, then takes the selected run out of its store."""
        run = self._run
        if run is None:
            return
        lines = [f"{run.run}, {run.status}", "", "Its results and its record are deleted. What other runs use stays."]

        def forget(answer: str | None) -> None:
            if answer == "y":
                self._in_thread(partial(self._library.forget, run.run), f"{run.run} is forgotten.")

        self.app.push_screen(Question("Forget the run?", lines, {"n": "Keep it", "y": "Forget it"}), forget)

    def action_stop(self) -> None:
        """Asks, then stops the selected run."""
        run = self._run
        if run is None:
            return
        lines = [run.run, "", "It ends after the batch in hand. What is finished is kept; applying again goes on."]

        def stop(answer: str | None) -> None:
            if answer == "y":
                self._in_thread(partial(self._library.stop, run.run), f"{run.run} is asked to stop.")

        self.app.push_screen(Question("Stop the run?", lines, {"n": "Let it run", "y": "Stop it"}), stop)

    def action_free(self) -> None:
        """Looks at what could go, then asks."""

        def look() -> Message:
            return CanFree(self._library.free(dry_run=True))

        self._work(look)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers only what can be done now."""
        match action:
            case "plan" | "apply":
                return bool(self._selected)
            case "mark" | "forget":
                return self._run is not None
            case "stop":
                return self._run is not None and self._run.status == "running"
            case "compare":
                return len(self.marked) == 2
            case "filter" | "sort":
                return bool(self.listing.specs or self.listing.runs)
            case "unfilter":
                return bool(self.words)
            case _:
                return True

    # What workers and widgets say

    @on(Listed)
    def _listed(self, message: Listed) -> None:
        first = not self._looked
        self._looking, self._looked, self.listing = False, True, message.listing
        names = {run.run for run in self.listing.runs}
        self.marked = tuple(name for name in self.marked if name in names)
        self._show()
        if first:
            self.query_one("#runs" if self.listing.runs else "#specs", Table).focus()
        self._look_later(self.is_current and any(run.status == "running" for run in self.listing.runs))

    @on(Described)
    def _described(self, message: Described) -> None:
        if message.abouts != self._abouts:
            self._abouts = message.abouts
            self._show()

    @on(Did)
    def _did(self, message: Did) -> None:
        self.notify(message.what, markup=False)
        self._looking = False
        self.action_reload()

    @on(CanFree)
    def _can_free(self, message: CanFree) -> None:
        freed = sum(one.bytes for one in message.found)
        if not any(one.files or one.rows for one in message.found):
            self.notify("Nothing to free: runs need all that is there.")
            return

        def free(answer: str | None) -> None:
            if answer == "y":
                self._in_thread(lambda: self._library.free(dry_run=False), f"Freed {units.size(freed)}.")

        title, answers = f"Free {units.size(freed)}?", {"n": "Keep it", "y": "Free it"}
        self.app.push_screen(Question(title, _freed(message.found), answers), free)

    @on(DataTable.RowSelected)
    def _row_selected(self) -> None:
        self.action_open()

    @on(DataTable.HeaderSelected, "#runs")
    def _header_selected(self, event: DataTable.HeaderSelected) -> None:
        if event.column_index in _SORTS:
            self._sort(_SORTS[event.column_index])

    @on(DataTable.RowHighlighted)
    def _row_highlighted(self) -> None:
        self.refresh_bindings()

    @on(Prompt.Typed)
    def _prompt_typed(self, event: Prompt.Typed) -> None:
        if event.kind == "find":
            self._find(event.words)

    @on(Prompt.Closed)
    def _prompt_closed(self, event: Prompt.Closed) -> None:
        match event.kind, event.words.strip():
            case "find", words:
                self._find(words if event.kept else "")
            case "create", name if event.kept and name:
                self._work(lambda: OpenTarget(self._library.create(name), tab="plan"))
            case "move", folder if event.kept and folder:
                self._looked = False
                self._in_thread(partial(self._library.move, folder), f"This is {harmless(folder)}")
        self.query_one("#runs" if self.seen.runs else "#specs", Table).focus()

    def on_descendant_focus(self) -> None:
        """What can be done depends on the table."""
        self.refresh_bindings()

    # Slow work

    def _look_later(self, wanted: bool) -> None:
        """At most one look waits, however often it was asked for one in between."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_AGAIN, self.action_reload) if wanted else None

    def _look(self) -> None:
        complaint: SurrogateShapError | None = None
        try:
            listing = self._library.listing()
        except Exception as error:
            listing, complaint = self.listing, known(error)
        self.post_message(Listed(listing))
        abouts = {}
        for spec in listing.specs if complaint is None else ():
            try:
                abouts[spec] = self._library.about(spec)
            except Exception as error:
                complaint = complaint or known(error)
        if complaint is None or abouts:
            self.post_message(Described(abouts))
        said = complaint.message if complaint is not None else ""
        if complaint is not None and said != self._complaint:
            self.post_message(Failed(complaint))
        self._complaint = said

    def _in_thread(self, work: Callable[[], object], what: str) -> None:
        def call() -> Message:
            work()
            return Did(what)

        self._work(call)

    def _work(self, work: Callable[[], Message]) -> None:
        """Posts what the work gives, or its error."""

        def call() -> None:
            try:
                self.post_message(work())
            except Exception as error:
                self.post_message(Failed(known(error)))

        self.run_worker(call, thread=True)

    # What is selected, and what is shown

    @property
    def _run(self) -> RunSummary | None:
        table = self.query_one("#runs", Table)
        runs = self.seen.runs
        return runs[table.cursor_row] if table.has_focus and 0 <= table.cursor_row < len(runs) else None

    @property
    def _selected(self) -> str:
        table = self.query_one("#specs", Table)
        if table.has_focus and 0 <= table.cursor_row < len(self.seen.specs):
            return self.seen.specs[table.cursor_row]
        return self._run.run if self._run is not None else ""

    def _open_spec(self, *, ask: bool) -> None:
        run = self._run
        spec = self.listing.spec(run.run) if run is not None else self._selected
        if run is not None and not spec:
            message = f"the spec of run {harmless(run.run)}, {harmless(run.spec_file)}, is not in this folder"
            self.post_message(
                Failed(RunError(message, "Open the folder that it is in (f), or the run itself (enter)."))
            )
            return
        self.post_message(OpenTarget(spec, tab="plan", ask=ask))

    def _find(self, words: str) -> None:
        if words != self.words:
            self.words = words
            self._show()

    def _sort(self, order: str) -> None:
        self.order = order
        self._show()

    def _show(self) -> None:
        listing, palette = self.listing, Palette.of(self.app)
        self.seen = in_order(matching(listing, self._abouts, self.words), self.order)
        head = f"{units.plural(len(listing.specs), 'spec')}, {units.plural(len(listing.runs), 'run')}"
        if self.words:
            head = f"{len(self.seen.specs)} of {head.replace(', ', f', {len(self.seen.runs)} of ')}"
        title = Text.assemble(("surrogateshap", palette.heading), "  ", plain(self._library.folder), f"  {head}")
        self.query_one("#status", Picture).show(lambda _palette, _: title)
        empty = self._looked and not (listing.specs or listing.runs)
        self.query_one("#empty").display = empty
        self.query_one("#empty", Picture).show(lambda palette, _: _nothing(self._library.folder, listing.note, palette))
        for part in ("#specs-title", "#specs", "#runs-title", "#runs"):
            self.query_one(part).display = not empty
        found = f"  / {harmless(self.words)}" if self.words else ""
        self.query_one("#specs-title", Picture).show(
            lambda palette, _: Text.assemble(("Specs", palette.heading), (found, palette.muted))
        )
        note = harmless(listing.note or ("" if listing.runs else "none yet: apply a spec"), 500)
        note = note or f"by {self.order}"
        self.query_one("#runs-title", Picture).show(
            lambda palette, _: Text.assemble(("Runs", palette.heading), "  ", (note + found, palette.muted))
        )
        now, width = time.time(), self.size.width - 4
        specs = spec_rows(self.seen, self._abouts, listing, now, palette, width)
        _fill(self.query_one("#specs", Table), _SPECS, specs)
        _fill(self.query_one("#runs", Table), _RUNS, run_rows(self.seen, self.marked, now, palette, width))
        self.refresh_bindings()


def _nothing(folder: str, note: str, palette: Palette) -> RenderableType:
    """What to do where there is nothing to list."""
    steps = Grid.grid(padding=(0, 2, 0, 0))
    for key, words in (
        (
            "n",
            "write a commented spec: it runs as it is, on digits that ship along, and is there to be changed",
        ),
        ("f", "list another folder"),
        ("?", "all keys"),
        ("q", "quit"),
    ):
        steps.add_row(Text(key, palette.heading), Text(words))
    page = Grid.grid()
    head = Text.assemble("Nothing to see in ", plain(folder), " yet: no spec, and no run.")
    for part in (head, Text(harmless(note, 500), palette.warning), steps):
        page.add_row(part)
    return page


def _freed(found: tuple[Cleanup, ...]) -> list[str]:
    lines = []
    for one in found:
        lines += [f"{kind.kind}: {units.plural(kind.files, 'file')}, {units.size(kind.bytes)}" for kind in one.kinds]
    kept = sum(one.kept_bytes for one in found)
    return [*lines, "", f"{units.size(kept)} that runs need stay. What is deleted would have to be computed again."]


def _fill(table: Table, titles: tuple[str, ...], rows: Rows) -> None:
    """Fills a table anew; the cursor stays where it is.

    Columns get their widths here: the table finds them only once it idles, and keeps lines that it drew before that.
    """
    cursor = table.cursor_row
    table.clear(columns=True)
    for at, title in enumerate(titles):
        head = Text(f"{title} ")
        table.add_column(head, width=max([head.cell_len, *(row[at].cell_len + 2 for row in rows)]))
    for row in rows:
        table.add_row(*row)
    table.move_cursor(row=min(cursor, max(0, len(rows) - 1)))
