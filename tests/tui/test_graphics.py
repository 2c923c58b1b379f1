"""Real images in terminals that have them: what the library sends, and that it asks for nothing."""

import os
import pty
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import fcntl, sys, termios
from canned import picture
from surrogateshap_tui import graphics
from textual.app import App
from surrogateshap_tui.widgets.thumbnails import Thumbnails

found = graphics.find()

class Shown(App):
    graphics = found

    def compose(self):
        yield Thumbnails()

    def on_mount(self):
        self.query_one(Thumbnails).show([picture(at) for at in range(3)])
        self.set_timer(1, self.exit)

Shown().run()
"""


def written(kind: str, size: tuple[int, int, int, int] = (24, 80, 800, 480)) -> str:
    """What a program with thumbnails writes to a terminal of this size (rows, columns, and both in pixels)."""
    import fcntl
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size))
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tui", ROOT / "tests" / "tui")))
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": path}
    environment["SURROGATESHAP_GRAPHICS"] = kind
    command = [sys.executable, "-c", PROGRAM]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        try:
            said += os.read(ours, 1 << 16)
        except OSError:  # the terminal's other side is closed
            break
    os.close(ours)
    assert process.wait(30) == 0
    return said.decode(errors="replace")


@pytest.mark.parametrize(
    ("kind", "sent"), [("kitty", "\x1b_Gi="), ("sixel", "\x1bP"), ("cells", "▀")], ids=["kitty", "sixel", "cells"]
)
def test_images_are_sent_as_the_terminal_takes_them(kind: str, sent: str) -> None:
    said = written(kind)
    assert sent in said
    for other in {"\x1b_Gi=", "\x1bP", "▀"} - {sent}:
        assert other not in said
    for question in ("\x1b[c", "\x1b[16t", "a=q"):
        assert question not in said


def test_a_terminal_that_does_not_tell_its_pixels_gets_half_cells() -> None:
    said = written("kitty", (24, 80, 0, 0))
    assert "▀" in said
    assert "\x1b_G" not in said
