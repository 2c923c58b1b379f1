"""A line to type in, below what it is about: it says at every key what was typed, and at the end whether it counts."""

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static


class Prompt(Horizontal):
    """Hidden until it is opened."""

    DEFAULT_CSS = """
    Prompt { height: 1; display: none; }
    Prompt .label { width: auto; margin-right: 1; }
    Prompt Input { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close(False)", "Leave it", tooltip="leave it as it was"),
        Binding("up", "step(-1)", "Up", show=False),
        Binding("down", "step(1)", "Down", show=False),
    ]

    @dataclass
    class Typed(Message):
        """What stands there now."""

        kind: str
        words: str

    @dataclass
    class Closed(Message):
        """Nothing more is typed; `kept` says whether it was entered."""

        kind: str
        words: str
        kept: bool

    @dataclass
    class Stepped(Message):
        """An arrow up or down."""

        step: int

    def __init__(self) -> None:
        super().__init__()
        self.kind = ""
        """What is asked for; empty while it is closed."""

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Static(classes="label")
        yield Input(compact=True, select_on_focus=False)

    def open(self, kind: str, label: str, words: str = "") -> None:
        """Asks."""
        self.kind = kind
        self.query_one(Static).update(Text(label))
        self.display = True
        line = self.query_one(Input)
        with line.prevent(Input.Changed):
            line.value = words
        line.cursor_position = len(words)
        self.screen.set_focus(line)  # at once: `focus()` comes later, and keys that are there already would be commands
        self.refresh_bindings()

    def action_close(self, kept: bool) -> None:
        """Asks no more."""
        kind, self.kind = self.kind, ""
        self.display = False
        self.post_message(self.Closed(kind, self.query_one(Input).value, kept))

    def action_step(self, step: int) -> None:
        """Passes an arrow on."""
        self.post_message(self.Stepped(step))

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.kind:
            self.post_message(self.Typed(self.kind, event.value))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_close(True)
