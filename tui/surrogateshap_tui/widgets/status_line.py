"""The line at the top: what is open, and what it is at."""

from rich.console import RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from surrogateshap_tui.state import RunState
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.picture import plain

_MARKERS = {"planned": "·", "running": ">", "finished": "✓", "failed": "✗", "interrupted": "!"}


def status_line(target: str, state: RunState, words: str, palette: Palette) -> RenderableType:
    """The target on the left; the status, as a sign and in words, on the right."""
    line = Table.grid(expand=True, padding=(0, 2, 0, 0), pad_edge=False)
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_column(no_wrap=True, justify="right")
    line.add_row(
        Text.assemble(("surrogateshap", palette.heading), "  ", plain(target)),
        Text(f"{_MARKERS[state.status]} {words}", _style(state, palette)),
    )
    return line


def _style(state: RunState, palette: Palette) -> Style:
    match state.status:
        case "running":
            return palette.primary
        case "finished":
            return palette.success
        case "failed":
            return palette.error
        case "interrupted":
            return palette.warning
        case "planned":
            return palette.muted
