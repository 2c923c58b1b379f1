"""What the app's full screens have in common."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen


class Page(Screen[None]):
    """A full screen that is left with escape, or with `h` where nothing scrolls sideways."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,h", "app.leave", "Back", key_display="esc", tooltip="back to where you came from")
    ]
