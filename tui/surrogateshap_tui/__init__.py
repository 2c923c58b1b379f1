"""The terminal UI: plan, live run and ranking. `run` is its only door; Textual is imported when it is called."""

from collections.abc import Sequence
from pathlib import Path


def run(target: str, *, store: Path | None = None, allow_paths: Sequence[Path] = ()) -> int:
    """Opens the UI on a spec, a saved plan or the name of a run; gives the exit code once it is closed.

    Raises SurrogateShapError where standard input or output is not a terminal.
    """
    from surrogateshap_tui.app import run_app

    return run_app(target, store=store, allow_paths=allow_paths)
