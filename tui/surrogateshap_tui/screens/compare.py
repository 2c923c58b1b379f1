"""Two runs side by side."""

from collections.abc import Callable
from typing import ClassVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer

from surrogateshap.errors import RunError
from surrogateshap.events import GameInfo
from surrogateshap.record.diff import Diff, GameDiff, Move
from surrogateshap.report.diff import input_lines, key_line, plan_lines
from surrogateshap.text import harmless
from surrogateshap.units import count, listed, plural
from surrogateshap_tui.copying import tsv
from surrogateshap_tui.errors import known
from surrogateshap_tui.messages import Compared, Copy, Failed
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.screens.page import Page
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.game_tabs import GameTabs
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scrolling import Scroll

_MOST = 200
"""Contributors that are shown: those that moved most."""
_CHANGES = 40
_NAMES = 50
_NAME = 32


class CompareScreen(Page):
    """Reads both, and shows one game at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket", "turn(-1)", "Previous game", key_display="["),
        Binding("right_square_bracket", "turn(1)", "Next game", key_display="]"),
        Binding("y", "copy", "Copy", tooltip="copy the game's moves, as tab-separated text"),
    ]

    def __init__(self, left: str, right: str, read: Callable[[], Diff]) -> None:
        super().__init__()
        self.diff: Diff | None = None
        self._left, self._right, self._read = left, right, read
        self._at = 0

    @property
    def games(self) -> tuple[GameDiff, ...]:
        """Those that both have; none before both were read."""
        return self.diff.games if self.diff is not None else ()

    def compose(self) -> ComposeResult:
        """See Screen."""
        yield Picture(id="status")
        yield GameTabs()
        with Scroll():
            yield Picture(id="comparison")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begins to read."""
        names = f"{harmless(self._left)}  →  {harmless(self._right)}"
        self.query_one("#status", Picture).show(
            lambda palette, _: Text.assemble(
                ("surrogateshap", palette.heading), f"  {names}", no_wrap=True, overflow="ellipsis"
            )
        )
        self._say("Reading the results of both.")
        self.query_one(Scroll).focus()
        self.run_worker(self._look, thread=True)

    def action_turn(self, step: int) -> None:
        """Goes to another game that both have."""
        self._at = (self._at + step) % len(self.games)
        self._show()

    def action_copy(self) -> None:
        """Copies all moves of the game."""
        game = self.games[self._at]
        titles = ("grouping", "utility", "proxy", "name", "left_rank", "right_rank", "left", "right")
        named = (game.grouping, game.utility, game.proxy)
        rows = [
            [
                *named,
                one.name,
                one.old_rank,
                one.new_rank,
                one.old,
                one.new,
                one.difference,
                one.low,
                one.high,
                one.beyond,
            ]
            for one in game.moves
        ]
        text = tsv((*titles, "change", "change_low", "change_high", "beyond"), rows)
        self.post_message(Copy(plural(len(game.moves), "row"), text, "comparison"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers only what can be done now."""
        return len(self.games) > (action == "turn") if action in ("turn", "copy") else True

    @on(GameTabs.Chosen)
    def _game_chosen(self, message: GameTabs.Chosen) -> None:
        self._at = [_info(one) for one in self.games].index(message.game)
        self._show()

    @on(Compared)
    def _compared(self, message: Compared) -> None:
        self.diff = message.diff
        self._show()
        self.refresh_bindings()

    @on(Failed)
    def _failed(self) -> None:
        """The app shows the error, too."""
        self._say("The two can't be compared.")

    def _look(self) -> None:
        try:
            found = self._read()
            for side in (found.old, found.new):
                if side.fidelity is None:
                    raise RunError(f"{harmless(side.name)} has no results", "Only finished runs can be compared.")
        except Exception as error:
            self.post_message(Failed(known(error)))
            return
        self.post_message(Compared(found))

    def _show(self) -> None:
        diff = self.diff
        if diff is None:
            return
        game = self.games[self._at] if self.games else None
        self.query_one(GameTabs).show(tuple(map(_info, self.games)), _info(game) if game else None)
        self.query_one("#comparison", Picture).show(
            lambda palette, _: Group(*draw_both(diff, palette), *draw_moves(game, palette))
        )

    def _say(self, words: str) -> None:
        self.query_one("#comparison", Picture).show(lambda palette, _: Text(words, palette.muted))


def _info(game: GameDiff) -> GameInfo:
    return GameInfo(grouping=game.grouping, utility=game.utility, proxy=game.proxy)


def draw_both(diff: Diff, palette: Palette) -> list[RenderableType]:
    """What differs between the two beside values: spec, inputs and plans, and games that only one has."""
    parts: list[RenderableType] = []
    for sign, side in zip("←→", (diff.old, diff.new), strict=True):
        words = f"  fidelity {harmless(side.fidelity or '')}"
        parts.append(Text(f"{sign} ").append(plain(side.name, style="bold")).append(words, palette.muted))
    parts += [Text(), Text("Spec and inputs", palette.heading)]
    changed = [key_line(change) for change in diff.keys if change.sort == "results"]
    changed += [Text(line) for line in (*input_lines(diff), *plan_lines(diff))]
    if not changed:
        parts.append(Text("= nothing that changes results", palette.muted))
    for line in changed[:_CHANGES]:
        parts.append(Text("~ ", palette.warning).append_text(line[len(line.plain) - len(line.plain.lstrip()) :]))
    rest = len(changed) - _CHANGES
    parts += [Text(f"and {plural(rest, 'other')}", palette.muted)] if rest > 0 else []
    parts += [Text("! ", palette.warning).append(plain(note, 500)) for note in diff.notes]
    for sign, games in (("←", diff.games_removed), ("→", diff.games_added)):
        parts += [Text(f"! game only in {sign}: ", palette.warning).append(plain(game)) for game in games]
    return [*parts, Text()]


def draw_moves(game: GameDiff | None, palette: Palette) -> list[RenderableType]:
    """One game: ranks and values in both, and whether they moved by more than the intervals."""
    if game is None:
        return [Text("The two have no game in common.", palette.muted)]
    head = plain(str(_info(game)), style="bold")
    pool = ", from the same images" if game.same_pool else ""
    verdict = f"{count(game.moved)} of {plural(len(game.moves), 'contributor')} moved by more than the intervals{pool}"
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=palette.muted)
    for title in ("Contributor", "Rank", "Value", "Change", ""):
        right = title in ("Value", "Change")
        table.add_column(title, justify="right" if right else "left", no_wrap=True, max_width=_NAME)
    scale = Scale([value for move in game.moves for value in (move.old, move.new)])
    for move in game.moves[:_MOST]:
        table.add_row(*_row(move, scale, palette))
    parts: list[RenderableType] = [head, Text(verdict)]
    parts += [plain(note, 500, style=palette.muted) for note in game.notes]
    parts += [Text(), table]
    if len(game.moves) > _MOST:
        parts.append(
            Text(f"and {plural(len(game.moves) - _MOST, 'other')} that moved less; y copies all", palette.muted)
        )
    for sign, names in (("←", game.removed), ("→", game.added)):
        if names:
            parts.append(Text(f"! only in {sign}: ", palette.warning).append(plain(listed(names, _NAMES), 1000)))
    return parts


def _row(move: Move, scale: Scale, palette: Palette) -> tuple[Text, ...]:
    ranks = f"{move.old_rank} → {move.new_rank}" if move.old_rank != move.new_rank else f"{move.new_rank}"
    verdict = Text("! beyond", palette.warning) if move.beyond else Text("= within", palette.muted)
    return (
        plain(move.name),
        Text(ranks),
        Text(f"{scale(move.old)} → {scale(move.new)}"),
        Text(("+" if move.difference > 0 else "") + scale(move.difference)),
        verdict,
    )
