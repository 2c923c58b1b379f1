"""Whether the terminal shows real images. It is asked nothing: its name says it, and what it tells of its cells.

A question would wait for an answer that may never come, or that comes so late, over a network, that it is taken for
keys. So only terminals are used that are known to do it; `SURROGATESHAP_GRAPHICS` decides otherwise.
"""

import io
import os
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from textual.widget import Widget

VARIABLE = "SURROGATESHAP_GRAPHICS"
Kind = Literal["kitty", "sixel"]
_KITTY = ("xterm-kitty", "xterm-ghostty")
_SIXEL_TERMS = ("foot", "mlterm", "contour", "yaft")
_SIXEL_PROGRAMS = ("wezterm", "iterm.app", "mintty")


def kind_of(environment: Mapping[str, str]) -> Kind | None:
    """What the terminal of this environment shows images by; None where it shows none, or that isn't known."""
    asked = environment.get(VARIABLE, "auto")
    if asked != "auto":
        return "kitty" if asked == "kitty" else "sixel" if asked == "sixel" else None
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "").lower()
    if "TMUX" in environment or "STY" in environment or "TEXTUAL_DRIVER" in environment:
        return None  # multiplexers don't pass images on; a browser draws half cells
    if term in _KITTY or "KITTY_WINDOW_ID" in environment or program == "ghostty":
        return "kitty"
    if term.split("-")[0] in _SIXEL_TERMS or program in _SIXEL_PROGRAMS or "KONSOLE_VERSION" in environment:
        return "sixel"
    return None


@dataclass(frozen=True)
class Graphics:
    """How images are shown where the terminal can."""

    widget: type[Widget]
    """Shows its attribute `image`, one of Pillow's, as large as it is styled."""
    cell: tuple[int, int]
    """Width and height of one cell in pixels."""


def find() -> Graphics | None:
    """Looks at the terminal, before the app begins to use it; None where images are to be drawn in half cells."""
    kind, size = kind_of(os.environ), _cell_in_pixels()
    if kind is None or size is None:
        return None
    with suppress(Exception):  # whatever a library beneath does, half cells always work
        return Graphics(_load(kind), size)
    return None


def _load(kind: Kind) -> type[Widget]:
    """Raises ImportError where the library is not installed."""
    real = sys.__stdout__
    sys.__stdout__ = io.StringIO()  # type: ignore[misc, assignment]
    try:  # while it is loaded, the library asks what it takes for a terminal
        module = import_module("textual_image.widget")
    finally:
        sys.__stdout__ = real  # type: ignore[misc]
    cells = import_module("textual_image._terminal")
    with suppress(AttributeError):
        del cells.get_cell_size._result  # what it assumed without a terminal
    cells.get_cell_size()
    found: type[Widget] = module.TGPImage if kind == "kitty" else import_module("textual_image.widget.sixel").Image
    return found


def _cell_in_pixels() -> tuple[int, int] | None:
    """None where the terminal doesn't tell its size in pixels."""
    try:
        import fcntl
        import termios

        answer = fcntl.ioctl(sys.__stdout__.fileno(), termios.TIOCGWINSZ, bytes(8)) if sys.__stdout__ else bytes(8)
    except (ImportError, OSError, ValueError):
        return None
    rows, columns, width, height = struct.unpack("HHHH", answer)
    return (width // columns, height // rows) if rows and columns and width >= columns and height >= rows else None
