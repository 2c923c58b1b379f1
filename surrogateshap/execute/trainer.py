"""Runs the one command that a spec may name: the trainer of anchors. Never through a shell, never unasked."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from surrogateshap.errors import InterruptedRun, RunError
from surrogateshap.spec.paths import EXAMPLE, resolve
from surrogateshap.text import escaped, harmless
from surrogateshap.units import duration

_TICK = 0.05
"""Seconds between two looks at a trainer and at the user's wish to stop."""
_GRACE = 5.0
"""Seconds that a trainer gets to end by itself once it is told to."""
_TAIL = 4096


def command_for(command: Sequence[str], rows: Path, out: Path, folder: Path) -> list[str]:
    """The spec's command with `{rows}`, `{out}` and `{python}` filled in.

    A word that begins with `example:` stands for a shipped file. Raises PathRefused where there is none such.
    """
    filled = {"{rows}": str(rows), "{out}": str(out), "{python}": sys.executable}
    words = []
    for word in command:
        if word.startswith(EXAMPLE):
            words.append(str(resolve(word, folder)))
        else:  # in one pass: what is filled in is never filled in again
            words.append(re.sub(r"\{(?:rows|out|python)\}", lambda found: filled[found[0]], word))
    return words


def shown(command: Sequence[str]) -> str:
    """A command for people: each word between quotes, exactly, with escapes for what is not printable."""
    return " ".join(escaped(word) for word in command)


def run_trainer(
    command: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    log: Path,
    timeout: float | None,
    stop: threading.Event,
) -> None:
    """Runs a command in `folder` with this process's environment and `variables`, its output to `log`, to its end.

    Raises RunError where it can't be started, fails or takes longer than `timeout` seconds, and InterruptedRun once
    `stop` is set. Whatever ends it early ends all processes that it started in its process group.
    """
    environment = {**os.environ, **variables}
    try:
        log.unlink(missing_ok=True)  # never through a link that was put there
        with log.open("xb") as output:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C reaches it through us alone, and its children with it
            )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        message = f"the trainer can't be started: {harmless(command[0])}: {harmless(reason)}"
        raise RunError(message, "Correct `trainer` under [fidelity].") from None
    end = None if timeout is None else time.monotonic() + timeout
    try:
        while process.poll() is None:
            if stop.wait(_TICK):
                raise InterruptedRun("interrupted: what was finished is kept")
            if end is not None and time.monotonic() > end:
                message = f"the trainer took longer than {duration(timeout)} and was stopped"
                raise RunError(message, "Give it longer with --timeout.")
    except BaseException:
        _end(process)
        raise
    if process.returncode != 0:
        code = process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
        last = _last_line(log)
        raise RunError(f"the trainer {how}" + (f"; its last line: {last}" if last else ""), f"All it said: {log}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a trainer and its children: first politely, then at once."""
    if sys.platform == "win32":
        process.kill()
        process.wait()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(log: Path) -> str:
    """The last line that is not empty, harmlessly."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((shown for line in reversed(lines) if (shown := harmless(line, 300))), "")
