"""The command line as a process: signals, pipes, terminals, and what it imports."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from surrogateshap.cli.apply import STOPPING

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "diffusers", "transformers", "lightgbm", "shap", "scipy", "numpy", "textual", "polars", "PIL"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("fake_api.py")), *arguments]


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tui")])
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "80", "SURROGATESHAP_DEBUG": "", **more}


def modules_after(tmp_path: Path, *arguments: str) -> set[str]:
    written = tmp_path / "modules"
    done = subprocess.run(
        command(*arguments), env=environment(FAKE_MODULES=str(written)), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return {name.partition(".")[0] for name in written.read_text().split()}


def test_python_dash_m() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "surrogateshap", "--version"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "surrogateshap 0.1.0\n")


def test_help_imports_click_alone() -> None:
    code = (
        "import sys; from surrogateshap.cli import main; code = main(['--help']);"
        "print([m for m in ('rich', 'pydantic', 'surrogateshap.api', 'surrogateshap.cli.plan', 'json', 'asyncio')"
        " if m in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert "Usage: surrogateshap" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", "a.toml"),
        ("plan", "a.toml", "--json"),
        ("show", "r"),
        ("show", "r", "--format", "csv"),
        ("show", "r", "--format", "md"),
        ("show", "r", "--format", "html"),
        ("diff", "a", "b"),
        ("verify", "r.json"),
        ("schema",),
    ],
)
def test_light_commands_import_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert not modules_after(tmp_path, *arguments) & HEAVY


def started(tmp_path: Path, name: str, display: str) -> subprocess.Popen[str]:
    ready = tmp_path / "ready"
    process = subprocess.Popen(
        command("apply", name, "--display", display),
        env=environment(FAKE_READY=str(ready)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    while not ready.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("display", ["rich", "plain", "none"])
def test_a_first_signal_ends_the_run_after_its_batch(tmp_path: Path, number: signal.Signals, display: str) -> None:
    process = started(tmp_path, "patient.toml", display)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert f"{STOPPING}\n" in err
    assert err.endswith("Interrupted: what was finished is kept. Go on with: surrogateshap apply patient.toml\n")
    assert "Traceback" not in err


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    process = started(tmp_path, "stubborn.toml", "plain")
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    seen = []
    while STOPPING not in (line := process.stderr.readline()):
        assert line, seen
        seen.append(line)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err == "Interrupted: what was finished is kept. Go on with: surrogateshap apply stubborn.toml\n"


def test_a_reader_that_leaves_is_no_error() -> None:
    process = subprocess.Popen(
        command("show", "r", "--format", "json"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(30) == 1
    assert process.stderr.read() == ""
    process.stderr.close()


def test_data_is_utf8_wherever_it_goes() -> None:
    done = subprocess.run(
        command("show", "r", "--format", "csv"),
        env=environment(PYTHONIOENCODING="latin-1"),
        capture_output=True,
        check=True,
    )
    assert "Zoë" in done.stdout.decode()


def on_a_terminal(answer: bytes, *arguments: str, **more: str) -> tuple[int, bytes]:
    """Runs a command line whose every stream is one terminal; its exit code and what the terminal showed."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen(command(*arguments), env=environment(**more), stdin=inside, stdout=inside, stderr=inside)
    os.close(inside)
    os.write(terminal, answer)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux says so that the other side is closed
            piece = b""
        if not piece:
            break
        shown += piece
    os.close(terminal)
    return process.wait(30), shown


def test_a_person_is_asked_and_may_decline() -> None:
    code, shown = on_a_terminal(b"n\n", "apply", "a.toml", NO_COLOR="1", TERM="xterm")
    assert code == 1
    assert b"Apply this plan? [y/N]" in shown
    assert b"Nothing was applied." in shown
    assert b"Hilma" not in shown


def test_a_person_who_agrees_sees_bars_and_the_table() -> None:
    code, shown = on_a_terminal(b"y\n", "apply", "a.toml", NO_COLOR="1", TERM="xterm")
    assert code == 0
    assert b"1,000 of 1,000 images" in shown
    assert b"Hilma af Klint" in shown
    assert b"\x1b[3" not in shown.split(b"Apply this plan?")[1]  # no colour


def test_a_person_is_not_asked_where_nothing_is_pending() -> None:
    code, shown = on_a_terminal(b"", "apply", "cached.toml", TERM="dumb")
    assert code == 0
    assert b"Apply this plan?" not in shown
    assert b"Run r-1 starts" in shown
