"""`surrogateshap verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from surrogateshap.cli.options import allow_option, execution_options, plugin_option
from surrogateshap.text import harmless

if TYPE_CHECKING:
    from surrogateshap.record.checks import Check, VerifyReport

_SHOWN = 12
"""Checks of a step that hold and are printed one by one."""


@click.command("verify")
@click.argument("record", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "keys",
    metavar="PUB",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Public key (PEM or a line of OpenSSH): it must have signed, and every statement be signed by such a key. "
    "May be repeated.",
)
@click.option(
    "--opening",
    "openings",
    metavar="FILE",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="What `reveal` wrote: whose pseudonym it is. May be repeated.",
)
@click.option("--refit", is_flag=True, help="Compute the Shapley values again from the record's coalition values.")
@click.option(
    "--replay",
    metavar="K",
    type=click.IntRange(min=0),
    default=0,
    help="Make K of the pool's images again, drawn at random, and compare them.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Which images --replay draws.  [default: another each time]")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@allow_option
@plugin_option
@execution_options
def command(record: Path, as_json: bool, **options: Any) -> int:
    """Check a record step by step, and say what each step proves.

    RECORD is what `export` wrote, the folder that it was unpacked to, or the record.json of a run. Exits with 0 where
    the record holds, with 1 where it does not, and with 7 where it is no record at all.
    """
    from surrogateshap import api
    from surrogateshap.report import json_text

    def say(line: str) -> None:
        click.echo(harmless(line, 1000), err=True)

    found = api.verify(record, say=say, **options)
    if as_json:
        click.echo(json_text(found))
    else:
        _print(found)
    return 0 if found.holds else 1


def _print(found: "VerifyReport") -> None:
    for step in found.steps:
        checks = [check for check in found.checks if check.step == step.name]
        proved = f"proved: {step.proves}" if step.holds else "does not hold"
        click.echo(f"{step.name.capitalize()}: {proved}")
        held = [check for check in checks if check.holds]
        for check in [*(check for check in checks if not check.holds), *held[:_SHOWN]]:
            click.echo(_line(check))
        if len(held) > _SHOWN:
            click.echo(f"  ok   … and {len(held) - _SHOWN} more")
    for note in found.notes:
        click.echo(harmless(note, 1000))
    click.echo("The record holds." if found.holds else "The record does not hold.")


def _line(check: "Check") -> str:
    detail = f": {harmless(check.detail, 1000)}" if check.detail else ""
    return f"  {'ok  ' if check.holds else 'FAIL'} {harmless(check.name)}{detail}"
