"""The live run: stages with their progress, what went wrong, warnings, and the head of the ranking as it forms."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult

from surrogateshap_tui.state import RunState
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.views.scroll import Scroll
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.stage_list import stage_list


class RunView(Scroll):
    """Scrolls over the stages and what was said meanwhile."""

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Picture(id="run-picture")

    def show(self, state: RunState, headline: str) -> None:
        """Shows a run; the headline says in words what it is at."""
        self.query_one(Picture).show(lambda palette, width: draw_run(state, headline, palette, width))


def draw_run(state: RunState, headline: str, palette: Palette, width: int) -> RenderableType:
    """The run, section by section."""
    parts: list[RenderableType] = [Text.assemble(plain(state.run), "  ", (headline, palette.muted), style="bold"), Text()]
    if state.error:
        parts += [Text("! ", palette.error).append(plain(state.error, 2000))]
        parts += [Text("  ").append(plain(state.remedy, 2000))] if state.remedy else []
        parts += [Text()]
    parts.append(stage_list(state.stages, palette, width))
    if state.warnings:
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(width=1)
        table.add_column(ratio=1)
        for warning in state.warnings:
            table.add_row(Text("!", palette.warning), plain(warning, 2000))
        parts += [Text(), Text("Warnings", palette.heading), table]
    return Group(*parts)
