"""`surrogateshap apply`."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from surrogateshap.cli.options import (
    allow_option,
    command_line,
    execution_options,
    objects_option,
    plugin_option,
    store_option,
    target_argument,
)
from surrogateshap.cli.output import deliver
from surrogateshap.errors import InterruptedRun

FULL_TABLES = 3
"""Games whose rankings are printed whole; of more, who is first and who is last."""
STOPPING = "Stopping after the current batch; press again to stop at once."


@click.command("apply")
@target_argument
@click.option("--yes", is_flag=True, help="Don't ask; nothing is asked either where nobody could answer.")
@click.option(
    "--display",
    "kind",
    type=click.Choice(["rich", "plain", "json", "none"]),
    help="Progress as bars, as lines, as JSON lines of events on stdout (in place of the table), or not at all.  "
    "[default: rich in a terminal, plain elsewhere]",
)
@click.option("--no-wait", is_flag=True, help="Fail at once where another process works in the store.")
@store_option
@objects_option
@allow_option
@plugin_option
@execution_options
def command(
    target: Path,
    yes: bool,
    kind: str | None,
    no_wait: bool,
    store: Path | None,
    allow_paths: tuple[Path, ...],
    allow_plugins: tuple[str, ...],
    execution: dict[str, object],
) -> int:
    """Run a spec or a saved plan, or go on with what was interrupted.

    Where somebody can answer, the plan is shown and asked about first. Progress is told on stderr; the ranking is
    printed on stdout: of many games, who is first and last. Ctrl-C stops after the current batch, a second one at
    once; what was finished is kept. Where another process applies the same run already, its progress is shown;
    where it applies another one in the same store, this waits.
    """
    from surrogateshap import api
    from surrogateshap.cli.displays import make_display
    from surrogateshap.report import overview, table

    if not yes and sys.stdin.isatty() and sys.stderr.isatty():
        plan = api.plan(target, store=store, allow_paths=allow_paths, allow_plugins=allow_plugins, execution=execution)
        if plan.pending:
            click.echo(api.explain(plan), err=True)
            if not click.confirm("Apply this plan?", err=True):
                click.echo("Nothing was applied.", err=True)
                return 1
    display = make_display(kind or _default_kind())
    try:
        with display, stopping(display.say) as stop:
            results = api.apply(
                target,
                store=store,
                allow_paths=allow_paths,
                allow_plugins=allow_plugins,
                execution=execution,
                emit=display.emit,
                stop=stop,
                wait=not no_wait,
            )
    except (InterruptedRun, KeyboardInterrupt):
        again = command_line("apply", target, store, allow_paths, allow_plugins, execution)
        click.echo(f"Interrupted: what was finished is kept. Go on with: {again}", err=True)
        return InterruptedRun.exit_code
    if display.failure is not None:
        click.echo(f"The progress could not be shown to its end ({type(display.failure).__name__}).", err=True)
    if kind == "json":
        return 0
    if len(results.games) > FULL_TABLES:
        deliver(overview(results))
        click.echo(f"Whole rankings: {command_line('show', target, store, ())}", err=True)
    else:
        deliver(table(results))
    return 0


@contextmanager
def stopping(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second raises KeyboardInterrupt, the third kills.

    Ignored signals stay ignored. Outside the main thread, where no handler can be set, the event is never set.
    """
    stop, over = threading.Event(), threading.Event()

    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            raise KeyboardInterrupt
        stop.set()

    def tell() -> None:
        # From another thread: the handler may have interrupted a write to stderr, and a second signal the handler.
        while not stop.wait(0.1):
            if over.is_set():
                return
        say(STOPPING)

    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    before = {number: signal.signal(number, handle) for number in numbers}
    threading.Thread(target=tell, daemon=True).start()
    try:
        yield stop
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _default_kind() -> str:
    return "rich" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else "plain"
