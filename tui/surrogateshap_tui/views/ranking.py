"""The ranking of one game at a time, as it forms and once it is final."""

from typing import ClassVar

from rich.console import Group, RenderableType
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from surrogateshap import units
from surrogateshap.events import GameInfo
from surrogateshap.record.fidelity import agreement
from surrogateshap.text import harmless
from surrogateshap_tui.copying import places_tsv
from surrogateshap_tui.messages import Copy
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.session import Session
from surrogateshap_tui.state import Grade, Place, Ranking, RunState
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.game_tabs import GameTabs
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.prompt import Prompt
from surrogateshap_tui.widgets.ranking_table import RankingTable


class RankingView(Vertical):
    """Which game, how settled, the table, and the selected contributor in full."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", tooltip="show contributors whose name contains …"),
        Binding("colon", "jump", "Go to", key_display=":", show=False, tooltip="go to a rank or a name"),
        Binding("y", "copy(False)", "Copy", tooltip="copy the selected row, as tab-separated text"),
        Binding("Y", "copy(True)", "Copy all", show=False, tooltip="copy the ranking, as it is shown"),
        Binding("escape", "show_all", "All", tooltip="take the filter off"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._ranking: Ranking | None = None
        self._session: Session | None = None
        self._before = 0
        """Where the cursor was before it was asked where to go."""

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield GameTabs()
        yield Picture(id="game")
        yield RankingTable()
        yield Picture(id="filter")
        yield Prompt()
        yield Picture(id="place")

    def show(self, session: Session) -> None:
        """See views."""
        self._session = session
        self._show_filter()
        state, game, ranking = session.state, session.game, session.ranking
        estimated = session.estimated and session.can_close
        self.query_one(GameTabs).show(state.games, game)
        table = self.query_one(RankingTable)
        table.display = ranking is not None
        if ranking is not self._ranking and ranking != self._ranking:
            table.show(ranking)
            self._ranking = ranking
        self.query_one("#game", Picture).show(lambda palette, _: draw_game(state, game, ranking, palette, estimated))
        self._show_place()

    @property
    def selected(self) -> Place | None:
        """The contributor under the cursor."""
        return self.query_one(RankingTable).selected

    def action_filter(self) -> None:
        """Asks what names must contain."""
        self.query_one(Prompt).open("filter", "/", self.query_one(RankingTable).filtered_by)
        self._show_filter()

    def action_jump(self) -> None:
        """Asks where to go."""
        self._before = self.query_one(RankingTable).cursor_row
        self.query_one(Prompt).open("jump", "Rank or name:")
        self._show_filter()

    def action_copy(self, everything: bool) -> None:
        """Copies the ranking as it is shown, or the selected row."""
        table, ranking = self.query_one(RankingTable), self._ranking
        places = table.listed if everything else [table.selected] if table.selected else []
        if ranking is not None and places:
            what = units.plural(len(places), "row") if everything else harmless(places[0].name, 60)
            run = self._session.state.run if self._session is not None else ""
            self.post_message(
                Copy(what, places_tsv((ranking.game, place) for place in places), f"{run or 'surrogateshap'}-ranking")
            )

    def action_show_all(self) -> None:
        """Takes the filter off."""
        self._filter("")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leaves `escape` to the screen where nothing is filtered."""
        if action == "show_all":
            return bool(self.query_one(RankingTable).filtered_by)
        if action in ("filter", "jump"):
            return self.query_one(RankingTable).display and not self.query_one(Prompt).kind
        return True

    @on(Prompt.Typed)
    def _prompt_typed(self, message: Prompt.Typed) -> None:
        if message.kind == "filter":
            self._filter(message.words)
        elif not self.query_one(RankingTable).go_to(message.words):
            self.query_one(RankingTable).move_cursor(self._before)

    @on(Prompt.Stepped)
    def _prompt_stepped(self, message: Prompt.Stepped) -> None:
        self.query_one(RankingTable).action_move(message.step)

    @on(Prompt.Closed)
    def _prompt_closed(self, message: Prompt.Closed) -> None:
        table = self.query_one(RankingTable)
        if message.kind == "filter":
            self._filter(message.words if message.kept else "")
        elif not message.kept:
            table.move_cursor(self._before)
        elif message.words.strip() and not table.go_to(message.words):
            self.notify(f"No rank and no name like that: {harmless(message.words, 60)}", markup=False)
        table.focus()

    @on(GameTabs.Chosen)
    def _chosen(self, message: GameTabs.Chosen) -> None:
        if self._session is not None:
            self._session.show_game(message.game)

    @on(RankingTable.Highlighted)
    def _row_highlighted(self) -> None:
        self._show_place()

    def _filter(self, words: str) -> None:
        self.query_one(RankingTable).filter(words)
        self._show_filter()
        self.refresh_bindings()

    def _show_filter(self) -> None:
        table, picture = self.query_one(RankingTable), self.query_one("#filter", Picture)
        words, found, count = table.filtered_by, table.row_count, len(table.places)
        picture.display = bool(words)
        said = f"{units.count(found)} of {units.plural(count, 'contributor')}"
        picture.show(
            lambda palette, _: (
                Text(f"{said}, those with ", palette.muted, no_wrap=True, overflow="ellipsis")
                .append(plain(words, 60))
                .append(" in their names; escape shows all")
            )
        )

    def _show_place(self) -> None:
        ranking, place = self._ranking, self.selected
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


def fidelity_line(state: RunState, game: GameInfo, estimated: bool) -> str:
    """How far a game can be believed; empty before its results are there."""
    ranking = state.ranking(game)
    result = ranking.result if ranking else None
    if result is None:
        return ""
    found = result.fidelity
    if estimated and found is not None and found.closed is not None:
        gap = found.closed
        anchors = units.plural(gap.anchors, "anchor")
        return f"retraining game, from {anchors}: held-out R² {gap.r2.value:.2f}, proxy {gap.proxy_r2:.2f}"
    return f"fidelity: {agreement(found)}" if found is not None else "fidelity not measured"


def draw_game(
    state: RunState, game: GameInfo | None, ranking: Ranking | None, palette: Palette, estimated: bool = False
) -> RenderableType:
    """How settled a ranking is, and how far it can be believed."""
    if game is None:
        return Text("No ranking yet: it forms while the run goes on.", palette.muted)
    provisional = ranking is not None and ranking.grade is Grade.PROVISIONAL
    parts: list[RenderableType] = [Text(standing(ranking), palette.warning if provisional else palette.muted)]
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
        style = palette.primary if estimated else palette.muted
        parts.append(Text(fidelity_line(state, game, estimated), style, no_wrap=True, overflow="ellipsis"))
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
    parts += [Text("! ", palette.warning).append(plain(flag)) for flag in place.flags]
    return Group(*parts)


def _sets(ranking: Ranking) -> tuple[tuple[str, ...], ...]:
    return ranking.result.indistinguishable if ranking.result else ()
