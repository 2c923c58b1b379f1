"""The real program in a real terminal of 80 columns and 24 lines, which tmux stands in for: from Home to quit."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

pytestmark = pytest.mark.terminal
ROOT = Path(__file__).parents[2]
UNNEEDED = ("quality", "confident-tail", "variety", "threes", "collection")


def smaller(spec: str) -> str:
    """The digits spec with one proxy, two utilities and few images."""
    for before, after in (
        ('kind = ["prompt", "image"]', 'kind = "image"'),
        ("images_per_contributor = 100", "images_per_contributor = 8"),
        ("steps = 20", "steps = 6"),
        ("denoising_loss = true", "denoising_loss = false"),
    ):
        assert before in spec
        spec = spec.replace(before, after)
    for name in UNNEEDED:
        spec, found = re.subn(rf'\[\[[a-z.]+\]\]\nname = "{name}".*?\n\n', "", spec, flags=re.DOTALL)
        assert found == 1
    return f"{spec}\n[intervals]\nresamples = 20\n"


class Terminal:
    """A tmux server of its own, with one window."""

    def __init__(self, folder: Path, command: list[str], environment: dict[str, str]) -> None:
        program = shutil.which("tmux")
        assert program, "the terminal's tests need tmux"
        (folder / "tmux.conf").write_text('set -g default-terminal "tmux-256color"\nset -g remain-on-exit on\n')
        self._tmux = [program, "-S", str(folder / "tmux"), "-f", str(folder / "tmux.conf")]
        exports = [f"{name}={value}" for name, value in environment.items()]
        # tmux 3.3 loses the status of a program that closes its terminal before it ends.
        self._status = folder / "tmux.status"
        line = f"{shlex.join(['env', *exports, *command])}; echo $? > {shlex.quote(str(self._status))}"
        self._call("new-session", "-d", "-x", "80", "-y", "24", "-c", str(folder), line)

    def press(self, *keys: str) -> None:
        """Keys as tmux names them."""
        self._call("send-keys", *keys)

    def screen(self) -> str:
        """What is seen, as text."""
        return self._call("capture-pane", "-p")

    def wait(self, *texts: str, seconds: float = 120) -> str:
        """The screen, once all of `texts` are on it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            shown = self.screen()
            if all(text in shown for text in texts):
                return shown
            time.sleep(0.1)
        raise AssertionError(f"{texts} never came; the screen:\n{self.screen()}")

    def ended(self, seconds: float = 60) -> int:
        """The program's exit code, once it has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._status.is_file() and (said := self._status.read_text().strip()):
                return int(said)
            time.sleep(0.1)
        raise AssertionError(f"the program did not end; the screen:\n{self.screen()}")

    def close(self) -> None:
        """Ends the server, whatever is left in it."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def _call(self, *arguments: str) -> str:
        return subprocess.run([*self._tmux, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "digits.toml").write_text(smaller((ROOT / "specs" / "digits.toml").read_text()))
    path = os.pathsep.join((str(ROOT), str(ROOT / "tui")))
    made = Terminal(tmp_path, [sys.executable, "-m", "surrogateshap", "tui"], {"PYTHONPATH": path, "LC_ALL": "C.UTF-8"})
    try:
        yield made
    finally:
        made.close()


def test_from_home_to_export(terminal: Terminal, tmp_path: Path) -> None:
    terminal.wait("Specs", "digits.toml", "none yet")
    terminal.press("p")
    shown = terminal.wait("generate images", "new")
    assert "images" in shown
    terminal.press("a")
    terminal.wait("Apply the plan?")
    terminal.press("y")
    terminal.wait("2 Run", "running", "images/s")
    shown = terminal.wait("final, from", "exact", "intervals", "Contributor", seconds=240)
    names = set(pl.read_parquet(ROOT / "examples/digits/contributors.parquet")["contributor"].unique())
    assert sum(name in shown for name in names) >= 5
    terminal.press("]")
    terminal.wait("game 2 of 2", "diversity")
    terminal.press("G")
    terminal.wait("rank 14 of 14")
    terminal.press("Enter")
    terminal.wait("In every game", "recognisable")
    terminal.press("Escape")
    terminal.wait("game 2 of 2", "rank 14 of 14")
    terminal.press("5")
    terminal.wait("The record holds", "Files that it names")
    terminal.press("G")
    terminal.wait("✓ ok")
    terminal.press("C-p")
    terminal.wait("Search")
    terminal.press("export", "Space", "json")
    terminal.wait("Export json")
    time.sleep(1)  # the palette searches on
    terminal.press("Enter")
    terminal.wait("Written")
    (written,) = tmp_path.glob("*.json")
    games = json.loads(written.read_text())["games"]
    assert [game["utility"] for game in games] == ["recognisable", "diversity"]
    terminal.press("q")
    assert terminal.ended() == 0


def test_a_window_too_small_and_a_terminal_without_colours(terminal: Terminal) -> None:
    terminal.wait("digits.toml")
    terminal._call("resize-window", "-x", "40", "-y", "10")
    terminal.wait("digits.toml")
    terminal.press("q")
    assert terminal.ended() == 0
