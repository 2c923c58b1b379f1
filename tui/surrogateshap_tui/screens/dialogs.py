"""Dialogs: a question with two answers, an error with its remedies, and the keys."""

from collections.abc import Iterable
from typing import ClassVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from surrogateshap.errors import Problem, SpecError, SurrogateShapError
from surrogateshap.text import harmless
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.views.scroll import Scroll
from surrogateshap_tui.widgets.picture import Picture, plain

KEYS = (
    ("1 2 3", "plan, run, ranking"),
    ("a", "apply the plan; asks first"),
    ("s", "stop the run; what is finished is kept"),
    ("r", "read the spec again and plan anew"),
    ("[ ]", "previous game, next game"),
    ("c", "proxy game; retraining game, from anchors"),
    ("j k, arrows", "one line down, up"),
    ("g G", "first line, last line"),
    ("enter, escape", "answer a dialog, close it"),
    ("ctrl+p", "commands, such as another theme"),
    ("?", "these keys"),
    ("q", "quit; a run that was started here is stopped first, after asking"),
)
MARKS = (
    ("+ ~ =", "a stage of the plan is new, partly there, cached"),
    ("· > ✓ = !", "a stage of the run waits, runs, is done, was cached, was stopped"),
    ("│ ━ ●", "zero, the value's bar, the value"),
    ("├─┤", "the value's interval"),
)


class Question(ModalScreen[bool]):
    """Asks for a yes or a no; escape is a no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", show=False),
        Binding("n,escape,q", "answer(False)", "No", show=False),
        Binding("left,right,h,l,up,down", "app.focus_next", "Other answer", show=False),
    ]

    def __init__(self, title: str, lines: Iterable[str], *, yes: str, no: str) -> None:
        super().__init__()
        self._title, self._lines, self._yes, self._no = title, tuple(lines), yes, no

    def compose(self) -> ComposeResult:
        """See Screen."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            yield Static(Text("\n").join(plain(line, 500) for line in self._lines))
            with Horizontal(classes="buttons"):
                yield Button(Text(self._yes), id="yes", variant="primary", compact=True)
                yield Button(Text(self._no), id="no", compact=True)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Closes the dialog with this answer."""
        self.dismiss(answer)


class _Page(ModalScreen[None]):
    """Something to read, that scrolls and is closed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark", "dismiss(None)", "Close", show=False)
    ]

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def compose(self) -> ComposeResult:
        """See Screen."""
        with Vertical(classes="dialog page") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "escape to close"
            with Scroll():
                yield Picture()

    def on_mount(self) -> None:
        """Fills the page."""
        self.query_one(Picture).show(self.draw)

    def draw(self, palette: Palette, width: int) -> RenderableType:
        """What there is to read."""
        return Text()


class ErrorPage(_Page):
    """An error: every problem, where it is, and what to do about it."""

    def __init__(self, error: SurrogateShapError) -> None:
        problems = len(error.problems) if isinstance(error, SpecError) else 1
        super().__init__(f"{problems} problems" if problems > 1 else "Error")
        self.add_class("error")
        self._error = error

    def draw(self, palette: Palette, width: int) -> RenderableType:
        """See _Page."""
        if isinstance(self._error, SpecError):
            return Text("\n\n").join(_problem(problem, palette) for problem in self._error.problems)
        return _message(Text(), self._error.message, self._error.remedy, palette)


class HelpPage(_Page):
    """The keys and the signs."""

    def __init__(self) -> None:
        super().__init__("Keys and signs")

    def draw(self, palette: Palette, width: int) -> RenderableType:
        """See _Page."""
        tables = []
        for rows in (KEYS, MARKS):
            table = Table.grid(padding=(0, 2, 0, 0), expand=True)
            table.add_column(width=14)
            table.add_column(ratio=1)
            for sign, meaning in rows:
                table.add_row(Text(sign, palette.heading), Text(meaning))
            tables.append(table)
        return Group(tables[0], Text(), tables[1])


def _problem(problem: Problem, palette: Palette) -> Text:
    where = f"{problem.file}:{problem.line}" if problem.line else problem.file
    head = (
        Text.assemble(plain(where), " ", (harmless(problem.key), palette.heading)) if where or problem.key else Text()
    )
    return _message(head.append("\n") if head else head, problem.message, problem.remedy, palette)


def _message(head: Text, message: str, remedy: str, palette: Palette) -> Text:
    text = Text.assemble(head, ("! ", palette.error), plain(message, 2000))
    return text.append(f"\n→ {harmless(remedy, 2000)}", palette.success) if remedy else text
