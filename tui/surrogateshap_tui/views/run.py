"""The live run: stages with their progress, what went wrong, warnings, and the head of the ranking as it forms."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult

from surrogateshap import units
from surrogateshap.events import GameInfo
from surrogateshap.text import harmless
from surrogateshap_tui.session import Session
from surrogateshap_tui.state import DeviceState, Ranking, RunState
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.views.ranking import standing
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.ranking_columns import columns
from surrogateshap_tui.widgets.scrolling import Scroll
from surrogateshap_tui.widgets.stage_list import WIDE, stage_list

_PLACES = 10
"""Contributors shown beside the progress; the ranking tab shows all."""


class RunView(Scroll):
    """Scrolls over the stages and what was said meanwhile."""

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Picture(id="run-picture")

    def show(self, session: Session) -> None:
        """See views."""
        state, game, headline = session.state, session.game, session.words
        self.query_one(Picture).show(lambda palette, width: draw_run(state, game, headline, palette, width))


def draw_run(state: RunState, game: GameInfo | None, headline: str, palette: Palette, width: int) -> RenderableType:
    """The run, section by section; `headline` says in words what it is at."""
    parts: list[RenderableType] = [
        Text.assemble(plain(state.run, style="bold"), "  ", (headline, palette.muted)),
        Text(),
    ]
    if state.error:
        parts += [Text("! ", palette.error).append(plain(state.error, 2000))]
        parts += [Text("  ").append(plain(state.remedy, 2000))] if state.remedy else []
        parts += [Text()]
    parts.append(stage_list(state.stages, palette, width))
    if state.devices and state.status == "running":
        parts += [Text(), Text("Devices", palette.heading), _devices(state.devices)]
    ranking = state.ranking(game) if game else None
    if ranking and width >= WIDE:
        title = Text.assemble(
            (f"Ranking of {harmless(str(ranking.game))}", palette.heading), "  ", (standing(ranking), palette.muted)
        )
        parts += [Text(), title, _head_of(ranking, palette, width)]
    if state.warnings:
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(width=1)
        table.add_column(ratio=1)
        for warning in state.warnings:
            table.add_row(Text("!", palette.warning), plain(warning, 2000))
        parts += [Text(), Text("Warnings", palette.heading), table]
    return Group(*parts)


def _devices(devices: tuple[DeviceState, ...]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    for one in devices:
        used = units.size(one.memory_bytes) if one.memory_bytes is not None else ""
        of = f" of {units.size(one.memory_total)}" if one.memory_total is not None else ""
        busy = f"{one.utilisation:.0%}".replace("%", " %") + " busy" if one.utilisation is not None else ""
        table.add_row(
            plain(one.device),
            Text(f"images {units.rate(one.rate)}" if one.rate > 0 else ""),
            Text(busy),
            Text(f"{used}{of}" if used else ""),
        )
    return table


def _head_of(ranking: Ranking, palette: Palette, width: int) -> RenderableType:
    fitted = columns(ranking.places, palette, width)
    table = Table.grid()
    for column in fitted:
        table.add_column(width=column.width, no_wrap=True)
    table.add_row(*(Text(column.title, palette.muted) for column in fitted))
    for place in range(min(_PLACES, len(ranking.places))):
        table.add_row(*(column.cells[place] for column in fitted))
    return table
