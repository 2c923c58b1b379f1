"""Other methods on a run, beside its own values: agreement and cost, as they were measured last."""

from typing import ClassVar

from rich.console import Group
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer

from surrogateshap.record.comparison import ComparisonReport
from surrogateshap.report import comparison_csv, comparison_table
from surrogateshap.text import harmless
from surrogateshap_tui.errors import known
from surrogateshap_tui.messages import Copy, Failed, MethodsRead
from surrogateshap_tui.screens.page import Page
from surrogateshap_tui.source import Source
from surrogateshap_tui.widgets.picture import Picture
from surrogateshap_tui.widgets.scrolling import Scroll


class MethodsScreen(Page):
    """Reads what `surrogateshap compare` kept with the run; it runs nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy", tooltip="copy the table, as comma-separated text"),
    ]

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.reports: tuple[ComparisonReport, ...] | None = None
        self._source = source

    def compose(self) -> ComposeResult:
        """See Screen."""
        yield Picture(id="status")
        with Scroll():
            yield Picture(id="methods")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begins to read."""
        words = f"  other methods on {harmless(self._source.target)}"
        self.query_one("#status", Picture).show(
            lambda palette, _: Text.assemble(
                ("surrogateshap", palette.heading), words, no_wrap=True, overflow="ellipsis"
            )
        )
        self.query_one(Scroll).focus()
        self.run_worker(self._read, thread=True)

    def action_copy(self) -> None:
        """Copies all that was measured."""
        text = "".join(map(comparison_csv, self.reports or ()))
        self.post_message(Copy("the methods", text, "methods"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers only what can be done now."""
        return bool(self.reports) if action == "copy" else True

    @on(MethodsRead)
    def _shown(self, message: MethodsRead) -> None:
        self.reports = message.reports
        tables = [part for report in message.reports for part in (comparison_table(report), Text())]
        words = "No other method was tried on this run yet. What each would take: surrogateshap compare "
        words += f"{harmless(self._source.target)} --plan"
        self.query_one("#methods", Picture).show(
            lambda palette, _: Group(*tables) if tables else Text(words, palette.muted)
        )
        self.refresh_bindings()

    def _read(self) -> None:
        try:
            reports = self._source.comparisons()
        except Exception as error:
            self.post_message(Failed(known(error)))
            return
        self.post_message(MethodsRead(reports))
