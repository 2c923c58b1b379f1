"""The newest images of a run. They are read in a thread, once a second at most, and only while they are in sight."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

from surrogateshap_tui.session import Session
from surrogateshap_tui.widgets.picture import Picture
from surrogateshap_tui.widgets.thumbnails import Thumbnails

if TYPE_CHECKING:
    import numpy as np

PAUSE = 1.0
"""Seconds between two looks."""
_COUNT = 24


class NewestImages(Vertical):
    """A title and thumbnails; nothing before there are images."""

    @dataclass
    class Looked(Message):
        """What there is; None where it could not be read."""

        run: str
        images: "Sequence[np.ndarray] | None"
        waits_for: str

    class Changed(Message):
        """It turned out that the run waits for another, or no longer does."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.waits_for = ""
        """Name of the run that this one waits for."""
        self._session: Session | None = None
        self._seen: object = None
        self._looking = False

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Picture(id="images-title")
        yield Thumbnails(rows=2)

    def on_mount(self) -> None:
        """Nothing is there yet."""
        self.display = False
        title = "Newest images"
        self.query_one(Picture).show(lambda palette, _: Text(title, palette.heading))

    def look(self, session: Session) -> None:
        """Looks for images where the run may have made some since it last did."""
        self._session = session
        state = session.state
        waiting = session.job is not None and state.status != "running"
        made = (state.run, state.status, waiting, tuple(one.done for one in state.stages if one.unit == "images"))
        if self._looking or not state.run or (made == self._seen and not waiting):
            return
        self._looking, self._seen = True, made
        source, run = session.source, state.run

        def work() -> None:
            try:
                images = None if waiting else source.images(run, _COUNT)
                other = source.waits_for(run) if waiting else ""
            except Exception:  # thumbnails are not worth a message: the run itself tells what is wrong
                images, other = None, ""
            self.post_message(self.Looked(run, images, other))

        self.run_worker(work, thread=True)

    @on(Looked)
    def _looked(self, message: Looked) -> None:
        message.stop()
        if self._session is None:
            return
        if message.images is not None and message.run == self._session.state.run:
            self.display = bool(message.images)
            self.query_one(Thumbnails).show(message.images)
        if message.waits_for != self.waits_for:
            self.waits_for = message.waits_for
            self.post_message(self.Changed())
        self.set_timer(PAUSE, self._look_again)

    def _look_again(self) -> None:
        self._looking = False
        if self._session is not None and self._in_sight:
            self.look(self._session)

    @property
    def _in_sight(self) -> bool:
        """Whether its tab is the one that is shown; it may have no images yet, and so no room."""
        return self.screen.is_current and all(one.display for one in self.ancestors if isinstance(one, Widget))
