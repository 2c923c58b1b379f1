"""`surrogateshap plan`."""

from pathlib import Path

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


@click.command("plan")
@target_argument
@click.option("-o", "--out", metavar="PLAN", type=click.Path(dir_okay=False, path_type=Path), help="Save it for apply.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 where work is pending, with 0 where none is.")
@store_option
@objects_option
@allow_option
@plugin_option
@execution_options
def command(
    target: Path,
    out: Path | None,
    as_json: bool,
    detailed_exitcode: bool,
    store: Path | None,
    allow_paths: tuple[Path, ...],
    allow_plugins: tuple[str, ...],
    execution: dict[str, object],
) -> int:
    """Show what would run, why, and at which cost.

    Nothing is run and nothing is written, but for PLAN.
    """
    from surrogateshap import api

    plan = api.plan(target, store=store, allow_paths=allow_paths, allow_plugins=allow_plugins, execution=execution)
    if as_json:
        from surrogateshap.report import json_text

        click.echo(json_text(plan))
    else:
        click.echo(api.explain(plan).rstrip("\n"))
    if out is not None:
        api.save_plan(plan, out)
        again = command_line("apply", out, store, allow_paths, allow_plugins, execution)
        click.echo(f"Saved. Apply it with: {again}", err=True)
    return 2 if detailed_exitcode and plan.pending else 0
