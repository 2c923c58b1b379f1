"""The stages of a run, each with its bar, counts, rate and time left."""

from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from surrogateshap import units
from surrogateshap.text import harmless
from surrogateshap_tui.state import StageState, StageStatus
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.picture import plain

WIDE = 110
"""From this width on every stage has its bar in one line; below, only those that run have one, in a line of its own."""

_MARKERS: dict[StageStatus, str] = {"waiting": "·", "running": ">", "done": "✓", "cached": "=", "stopped": "!"}


def stage_list(stages: tuple[StageState, ...], palette: Palette, width: int) -> RenderableType:
    """All stages, in order."""
    if width >= WIDE:
        return _wide(stages, palette, width)
    return Group(*(_narrow(stage, palette, width) for stage in stages))


def bar(fraction: float, width: int, full: Style, empty: Style) -> Text:
    """A progress bar: heavy where done, light where not, so that it reads without colour."""
    done = int(fraction * width)
    return Text.assemble(("━" * done, full), ("─" * (width - done), empty))


def note(stage: StageState) -> str:
    """What the stage is at, in words."""
    match stage.status:
        case "running":
            return f"{units.duration(stage.left)} left" if stage.left is not None else "running"
        case "done":
            return f"done in {units.duration(stage.seconds)}" if stage.seconds is not None else "done"
        case other:
            return other


def _styles(stage: StageState, palette: Palette) -> Style:
    match stage.status:
        case "running":
            return palette.primary
        case "done" | "cached":
            return palette.success
        case "stopped":
            return palette.warning
        case "waiting":
            return palette.muted


def _counts(stage: StageState) -> str:
    return f"{units.count(stage.done)}/{units.count(stage.total)} "


def _title(stage: StageState) -> Text:
    title = plain(stage.title)
    if stage.status == "running":
        title.stylize("bold")
    return title


def _narrow(stage: StageState, palette: Palette, width: int) -> RenderableType:
    style = _styles(stage, palette)
    counts = Text(_counts(stage)).append(plain(stage.unit, style=palette.muted))
    lines: RenderableType
    if stage.status in ("running", "stopped"):
        speed = Text(units.rate(stage.rate) if stage.status == "running" else "")
        lines = Group(
            _ends(_title(stage), Text(note(stage), style)),
            _ends(Text.assemble(bar(stage.fraction, width // 2 - 4, style, palette.muted), "  ", counts), speed),
        )
    else:
        settled = Text(units.amount(stage.total, harmless(stage.unit)), palette.muted)
        lines = _ends(_title(stage), settled.append("  ").append(note(stage).rjust(13), style))
    table = Table.grid(expand=True, padding=(0, 1, 0, 0))
    table.add_column(width=1)
    table.add_column(ratio=1)
    table.add_row(Text(_MARKERS[stage.status], style), lines)
    return table


def _ends(left: Text, right: Text) -> RenderableType:
    line = Table.grid(expand=True, padding=(0, 1, 0, 0), pad_edge=False)
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_column(justify="right", no_wrap=True)
    line.add_row(left, right)
    return line


def _wide(stages: tuple[StageState, ...], palette: Palette, width: int) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 2, 0, 0))
    table.add_column(width=1)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(width=width // 4)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, min_width=8)
    table.add_column(justify="right", no_wrap=True, min_width=14)
    for stage in stages:
        style = _styles(stage, palette)
        table.add_row(
            Text(_MARKERS[stage.status], style),
            _title(stage),
            bar(stage.fraction, width // 4, style, palette.muted),
            Text(_counts(stage).strip()),
            plain(stage.unit),
            Text(units.rate(stage.rate) if stage.status == "running" else ""),
            Text(note(stage), style),
        )
    return table
