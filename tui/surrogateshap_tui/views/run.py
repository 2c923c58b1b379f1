"""The live run: progress, devices, warnings, the ranking as it forms, the newest images. What matters most comes first.

In a narrow terminal these stand below each other; in a wide one ranking and images stand side by side.
"""

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.events import Resize

from surrogateshap_tui.session import Session
from surrogateshap_tui.views.newest import NewestImages
from surrogateshap_tui.views.run_parts import FIRST_WARNINGS, draw_progress, draw_ranking, draw_warnings, rows_beside
from surrogateshap_tui.widgets.picture import Picture
from surrogateshap_tui.widgets.scrolling import Scroll
from surrogateshap_tui.widgets.stage_list import WIDE


class RunView(Scroll):
    """Scrolls over the run's sections. Each is drawn anew only where what it shows has changed."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, object] = {}
        self._session: Session | None = None

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Picture(id="run-progress")
        with Container(id="run-columns"):
            yield Picture(id="run-ranking")
            yield NewestImages(id="run-images")
        yield Picture(id="run-warnings")

    def on_resize(self, event: Resize) -> None:
        """Goes over to columns, or back."""
        self.set_class(event.size.width >= WIDE, "wide")
        if self._session is not None:
            self.show(self._session)

    def show(self, session: Session) -> None:
        """See views."""
        self._session = session
        newest = self.query_one(NewestImages)
        newest.look(session)
        state, game, words = session.state, session.game, session.words
        here, startable, waits = session.job is not None, session.plan is not None, newest.waits_for
        stages = (state.run, state.status, state.resumed, state.left, state.stages, state.devices)
        progress = (stages, state.warnings, state.error, state.remedy, words, here, startable, waits)
        if self._changed("run-progress", progress):
            self._picture("run-progress").show(
                lambda palette, width: draw_progress(state, words, here, startable, waits, palette, width)
            )
        ranking = state.ranking(game) if game else None
        if self._changed("run-ranking", (ranking, game, state.games)):
            self._picture("run-ranking").show(
                lambda palette, width: draw_ranking(state, ranking, palette, width, rows_beside(self.size))
            )
        wide = self.has_class("wide")
        if self._changed("run-warnings", (state.warnings, wide)):
            picture = self._picture("run-warnings")
            picture.display = len(state.warnings) > (0 if wide else FIRST_WARNINGS)
            picture.show(lambda palette, _: draw_warnings(state.warnings, palette))

    @on(NewestImages.Changed)
    def _waits(self, message: NewestImages.Changed) -> None:
        message.stop()
        if self._session is not None:
            self.show(self._session)

    def _changed(self, part: str, shown: object) -> bool:
        if part in self._shown and self._shown[part] == shown:
            return False
        self._shown[part] = shown
        return True

    def _picture(self, id: str) -> Picture:
        return self.query_one(f"#{id}", Picture)
