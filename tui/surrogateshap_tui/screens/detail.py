"""One contributor: its place in every game, its flags, and what it is worth together with others."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Footer

from surrogateshap import units
from surrogateshap_tui.messages import FromSession
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.screens.page import Page
from surrogateshap_tui.session import Session
from surrogateshap_tui.state import Place, Ranking, RunState
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.views.ranking import draw_place
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scrolling import Scroll

_PAIRS = 10
"""Interactions that are shown."""


class DetailScreen(Page):
    """Follows the session: the figures change while a run goes on."""

    def __init__(self, session: Session, name: str) -> None:
        super().__init__()
        self.session, self.contributor = session, name

    def compose(self) -> ComposeResult:
        """See Screen."""
        yield Picture(id="status")
        with Scroll():
            yield Picture(id="detail")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Shows what is known already."""
        self.session.listen(self._session_changed)
        self._session_changed(None)
        self.query_one(Scroll).focus()

    def on_unmount(self) -> None:
        """The session goes on without this screen."""
        self.session.unlisten(self._session_changed)

    def _session_changed(self, _: FromSession | None) -> None:
        name, state, ranking = self.contributor, self.session.state, self.session.ranking
        title = Text(self.session.title).append(" / ").append(plain(name))
        self.query_one("#status", Picture).show(
            lambda palette, _: Text.assemble(("surrogateshap  ", palette.heading), title)
        )
        if ranking is not None:
            self.query_one("#detail", Picture).show(lambda palette, _: draw_detail(state, ranking, name, palette))


def draw_detail(state: RunState, ranking: Ranking, name: str, palette: Palette) -> RenderableType:
    """A contributor in the game that is shown, then in all games of its grouping, then its interactions."""
    place = place_of(ranking, name)
    if place is None:
        return Text("It is not in this game: it belongs to another grouping.", palette.muted)
    parts: list[RenderableType] = [draw_place(place, ranking, palette), Text(), Text("In every game", palette.heading)]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=palette.muted)
    for title in ("Utility", "Proxy", "Rank", "Value", "Interval", "Share"):
        table.add_column(title, justify="right" if title in ("Value", "Share") else "left")
    for other, found in places(state, ranking.game.grouping, name):
        scale = Scale((found.value, found.low, found.high))
        span = f" ({found.rank_low}–{found.rank_high})" if found.rank_low is not None else ""
        table.add_row(
            plain(other.game.utility),
            plain(other.game.proxy),
            Text(f"{found.rank} of {len(other.places)}{span}"),
            Text(scale(found.value)),
            Text(f"{scale(found.low)} … {scale(found.high)}"),
            Text(units.percent(found.share)),
        )
    parts.append(table)
    result = ranking.result
    pairs = [one for one in (result.interactions or ()) if name in (one.a, one.b)] if result else []
    if pairs:
        parts += [Text(), Text("Strongest interactions", palette.heading)]
        scale = Scale([pair.value for pair in pairs])
        for pair in pairs[:_PAIRS]:
            other_name = pair.b if pair.a == name else pair.a
            words = "worth more together" if pair.value > 0 else "worth less together"
            parts.append(
                Text(f"{scale(pair.value):>10}  ").append(plain(other_name)).append(f"  {words}", palette.muted)
            )
    return Group(*parts)


def place_of(ranking: Ranking, name: str) -> Place | None:
    """The contributor's place; None where the ranking's grouping has no such contributor."""
    return next((place for place in ranking.places if place.name == name), None)


def places(state: RunState, grouping: str, name: str) -> Iterator[tuple[Ranking, Place]]:
    """The contributor's place in each game of its grouping, in the order of the games."""
    for game in state.games:
        ranking = state.ranking(game) if game.grouping == grouping else None
        place = place_of(ranking, name) if ranking else None
        if ranking is not None and place is not None:
            yield ranking, place
