"""The user's own editor, on a file at a line, in the terminal that the app lends it."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from textual.app import SuspendNotSupported

from surrogateshap.errors import RunError
from surrogateshap.text import harmless

_WITH_COLON = {"hx", "helix", "subl", "zed"}
"""Editors that take FILE:LINE; most take +LINE FILE."""
_WITH_GOTO = {"code", "codium", "code-insiders", "cursor"}
_KNOWN = ("nano", "vim", "vi")
"""Looked for where no variable names an editor."""


class Terminal(Protocol):
    """What lends the terminal: the app."""

    def suspend(self) -> AbstractContextManager[None]:
        """Leaves the terminal to another program inside. Raises SuspendNotSupported where that can't be done."""


def command(editor: str, path: Path, line: int) -> list[str]:
    """The command line that opens an absolute path at a line; `editor` is what $VISUAL or $EDITOR says."""
    words = shlex.split(editor)
    name = Path(words[0]).name
    if name in _WITH_GOTO:
        return [*words, "--wait", "--goto", f"{path}:{line}"]
    if name in _WITH_COLON:
        return [*words, *(["--wait"] if name == "subl" else []), f"{path}:{line}"]
    return [*words, f"+{line}", str(path)]


def edit(terminal: Terminal, path: str, line: int) -> None:
    """Opens the file in $VISUAL or $EDITOR and waits until it is closed. Raises RunError where that can't be done."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or next(filter(shutil.which, _KNOWN), "")
    try:
        words: Sequence[str] = command(editor, Path(path).absolute(), max(1, line)) if editor.strip() else ()
    except ValueError:
        words = ()
    if not words:
        raise RunError("no editor is known", "Set EDITOR, such as `export EDITOR=nano`, and start again.")
    shown = harmless(words[0])
    try:
        with terminal.suspend():
            subprocess.run(words, check=False)
    except SuspendNotSupported:
        where = f"Edit {harmless(path, 1000)} in another window, then press r here."
        raise RunError("this terminal can't be lent to an editor", where) from None
    except OSError as error:
        raise RunError(
            f"{shown} can't be started: {error.strerror}", "Set EDITOR to an editor that is there."
        ) from None
