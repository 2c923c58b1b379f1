"""The dialog that asks in what format and where results are written."""

from pathlib import Path
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from surrogateshap.text import harmless
from surrogateshap_tui.exporting import FORMATS, plain_name


class Wanted(NamedTuple):
    """A format and a file."""

    kind: str
    path: Path


class ExportDialog(ModalScreen[Wanted | None]):
    """Formats to choose from, and the file's name, which may be changed; escape writes nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Write nothing", show=False),
        Binding("j", "choose(1)", "Next format", show=False),
        Binding("k", "choose(-1)", "Previous format", show=False),
    ]

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__()
        self._name, self._folder = plain_name(name), folder

    def compose(self) -> ComposeResult:
        """See Screen."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Export the results"
            dialog.border_subtitle = "enter writes, tab goes to the name, escape leaves"
            yield OptionList(
                *(Option(Text.assemble((f"{one.title:<9}", "bold"), one.about), id=one.kind) for one in FORMATS)
            )
            yield Static(Text(f"To a file in {harmless(str(self._folder))}", "dim"), classes="where")
            yield Input(f"{self._name}.{FORMATS[0].kind}", compact=True, select_on_focus=False)

    def on_mount(self) -> None:
        """Begins with the first format."""
        formats = self.query_one(OptionList)
        formats.highlighted = 0
        formats.focus()

    def action_choose(self, step: int) -> None:
        """Goes to another format."""
        formats = self.query_one(OptionList)
        if step > 0:
            formats.action_cursor_down()
        else:
            formats.action_cursor_up()

    @on(OptionList.OptionHighlighted)
    def _format_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Gives the name the format's ending, where it had one of these."""
        line = self.query_one(Input)
        stem, dot, ending = line.value.rpartition(".")
        if dot and ending in {one.kind for one in FORMATS}:
            line.value = f"{stem}.{event.option.id}"

    @on(OptionList.OptionSelected)
    @on(Input.Submitted)
    def _entered(self) -> None:
        chosen, name = self.query_one(OptionList).highlighted or 0, self.query_one(Input).value.strip()
        if name:
            self.dismiss(Wanted(FORMATS[chosen].kind, self._folder / Path(name).expanduser()))
