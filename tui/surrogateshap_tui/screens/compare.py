"""Two runs side by side."""

from dataclasses import dataclass
from typing import ClassVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer

from surrogateshap.errors import RunError
from surrogateshap.record.results import Results
from surrogateshap.text import harmless
from surrogateshap.units import count, plural
from surrogateshap_tui.changes import SpecChanges, spec_changes
from surrogateshap_tui.comparison import Comparison, GameComparison, Move, compare
from surrogateshap_tui.copying import tsv
from surrogateshap_tui.errors import known
from surrogateshap_tui.messages import Compared, Copy, Failed
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.screens.page import Page
from surrogateshap_tui.source import Source
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.game_tabs import GameTabs
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scrolling import Scroll

_MOST = 200
"""Contributors that are shown: those that moved most."""
_CHANGES = 40
_NAME = 32


@dataclass(frozen=True)
class Side:
    """What one of the two is, in a line."""

    name: str
    fidelity: str


class CompareScreen(Page):
    """Reads the results of both, and shows one game at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket", "turn(-1)", "Previous game", key_display="["),
        Binding("right_square_bracket", "turn(1)", "Next game", key_display="]"),
        Binding("y", "copy", "Copy", tooltip="copy the game's moves, as tab-separated text"),
    ]

    def __init__(self, left: Source, right: Source) -> None:
        super().__init__()
        self.comparison: Comparison | None = None
        self._changes = SpecChanges(None)
        self._sides: tuple[Side, ...] = ()
        self._left, self._right = left, right
        self._at = 0

    @property
    def games(self) -> tuple[GameComparison, ...]:
        """Those that both have; none before both were read."""
        return self.comparison.games if self.comparison is not None else ()

    def compose(self) -> ComposeResult:
        """See Screen."""
        yield Picture(id="status")
        yield GameTabs()
        with Scroll():
            yield Picture(id="comparison")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begins to read."""
        names = f"{harmless(self._left.target)}  →  {harmless(self._right.target)}"
        self.query_one("#status", Picture).show(
            lambda palette, _: Text.assemble(
                ("surrogateshap", palette.heading), f"  {names}", no_wrap=True, overflow="ellipsis"
            )
        )
        self._say("Reading the results of both.")
        self.query_one(Scroll).focus()
        self.run_worker(self._read, thread=True)

    def action_turn(self, step: int) -> None:
        """Goes to another game that both have."""
        self._at = (self._at + step) % len(self.games)
        self._show()

    def action_copy(self) -> None:
        """Copies all moves of the game."""
        game = self.games[self._at]
        titles = ("grouping", "utility", "proxy", "name", "left_rank", "right_rank", "left", "right")
        named = (game.game.grouping, game.game.utility, game.game.proxy)
        rows = []
        for one in game.moves:
            ranks, values = (one.left.rank, one.right.rank), (one.left.value, one.right.value)
            rows.append([*named, one.name, *ranks, *values, one.change, *one.interval, one.beyond])
        text = tsv((*titles, "change", "change_low", "change_high", "beyond"), rows)
        self.post_message(Copy(plural(len(game.moves), "row"), text, "comparison"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers only what can be done now."""
        return len(self.games) > (action == "turn") if action in ("turn", "copy") else True

    @on(GameTabs.Chosen)
    def _game_chosen(self, message: GameTabs.Chosen) -> None:
        self._at = [one.game for one in self.games].index(message.game)
        self._show()

    @on(Compared)
    def _compared(self, message: Compared) -> None:
        self.comparison, self._changes = compare(message.left, message.right), message.changes
        self._sides = tuple(Side(one.run, one.fidelity) for one in (message.left, message.right))
        self._show()
        self.refresh_bindings()

    def _read(self) -> None:
        try:
            left, right = _results(self._left), _results(self._right)
            changed = spec_changes(self._left.made().plan, self._right.made().plan)
        except Exception as error:
            self.post_message(Failed(known(error)))
            return
        self.post_message(Compared(left, right, changed))

    def _show(self) -> None:
        comparison, changed, sides = self.comparison, self._changes, self._sides
        if comparison is None:
            return
        game = self.games[self._at] if self.games else None
        self.query_one(GameTabs).show(tuple(one.game for one in self.games), game.game if game else None)
        self.query_one("#comparison", Picture).show(
            lambda palette, _: Group(*draw_both(comparison, changed, sides, palette), *draw_moves(game, palette))
        )

    def _say(self, words: str) -> None:
        self.query_one("#comparison", Picture).show(lambda palette, _: Text(words, palette.muted))


def _results(source: Source) -> Results:
    found = source.results()
    if found is None:
        raise RunError(f"{harmless(source.target)} has no results", "Only finished runs can be compared.")
    return found


def draw_both(
    comparison: Comparison, changed: SpecChanges, sides: tuple[Side, ...], palette: Palette
) -> list[RenderableType]:
    """What differs between the two beside values: spec and inputs, and games that only one has."""
    parts: list[RenderableType] = []
    for sign, side in zip("←→", sides, strict=True):
        words = f"  fidelity {harmless(side.fidelity)}"
        parts.append(Text(f"{sign} ").append(plain(side.name, style="bold")).append(words, palette.muted))
    parts += [Text(), Text("Spec and inputs", palette.heading)]
    if changed.said is None:
        parts.append(Text("not known: the plan of one of them isn't there", palette.muted))
    elif not changed.said:
        parts.append(Text("= nothing that changes results", palette.muted))
    else:
        parts += [Text("~ ", palette.warning).append(plain(one, 300)) for one in changed.said[:_CHANGES]]
        rest = len(changed.said) - _CHANGES
        parts += [Text(f"and {plural(rest, 'other')}", palette.muted)] if rest > 0 else []
    for sign, games in (("←", comparison.only_left), ("→", comparison.only_right)):
        parts += [Text(f"! game only in {sign}: ", palette.warning).append(plain(str(game))) for game in games]
    return [*parts, Text()]


def draw_moves(game: GameComparison | None, palette: Palette) -> list[RenderableType]:
    """One game: ranks and values in both, and whether they moved by more than the intervals."""
    if game is None:
        return [Text("The two have no game in common.", palette.muted)]
    head = plain(str(game.game), style="bold")
    verdict = f"{count(game.beyond)} of {plural(len(game.moves), 'contributor')} moved by more than the intervals"
    chance = (1 - game.level) * len(game.moves)
    note = f"; about {chance:.1f} would by chance where nothing moved" if game.beyond else ""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=palette.muted)
    for title in ("Contributor", "Rank", "Value", "Change", ""):
        right = title in ("Value", "Change")
        table.add_column(title, justify="right" if right else "left", no_wrap=True, max_width=_NAME)
    scale = Scale([value for move in game.moves for value in (move.left.value, move.right.value)])
    for move in game.moves[:_MOST]:
        table.add_row(*_row(move, scale, palette))
    parts: list[RenderableType] = [head, Text(verdict).append(note, palette.muted), Text(), table]
    if len(game.moves) > _MOST:
        parts.append(
            Text(f"and {plural(len(game.moves) - _MOST, 'other')} that moved less; y copies all", palette.muted)
        )
    for sign, names in (("←", game.only_left), ("→", game.only_right)):
        if names:
            parts.append(Text(f"! only in {sign}: ", palette.warning).append(plain(", ".join(names[:50]), 1000)))
    return parts


def _row(move: Move, scale: Scale, palette: Palette) -> tuple[Text, ...]:
    left, right = move.left, move.right
    ranks = f"{left.rank} → {right.rank}" if left.rank != right.rank else f"{right.rank}"
    verdict = Text("! beyond", palette.warning) if move.beyond else Text("= within", palette.muted)
    return (
        plain(move.name),
        Text(ranks),
        Text(f"{scale(left.value)} → {scale(right.value)}"),
        Text(("+" if move.change > 0 else "") + scale(move.change)),
        verdict,
    )
