"""`surrogateshap verify`."""

from pathlib import Path

import click

from surrogateshap.text import harmless


@click.command("verify")
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def command(record: Path, as_json: bool) -> int:
    """Check a record against the files beside it.

    Exits with 0 where the record holds, with 1 where it does not, and with 7 where it is no record at all.
    """
    from surrogateshap import api
    from surrogateshap.report import json_text

    report = api.verify(record)
    if as_json:
        click.echo(json_text(report))
    else:
        for check in report.checks:
            detail = f": {harmless(check.detail, 1000)}" if check.detail else ""
            click.echo(f"{'ok  ' if check.holds else 'FAIL'} {harmless(check.name)}{detail}")
        click.echo("The record holds." if report.holds else "The record does not hold.")
    return 0 if report.holds else 1
