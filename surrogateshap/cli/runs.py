"""`surrogateshap runs`, `runs show` and `runs forget`."""

from pathlib import Path

import click

from surrogateshap.cli.options import objects_option, store_option
from surrogateshap.cli.output import deliver
from surrogateshap.text import harmless
from surrogateshap.units import plural


@click.group("runs", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@store_option
@objects_option
@click.pass_context
def command(context: click.Context, as_json: bool, store: Path | None) -> None:
    """List the runs in a store, show one, or forget some.

    Alone it lists them, the one that last began or ended first. A run whose process is gone counts as interrupted.
    """
    if context.invoked_subcommand is not None:
        context.obj = store
        return
    from surrogateshap import api
    from surrogateshap.report import json_texts, runs_table

    found = api.runs(store)
    deliver(json_texts(found) + "\n" if as_json else runs_table(found))


@command.command("show")
@click.argument("target", metavar="RUN|SPEC")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--events", metavar="N", type=click.IntRange(min=0), default=0, help="The last N events, too.")
@store_option
@objects_option
@click.pass_obj
def show(given: Path | None, target: str, as_json: bool, events: int, store: Path | None) -> None:
    """Show how far a run is, what it took, what it uses, and what went wrong."""
    from surrogateshap import api
    from surrogateshap.report import json_text, run_page

    run = api.run_details(target, store=store or given, events=events)
    deliver(json_text(run) + "\n" if as_json else run_page(run))


@command.command("forget")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Don't ask.")
@store_option
@objects_option
@click.pass_obj
def forget(given: Path | None, runs: tuple[str, ...], yes: bool, store: Path | None) -> int:
    """Take runs out of the list, and delete their folders with results and records.

    Their images and whatever else they alone need go with the next `surrogateshap gc`.
    """
    from surrogateshap import api

    place = store or given
    if not yes:
        for name in runs:
            run = api.run_details(name, store=place)
            click.echo(f"{harmless(run.run)}, {run.status}, of {harmless(run.spec_file, 1000)}", err=True)
        if not click.confirm(f"Forget {plural(len(runs), 'run')}, with results and records?", err=True):
            click.echo("Nothing was forgotten.", err=True)
            return 1
    for name in api.forget(runs, store=place):
        click.echo(f"{harmless(name)}: forgotten")
    return 0
