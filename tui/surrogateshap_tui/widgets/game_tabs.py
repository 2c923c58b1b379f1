"""The games of a run on one line: the one that is shown, and as many beside it as the width takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text
from textual.events import Click
from textual.message import Message
from textual.widget import Widget

from surrogateshap.events import GameInfo
from surrogateshap.text import harmless
from surrogateshap_tui.theme import Palette

_GAP = 2
_NAME_MOST = 48


@dataclass(frozen=True)
class Tab:
    """One game's place on the line."""

    game: int
    start: int
    text: str


def fitted(games: Sequence[GameInfo], current: int, width: int) -> tuple[str, tuple[Tab, ...], str]:
    """The tabs that go into a width, the current one in brackets and in full, and the texts before and after them.

    These say which game of how many it is, and how many are left out on their side. The current game is always there,
    shortened where it must be.
    """
    if not games:
        return "", (), ""
    own = games[current].grouping
    short = [f"{game.utility} / {game.proxy}" if game.grouping == own else str(game) for game in games]
    labels = [harmless(text, _NAME_MOST) for text in short]
    number = f"game {current + 1} of {len(games)}  "
    ends = len(number) + (len(f"‹ {len(games)} ") + len(f" {len(games)} ›") if len(games) > 1 else 0)
    room = max(3, width - ends)
    here = Text(f"[{harmless(str(games[current]), 2 * _NAME_MOST)}]")
    if here.cell_len > room:
        here.truncate(room - 1, overflow="ellipsis")
        here.append("]")
    labels[current] = here.plain
    first = last = current
    used = cell_len(labels[current])
    while True:
        # Turn and turn about, so that the current one stays in the middle as far as there are others.
        near = [at for at in (last + 1, first - 1) if 0 <= at < len(games)]
        fits = [at for at in near if used + _GAP + cell_len(labels[at]) <= room]
        if not fits:
            break
        at = min(fits, key=lambda at: abs(at - current))
        used += _GAP + cell_len(labels[at])
        first, last = min(first, at), max(last, at)
    before = number + (f"‹ {first} " if first else "")
    after = f" {len(games) - 1 - last} ›" if last < len(games) - 1 else ""
    tabs, start = [], cell_len(before)
    for at in range(first, last + 1):
        tabs.append(Tab(at, start, labels[at]))
        start += cell_len(labels[at]) + _GAP
    return before, tuple(tabs), after


class GameTabs(Widget):
    """One line of games; a click on one goes to it, one on an end to the next that is out of sight."""

    DEFAULT_CSS = "GameTabs { height: 1; width: 1fr; }"

    @dataclass
    class Chosen(Message):
        """The user asks for a game."""

        game: GameInfo

    def __init__(self) -> None:
        super().__init__()
        self._games: tuple[GameInfo, ...] = ()
        self._current = 0

    def show(self, games: tuple[GameInfo, ...], game: GameInfo | None) -> None:
        """Shows these games, with `game` as the current one."""
        current = games.index(game) if game in games else 0
        if (games, current) != (self._games, self._current):
            self._games, self._current = games, current
            self.refresh()

    def render(self) -> RenderableType:
        """See Widget."""
        palette = Palette.of(self.app)
        before, tabs, after = fitted(self._games, self._current, self.size.width)
        line = Text(before, palette.muted, no_wrap=True)
        for tab in tabs:
            line.append(" " * (tab.start - line.cell_len))
            line.append(tab.text, "bold" if tab.game == self._current else palette.muted)
        return line.append(after, palette.muted)

    def on_click(self, event: Click) -> None:
        """Goes to the game that was clicked on."""
        _, tabs, _ = fitted(self._games, self._current, self.size.width)
        if not tabs:
            return
        ended = tabs[-1].start + cell_len(tabs[-1].text)
        at = next((tab.game for tab in reversed(tabs) if tab.start <= event.x < ended), None)
        if at is None:
            at = max(0, tabs[0].game - 1) if event.x < tabs[0].start else min(len(self._games) - 1, tabs[-1].game + 1)
        self.post_message(self.Chosen(self._games[at]))
