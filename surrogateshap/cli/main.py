"""The `surrogateshap` command: its sub-commands, loaded when they are used, and its exit codes."""

import difflib
import io
import os
import sys
import threading
from collections.abc import Sequence
from importlib import import_module

import click

from surrogateshap import __version__
from surrogateshap.errors import WORKER, InterruptedRun, SurrogateShapError

COMMANDS = {
    "init": "Write a commented spec to start from.",
    "validate": "Check specs and every input that they name.",
    "plan": "Show what would run, why, and at which cost.",
    "apply": "Run a spec or a saved plan, or go on with what was interrupted.",
    "worker": "Make a part of a run's images on another machine, for apply to merge.",
    "show": "Print the ranking of contributors.",
    "estimate": "Shapley values from any table of coalitions and values.",
    "evaluate": "How far a finished run agrees with retrained coalitions.",
    "compare": "Other methods on a finished run: how far they agree, and what they cost.",
    "anchors": "Choose, train and evaluate coalitions that tell how far values can be believed.",
    "runs": "List the runs in a store, show one, or forget some.",
    "gc": "Delete what no run in a store needs.",
    "tui": "Plan, run, watch and compare in the terminal.",
    "diff": "What changed between two specs, plans, runs or records.",
    "export": "Write the record of a finished run to one file that can be shared.",
    "verify": "Check a record step by step, and say what each step proves.",
    "sign": "Sign every statement of a record, beside whoever signed it before.",
    "reveal": "Prove which name is behind a pseudonym of a record.",
    "doctor": "Look at the environment: versions, devices, disk, the hub's cache and missing extras.",
    "schema": "Print the JSON Schema of specs, for editors.",
}
"""Each command's first line of help, so that `--help` imports none of them; its module bears its name."""

BUG = 70
"""Exit code of an error that is nobody's but the program's (EX_SOFTWARE)."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"surrogateshap.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 a record that doesn't hold or any other error, 2 spec or usage, 3 plan, 4 missing "
    "package, 5 device, 6 run, 7 verification, 130 interrupted.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """What each data contributor is worth to a diffusion model, without retraining it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line, `sys.argv` by default, and returns its exit code; errors are told on stderr."""
    _make_streams_safe()
    code = _run(arguments)
    if code == InterruptedRun.exit_code and any(thread.name.startswith(WORKER) for thread in threading.enumerate()):
        # A thread in the middle of a batch can't be ended, and Python would wait for it: stopped at once means now.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = cli.main(arguments, prog_name="surrogateshap", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as error:
        interrupted = isinstance(error.__cause__, KeyboardInterrupt)
        click.echo("Interrupted." if interrupted else "Aborted.", err=True)
        return InterruptedRun.exit_code if interrupted else 1
    except SurrogateShapError as error:
        from surrogateshap.cli.failures import tell

        return tell(error)
    except BrokenPipeError:
        # Whoever read stdout has left; Python would fail once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        from surrogateshap.cli.failures import tell_bug

        tell_bug(error)
        return BUG


def _make_streams_safe() -> None:
    """Data that goes to a file or a pipe is UTF-8; a terminal that can't show a character shows `?`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8", errors="replace")
