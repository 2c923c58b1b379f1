"""Dialogs: a question with its answers, an error with its remedies, and the keys."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Key
from textual.screen import ModalScreen, Screen
from textual.widgets import Button, Static

from surrogateshap.errors import Problem, SpecError, SurrogateShapError
from surrogateshap.text import harmless
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scrolling import Scroll

MARKS = (
    ("+ ~ =", "a stage of the plan is new, partly there, cached"),
    ("· > ✓ = !", "a stage of the run waits, runs, is done, was cached, was stopped"),
    ("│ ━ ●", "zero, the value's bar, the value"),
    ("├─┤", "the value's interval"),
    ("▲ ▼", "sorted by this column, rising or falling"),
)


_MOVES = {
    **dict.fromkeys(("cursor_up", "cursor_down", "scroll_up", "scroll_down"), "up, down"),
    **dict.fromkeys(("cursor_left", "cursor_right", "scroll_left", "scroll_right"), "left, right"),
    **dict.fromkeys(("page_up", "page_down"), "a page up, a page down"),
    **dict.fromkeys(("half(-1)", "half(1)"), "half a page up, half a page down"),
    **dict.fromkeys(("scroll_top", "scroll_bottom", "scroll_home", "scroll_end"), "to the beginning, to the end"),
    **dict.fromkeys(("app.focus_next", "app.focus_previous"), "the next part of the screen, the previous one"),
    "screen.copy_text": "copy what is selected with the mouse",
}
"""What moves, wherever it is, in the same words: Textual's own differ from part to part."""
_UNSAID = ("page_left", "page_right", "help_quit")


class Question(ModalScreen[str]):
    """Asks; each answer has a key, which is the result. Escape gives none of them: an empty text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss('')", "None of them", show=False),
        Binding("left,right,h,l,up,down,j,k", "app.focus_next", "Other answer", show=False),
    ]

    def __init__(
        self, title: str, lines: Iterable[str], answers: Mapping[str, str], moot: Callable[[], bool] = lambda: False
    ) -> None:
        """`moot` says whether an answer matters no more: then it is closed without one."""
        super().__init__()
        self.moot = moot
        self._title, self._lines, self._answers = title, tuple(lines), dict(answers)

    def compose(self) -> ComposeResult:
        """See Screen."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            yield Static(Text("\n").join(plain(line, 500) for line in self._lines))
            with Horizontal(classes="buttons"):
                for number, (key, words) in enumerate(self._answers.items()):
                    variant: Literal["primary", "default"] = "default" if number else "primary"
                    yield Button(Text(f"{words} ({key})"), id=f"answer-{key}", variant=variant, compact=True)

    def on_key(self, event: Key) -> None:
        """Takes an answer's key."""
        if event.key in self._answers:
            event.stop()
            self.dismiss(event.key)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss((event.button.id or "").removeprefix("answer-"))


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
    """The keys of the screen below, and the signs."""

    def __init__(self, keys: Iterable[tuple[str, str]]) -> None:
        super().__init__("Keys and signs")
        self._keys = tuple(keys)

    def draw(self, palette: Palette, width: int) -> RenderableType:
        """See _Page."""
        tables = []
        for rows in (self._keys, MARKS):
            table = Table.grid(padding=(0, 2, 0, 0), expand=True)
            table.add_column(width=23)
            table.add_column(ratio=1)
            for sign, meaning in rows:
                table.add_row(Text(sign, palette.heading), Text(meaning))
            tables.append(table)
        return Group(tables[0], Text(), tables[1])


def keys_of(screen: Screen[Any]) -> Iterator[tuple[str, str]]:
    """The keys that do something on a screen now, and what: the screen's, the app's, then the focused part's.

    Keys that do the same, and those that do it the other way round, share a line.
    """
    found: dict[tuple[int, str], list[str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        said = _MOVES.get(binding.action) or binding.tooltip or binding.description
        if not said or binding.system or binding.action in _UNSAID:
            continue
        place = 2 if binding.action in _MOVES else 0 if active.node is screen else 1 if active.node is screen.app else 2
        key = screen.app.get_key_display(binding)
        keys = found.setdefault((place, said), [])
        if key not in keys:
            keys.append(key)
    for (_, said), keys in sorted(found.items(), key=lambda item: item[0][0]):
        yield " ".join(keys), said


def _problem(problem: Problem, palette: Palette) -> Text:
    where = f"{problem.file}:{problem.line}" if problem.line else problem.file
    head = (
        Text.assemble(plain(where), " ", (harmless(problem.key), palette.heading)) if where or problem.key else Text()
    )
    return _message(head.append("\n") if head else head, problem.message, problem.remedy, palette)


def _message(head: Text, message: str, remedy: str, palette: Palette) -> Text:
    text = Text.assemble(head, ("! ", palette.error), plain(message, 2000))
    return text.append(f"\n→ {harmless(remedy, 2000)}", palette.success) if remedy else text
