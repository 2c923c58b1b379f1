"""Two runs side by side."""

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
from surrogateshap.units import plural
from surrogateshap_tui.comparison import GameComparison, Move, compare
from surrogateshap_tui.errors import known
from surrogateshap_tui.messages import Compared, Failed
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.screens.page import Page
from surrogateshap_tui.source import Source
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scrolling import Scroll


class CompareScreen(Page):
    """Reads the results of both, and shows one game at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket", "turn(-1)", "Previous game", key_display="["),
        Binding("right_square_bracket", "turn(1)", "Next game", key_display="]"),
    ]

    def __init__(self, left: Source, right: Source) -> None:
        super().__init__()
        self.games: tuple[GameComparison, ...] = ()
        self._left, self._right = left, right
        self._at = 0

    def compose(self) -> ComposeResult:
        """See Screen."""
        yield Picture(id="status")
        with Scroll():
            yield Picture(id="comparison")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begins to read."""
        names = f"{harmless(self._left.target)}  →  {harmless(self._right.target)}"
        self.query_one("#status", Picture).show(
            lambda palette, _: Text.assemble(("surrogateshap", palette.heading), f"  {names}")
        )
        self._say("Reading the results of both.")
        self.query_one(Scroll).focus()
        self.run_worker(self._read, thread=True)

    def action_turn(self, step: int) -> None:
        """Goes to another game that both have."""
        self._at = (self._at + step) % len(self.games)
        self._show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers only what can be done now."""
        return len(self.games) > 1 if action == "turn" else True

    @on(Compared)
    def _compared(self, message: Compared) -> None:
        self.games = compare(message.left, message.right)
        self._show()
        self.refresh_bindings()

    def _read(self) -> None:
        try:
            left, right = _results(self._left), _results(self._right)
        except Exception as error:
            self.post_message(Failed(known(error)))
            return
        self.post_message(Compared(left, right))

    def _show(self) -> None:
        if not self.games:
            self._say("The two have no game in common.")
            return
        game, number, count = self.games[self._at], self._at + 1, len(self.games)
        self.query_one("#comparison", Picture).show(lambda palette, _: draw_comparison(game, number, count, palette))

    def _say(self, words: str) -> None:
        self.query_one("#comparison", Picture).show(lambda palette, _: Text(words, palette.muted))


def _results(source: Source) -> Results:
    found = source.results()
    if found is None:
        raise RunError(f"{harmless(source.target)} has no results", "Only finished runs can be compared.")
    return found


def draw_comparison(game: GameComparison, number: int, count: int, palette: Palette) -> RenderableType:
    """One game: ranks and values in both, and whether the intervals part."""
    parted = sum(move.apart for move in game.moves)
    head = Text.assemble(plain(str(game.game), style="bold"), (f"  game {number} of {count}", palette.muted))
    verdict = Text(f"{parted} of {plural(len(game.moves), 'contributor')} moved by more than the intervals")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=palette.muted)
    for title in ("Contributor", "Rank", "Value", "Change", ""):
        table.add_column(title, justify="right" if title in ("Value", "Change") else "left")
    scale = Scale([value for move in game.moves for value in (move.left.value, move.right.value)])
    for move in game.moves:
        table.add_row(*_row(move, scale, palette))
    parts: list[RenderableType] = [head, verdict, Text(), table]
    for side, names in (("left", game.only_left), ("right", game.only_right)):
        if names:
            parts.append(Text(f"! only in the {side} run: ", palette.warning).append(plain(", ".join(names), 1000)))
    return Group(*parts)


def _row(move: Move, scale: Scale, palette: Palette) -> tuple[Text, ...]:
    left, right = move.left, move.right
    ranks = f"{left.rank} → {right.rank}" if left.rank != right.rank else f"{right.rank}"
    verdict = Text("! apart", palette.warning) if move.apart else Text("= within the intervals", palette.muted)
    change = right.value - left.value
    return (
        plain(move.name),
        Text(ranks),
        Text(f"{scale(left.value)} → {scale(right.value)}"),
        Text(("+" if change > 0 else "") + scale(change)),
        verdict,
    )
