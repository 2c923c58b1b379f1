"""The ranking of one game at a time, as it forms and once it is final."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import DataTable

from surrogateshap import units
from surrogateshap.events import GameInfo
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.state import Grade, Place, Ranking, RunState
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.ranking_table import RankingTable


class RankingView(Vertical):
    """Which game, how settled, the table, and the selected contributor in full."""

    def __init__(self) -> None:
        super().__init__()
        self._state = RunState()
        self._game: GameInfo | None = None
        self._shown: Ranking | None = None

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Picture(id="game")
        yield RankingTable()
        yield Picture(id="place")

    @property
    def game(self) -> GameInfo | None:
        """The game that is shown."""
        return self._game

    def show(self, state: RunState) -> None:
        """Shows a run's rankings; the game that was selected stays selected."""
        self._state = state
        if self._game not in state.games:
            self._game = state.games[0] if state.games else None
        self._refresh()

    def turn(self, step: int) -> None:
        """Goes to the next game, or to the previous one; around at the ends."""
        games = self._state.games
        if games:
            at = games.index(self._game) if self._game in games else 0
            self._game = games[(at + step) % len(games)]
            self._refresh()

    @on(DataTable.RowHighlighted)
    def _row_highlighted(self) -> None:
        self._show_place()

    def _refresh(self) -> None:
        state, game = self._state, self._game
        ranking = state.ranking(game) if game else None
        table = self.query_one(RankingTable)
        table.display = ranking is not None
        if ranking is not self._shown:
            table.show(ranking)
            self._shown = ranking
        self.query_one("#game", Picture).show(lambda palette, _: draw_game(state, game, ranking, palette))
        self._show_place()

    def _show_place(self) -> None:
        ranking = self._state.ranking(self._game) if self._game else None
        place = self.query_one(RankingTable).selected
        picture = self.query_one("#place", Picture)
        picture.display = ranking is not None and place is not None
        if ranking and place:
            picture.show(lambda palette, _: draw_place(place, ranking, palette))


def standing(ranking: Ranking | None) -> str:
    """How settled a ranking is, in words."""
    if ranking is None:
        return "no ranking yet"
    images = units.plural(ranking.images, "image")
    if ranking.grade is Grade.PROVISIONAL:
        return f"provisional, from {images}"
    if ranking.result is None:
        return f"final, from {images}"
    result = ranking.result
    how = f"{result.estimator}, {units.plural(result.coalitions, 'coalition')}"
    return f"final, from {images}; {how}; {result.level:.0%} intervals".replace("%", " %")


def draw_game(state: RunState, game: GameInfo | None, ranking: Ranking | None, palette: Palette) -> RenderableType:
    """Which game of how many, and how settled its ranking is."""
    if game is None:
        return Text("No ranking yet: it forms while the run goes on.", palette.muted)
    head = Table.grid(expand=True, padding=(0, 1, 0, 0))
    head.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    head.add_column(no_wrap=True)
    number = state.games.index(game) + 1
    head.add_row(
        plain(str(game), style="bold"),
        Text(f"game {number} of {len(state.games)}   [ previous   ] next", palette.muted),
    )
    provisional = ranking is not None and ranking.grade is Grade.PROVISIONAL
    parts: list[RenderableType] = [head, Text(standing(ranking), palette.warning if provisional else palette.muted)]
    if ranking and ranking.result:
        result = ranking.result
        scale = Scale((result.v_empty, result.v_full))
        line = Text.assemble((f"v(∅) {scale(result.v_empty)}   v(N) {scale(result.v_full)}", palette.muted))
        sets = len(result.indistinguishable)
        if sets:
            line.append(f"   ! can't tell apart {units.plural(sets, 'set')} of contributors", palette.warning)
        parts.append(line)
        for one in state.stopped:
            if one.proxy == result.proxy:
                why = plain(one.rule or "the budget was spent before a rule held", 500, palette.muted)
                used = f"{units.count(one.images)} of at most {units.plural(one.at_most, 'image')}: "
                parts.append(Text(used, palette.muted).append(why))
    return Group(*parts)


def draw_place(place: Place, ranking: Ranking, palette: Palette) -> RenderableType:
    """One contributor in full."""
    scale = Scale((place.value, place.low, place.high))
    interval = f"interval {scale(place.low)} to {scale(place.high)}" if place.low < place.high else "no interval yet"
    words = [f"value {scale(place.value)}", interval]
    words += [f"{units.percent(place.share)} of v(N) − v(∅)"] if place.share is not None else []
    words += [units.plural(place.rows, "row")] if place.rows is not None else []
    rank = f"rank {place.rank} of {len(ranking.places)}"
    if place.rank_low is not None:
        rank += f", {place.rank_low} to {place.rank_high}"
    if place.in_top is not None and ranking.result is not None:
        rank += f"; in the top {ranking.result.top} with {units.percent(place.in_top)}"
    parts: list[RenderableType] = [
        Text.assemble(plain(place.name, style="bold"), ("  " + rank, palette.muted)),
        Text("   ".join(words)),
    ]
    twins = [other for names in _sets(ranking) if place.name in names for other in names if other != place.name]
    if twins:
        parts.append(Text("! can't be told apart from ", palette.warning).append(plain(", ".join(twins), 1000)))
    return Group(*parts)


def _sets(ranking: Ranking) -> tuple[tuple[str, ...], ...]:
    return ranking.result.indistinguishable if ranking.result else ()
