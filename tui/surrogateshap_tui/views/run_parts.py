"""What the run view draws, each part from the state and the width alone."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.geometry import Size

from surrogateshap import units
from surrogateshap.text import harmless
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.state import Ranking, RunState
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.views.ranking import standing
from surrogateshap_tui.widgets.devices import device_list, rate_of
from surrogateshap_tui.widgets.picture import plain
from surrogateshap_tui.widgets.ranking_columns import columns
from surrogateshap_tui.widgets.stage_list import WIDE, stage_list

_NARROW_PLACES, _LEAST_PLACES = 5, 10
"""Contributors shown beside the progress; the ranking tab shows all."""
FIRST_WARNINGS = 2
"""Of a narrow view's top; where there are more, all stand at its end."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_HISTORY = 16


def rows_beside(size: Size) -> int:
    """Contributors that a view of this size has room for."""
    return max(_LEAST_PLACES, size.height - 26) if size.width >= WIDE else _NARROW_PLACES


def draw_progress(
    state: RunState, words: str, here: bool, startable: bool, waits_for: str, palette: Palette, width: int
) -> RenderableType:
    """What the run is at, its stages and its devices; in a narrow view its newest warnings too.

    `words` say what it is at; `here`, that it was started here; `startable`, that `a` would go on with it; `waits_for`
    is the run that it waits for.
    """
    head = Text.assemble(plain(state.run, style="bold"), "  ", (words, palette.muted))
    speed = units.rate(rate_of(state.devices)) if state.status == "running" else ""
    head.append(f"  {speed.replace('/', ' images/')}" if speed else "")
    parts: list[RenderableType] = [head, *_meaning(state, here, startable, waits_for, palette)]
    parts += [Text()] if width >= WIDE else []
    parts.append(stage_list(state.stages, palette, width))
    if state.devices:
        running = state.status == "running"
        title = "Devices" if running else "Devices, while it ran"
        parts += [Text(), Text(title, palette.heading)] if width >= WIDE or not running else [Text()]
        parts.append(device_list(state.devices, running, palette, width))
    if state.warnings and width < WIDE:
        newest = state.warnings[-FIRST_WARNINGS:]
        older = len(state.warnings) - len(newest)
        parts += [Text(), *(_warning(one, palette) for one in newest)]
        parts += [Text(f"  and {units.plural(older, 'older one')}, below", palette.muted)] if older else []
    return Group(*parts)


def _meaning(state: RunState, here: bool, startable: bool, waits_for: str, palette: Palette) -> list[RenderableType]:
    """What a status means, and what can be done, in a line or two."""
    go_on = "a goes on with it." if startable else "Applying its spec goes on with it."
    match state.status:
        case "running" if state.resumed:
            return [Text("Resumed: what was finished before is kept, and not done again.", palette.muted)]
        case "running" | "finished":
            return []
        case _ if here and waits_for:
            line = Text("> ", palette.warning).append(plain(f"Waits for run {waits_for}, which works in this store."))
            return [line, Text("  It begins by itself once that one is done.", palette.muted)]
        case _ if here:
            return [Text("Starting: libraries and models are being loaded.", palette.muted)]
        case "failed":
            lines: list[RenderableType] = [Text("✗ ", palette.error).append(plain(state.error or "It failed.", 2000))]
            lines += [Text("  ").append(plain(state.remedy, 2000))] if state.remedy else []
            return [*lines, Text(f"  What is finished is kept: {go_on}", palette.muted)]
        case "interrupted":
            return [Text(f"! Stopped. What is finished is kept: {go_on}", palette.warning)]
        case "planned":
            return [Text("Not started: a applies the plan." if startable else "Nothing is known of it.", palette.muted)]


def draw_ranking(state: RunState, ranking: Ranking | None, palette: Palette, width: int, most: int) -> RenderableType:
    """The head of a ranking as it forms, and how its intervals have shrunk."""
    if ranking is None:
        return Text("Ranking: it forms once some of the images are there.", palette.muted)
    title = Text(f"Ranking of {harmless(str(ranking.game))}", palette.heading, no_wrap=True, overflow="ellipsis")
    turn = f"   game {state.games.index(ranking.game) + 1} of {len(state.games)}, [ ] turns"
    how = Text(standing(ranking).partition(";")[0] + _settling(ranking), palette.muted, no_wrap=True)
    parts: list[RenderableType] = [title.append(turn if len(state.games) > 1 else "", palette.muted), how]
    fitted = columns(ranking.places[:most], palette, width)
    table = Table.grid()
    for column in fitted:
        table.add_column(width=column.width, no_wrap=True)
    table.add_row(*(Text(column.title, palette.muted) for column in fitted))
    for cells in zip(*(column.cells for column in fitted), strict=True):
        table.add_row(*cells)
    parts.append(table)
    if len(ranking.places) > most:
        others = units.plural(len(ranking.places) - most, "other")
        parts.append(Text(f"and {others}: 3 shows all", palette.muted))
    return Group(*parts)


def _settling(ranking: Ranking) -> str:
    """`; intervals ▇▄▂▁ 0.58 → 0.24 wide`, their mean; empty before the second ranking."""
    widths = [width for _, width in ranking.widths if width > 0]
    if len(widths) < 2:
        return ""
    scale, largest = Scale(widths), max(widths)
    step = max(1, -(-len(widths) // _HISTORY))
    drawn = "".join(_BLOCKS[min(7, int(width / largest * 7.999))] for width in [*widths[:-1:step], widths[-1]])
    return f"; intervals {drawn} {scale(widths[0])} → {scale(widths[-1])} wide"


def draw_warnings(warnings: tuple[str, ...], palette: Palette) -> RenderableType:
    """All of them."""
    return Group(Text("Warnings", palette.heading), *(_warning(one, palette) for one in warnings))


def _warning(text: str, palette: Palette) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0), expand=True)
    table.add_column(width=1)
    table.add_column(ratio=1)
    table.add_row(Text("!", palette.warning), plain(text, 2000))
    return table
