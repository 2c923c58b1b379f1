"""The app's theme, and its colours as Rich styles for tables and bars. Colour only ever repeats what words say."""

from dataclasses import dataclass

from rich.style import Style
from textual.app import App
from textual.color import Color
from textual.theme import Theme

DARK = Theme(
    name="surrogateshap",
    primary="#7aa2f7",
    secondary="#9aa5ce",
    accent="#e0af68",
    success="#9ece6a",
    warning="#e0af68",
    error="#f7768e",
    foreground="#c8d0e8",
    background="#15171f",
    surface="#1b1e2a",
    panel="#252938",
)
LIGHT = Theme(
    name="surrogateshap-light",
    primary="#2a55b0",
    secondary="#55607f",
    accent="#8a5a00",
    success="#3a6b1a",
    warning="#8a5a00",
    error="#b3243f",
    foreground="#1d2333",
    background="#f7f7fa",
    surface="#ffffff",
    panel="#e3e6ef",
    dark=False,
)
ROUND = (DARK.name, LIGHT.name, "ansi-dark", "ansi-light")
"""What `t` goes through; the last two use the terminal's own colours. The palette has all of Textual's, too."""


@dataclass(frozen=True)
class Palette:
    """Rich styles in the colours of the theme that is on."""

    primary: Style
    success: Style
    warning: Style
    error: Style
    heading: Style
    muted: Style

    @classmethod
    def of(cls, app: App[object]) -> "Palette":
        """The palette of the app's present theme."""
        variables = app.theme_variables

        def style(name: str, bold: bool = False) -> Style:
            return Style(color=Color.parse(variables[name]).rich_color, bold=bold or None)

        return cls(
            primary=style("primary"),
            success=style("success"),
            warning=style("warning"),
            error=style("error"),
            heading=style("primary", bold=True),
            muted=Style(dim=True),
        )
