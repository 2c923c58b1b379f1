"""One contributor: its value in every game, where that comes from, and what it is made of."""

import io
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Footer

from surrogateshap.events import GameInfo
from surrogateshap.record.contributor import ContributorData
from surrogateshap.text import harmless
from surrogateshap_tui.copying import places_tsv
from surrogateshap_tui.errors import known
from surrogateshap_tui.messages import Copy, FromSession
from surrogateshap_tui.screens.page import Page
from surrogateshap_tui.session import Session
from surrogateshap_tui.views.contributor import draw_made_of, draw_worth, places
from surrogateshap_tui.widgets.picture import Picture, plain
from surrogateshap_tui.widgets.scrolling import Scroll
from surrogateshap_tui.widgets.thumbnails import Thumbnails

_IMAGES = 16
"""Sample images that are asked for."""


@dataclass
class Loaded(Message):
    """What a contributor is made of, and where its value in a game comes from."""

    game: GameInfo
    data: ContributorData


class DetailScreen(Page):
    """Follows the session: the figures change while a run goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket", "turn(-1)", "Previous game", key_display="["),
        Binding("right_square_bracket", "turn(1)", "Next game", key_display="]"),
        Binding("y", "copy", "Copy", tooltip="copy its places in all games, as tab-separated text"),
    ]

    def __init__(self, session: Session, name: str) -> None:
        super().__init__()
        self.session, self.contributor = session, name
        self._data: dict[GameInfo, ContributorData] = {}
        self._images: dict[GameInfo, list[np.ndarray]] = {}
        self._asked: set[GameInfo] = set()
        self._shown: GameInfo | None = None
        """Whose images are in sight."""

    def compose(self) -> ComposeResult:
        """See Screen."""
        yield Picture(id="status")
        with Scroll():
            yield Picture(id="detail")
            yield Picture(id="made-of")
            yield Thumbnails(2, id="samples")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Shows what is known already."""
        self.session.listen(self._session_changed)
        self._session_changed(None)
        self.query_one(Scroll).focus()

    def on_unmount(self) -> None:
        """The session goes on without this screen."""
        self.session.unlisten(self._session_changed)

    def action_turn(self, step: int) -> None:
        """Goes to another game."""
        self.session.turn(step)

    def action_copy(self) -> None:
        """Copies its places in all games of its grouping."""
        ranking = self.session.ranking
        if ranking is not None:
            found = places(self.session.state, ranking.game.grouping, self.contributor)
            text = places_tsv((one.game, place) for one, place in found)
            self.post_message(Copy(harmless(self.contributor, 60), text, f"{self.session.state.run}-contributor"))

    def _session_changed(self, _: FromSession | None) -> None:
        self._ask()
        name, state, ranking = self.contributor, self.session.state, self.session.ranking
        title = Text(harmless(self.session.title)).append(" / ").append(plain(name))
        self.query_one("#status", Picture).show(
            lambda palette, _: Text.assemble(("surrogateshap  ", palette.heading), title)
        )
        if ranking is None:
            return
        data, busy = self._data.get(ranking.game), ranking.game in self._asked
        self.query_one("#detail", Picture).show(
            lambda palette, width: draw_worth(state, ranking, name, data, palette, width)
        )
        self.query_one("#made-of", Picture).show(lambda palette, _: draw_made_of(data, busy, palette))
        shown = ranking.game if data is not None else None
        if shown != self._shown:
            self._shown = shown
            self.query_one("#samples", Thumbnails).show(self._images[shown] if shown is not None else [])

    def _ask(self) -> None:
        """Looks up what the contributor is made of, once per game and once the results are there."""
        game = self.session.game
        if game is not None and self.session.results is not None and game not in self._asked:
            self._asked.add(game)
            self.run_worker(partial(self._read, game), thread=True)

    def _read(self, game: GameInfo) -> None:
        try:
            data = self.session.source.contributor(game, self.contributor, _IMAGES)
        except Exception as error:
            data = ContributorData(notes=(known(error).message,))
        self.post_message(Loaded(game, data))

    @on(Loaded)
    def _loaded(self, message: Loaded) -> None:
        self._data[message.game] = message.data
        self._images[message.game] = [pixels for png in message.data.images if (pixels := _pixels(png)) is not None]
        self._session_changed(None)


def _pixels(png: bytes) -> np.ndarray | None:
    """(H, W, 3) uint8; None for what is no image."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as opened:
            return np.asarray(opened.convert("RGB"), np.uint8)
    except Exception:  # what Pillow raises on damaged bytes has no common base
        return None
