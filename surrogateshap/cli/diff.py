"""`surrogateshap diff`."""

from pathlib import Path

import click

from surrogateshap.cli.options import allow_option, objects_option, plugin_option, store_option


@click.command("diff")
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, with every contributor.")
@click.option(
    "--top",
    metavar="K",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Contributors shown of each game, those that moved first.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 1 where anything differs that matters to results.")
@click.option("--no-plan", is_flag=True, help="Read specs alone, without the inputs that they name.")
@store_option
@objects_option
@allow_option
@plugin_option
def command(
    old: str,
    new: str,
    as_json: bool,
    top: int,
    exit_code: bool,
    no_plan: bool,
    store: Path | None,
    allow_paths: tuple[Path, ...],
    allow_plugins: tuple[str, ...],
) -> int:
    """What changed between two specs, plans, runs or records.

    A and B are specs, saved plans, names of runs, or records (files or folders), of the same kind or not. Order of
    named tables and what a spec leaves to its defaults don't count. Of two runs it tells whose values moved beyond the
    intervals. Nothing is run; records are not verified.
    """
    from surrogateshap import api

    found = api.diff(
        old, new, store=store, plan_specs=not no_plan, allow_paths=allow_paths, allow_plugins=allow_plugins
    )
    if as_json:
        from surrogateshap.report import json_text

        click.echo(json_text(found))
    else:
        from surrogateshap.cli.output import print_lines
        from surrogateshap.report import diff_table

        print_lines(diff_table(found, top=top))
    return 1 if exit_code and found.differs else 0
