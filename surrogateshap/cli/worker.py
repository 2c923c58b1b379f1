"""`surrogateshap worker`."""

import re
from pathlib import Path

import click

from surrogateshap.cli.apply import stopping
from surrogateshap.cli.options import (
    allow_option,
    device_options,
    objects_option,
    plugin_option,
    store_option,
    target_argument,
)
from surrogateshap.errors import InterruptedRun
from surrogateshap.text import harmless


def _shard(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,7})/([0-9]{1,7})", value)
    if found is None:
        raise click.BadParameter(f"{harmless(value)!r} is not like 0/8.")
    number, of = int(found[1]), int(found[2])
    if number >= of:
        raise click.BadParameter(f"{value!r}: of N parts the first is 0/N, the last (N-1)/N.")
    return number, of


@click.command("worker")
@target_argument
@click.option("--shard", metavar="i/N", callback=_shard, required=True, help="Which of N parts, counted from 0.")
@click.option(
    "--only",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with ids of shards, one a line: these alone are counted. `apply` writes it for Slurm.",
)
@store_option
@objects_option
@allow_option
@plugin_option
@device_options
def command(
    target: Path,
    shard: tuple[int, int],
    only: Path | None,
    store: Path | None,
    allow_paths: tuple[Path, ...],
    allow_plugins: tuple[str, ...],
    execution: dict[str, object],
) -> int:
    """Make a part of a run's images on another machine, for apply to merge.

    For batch systems, with the number that they give each task: --shard "$SLURM_ARRAY_TASK_ID/8",
    "$JOB_COMPLETION_INDEX/8" or "$SKYPILOT_NODE_RANK/8". Workers and `apply` share the store's folder or, with
    --objects, an URL. Each finished batch is kept: the same command goes on where one was stopped, and does no harm
    where it is run twice. SIGTERM and Ctrl-C stop after the current batch, a second one at once. Exits with 0 once
    all of the part is there.
    """
    from surrogateshap import api

    try:
        with stopping(_say) as stop:
            api.work(
                target,
                shard,
                store=store,
                allow_paths=allow_paths,
                allow_plugins=allow_plugins,
                execution=execution,
                only=only,
                say=_say,
                stop=stop,
            )
    except (InterruptedRun, KeyboardInterrupt):
        _say("Interrupted: what was finished is kept. Go on with the same command.")
        return InterruptedRun.exit_code
    return 0


def _say(line: str) -> None:
    click.echo(harmless(line, 1000), err=True)
