"""`surrogateshap evaluate`."""

import os
from pathlib import Path
from typing import Any

import click

from surrogateshap.cli.export import PASSPHRASE
from surrogateshap.cli.options import allow_option, objects_option, plugin_option, store_option
from surrogateshap.cli.output import deliver, spare
from surrogateshap.text import harmless


@click.command("evaluate")
@click.argument("target", metavar="RUN|SPEC")
@click.option(
    "--against",
    metavar="TABLE",
    type=click.Path(path_type=Path),
    required=True,
    help="Retrained coalitions: Parquet, CSV or JSON Lines.",
)
@click.option("--grouping", metavar="NAME", help="Grouping whose contributors TABLE names.  [default: the spec's]")
@click.option("--utility", metavar="NAME", help="The only utility to look at; that of a column `value`.")
@click.option(
    "--kind",
    type=click.Choice(["retrained", "fine_tuned"]),
    default="retrained",
    show_default=True,
    help="How the coalitions' models were made; fine-tuned ones are biased in level.",
)
@click.option("--top", metavar="K", type=click.IntRange(min=1), help="Only the K highest contributors of each game.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, in the shape of `show --format json`.")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@click.option(
    "--record",
    metavar="RECORD",
    type=click.Path(path_type=Path),
    help="Append the outcome to this record of the run, as a further statement.",
)
@click.option("--key", type=click.Path(path_type=Path), help="Sign that statement with this private key.")
@store_option
@objects_option
@allow_option
@plugin_option
def command(
    target: str, top: int | None, as_json: bool, out: Path | None, record: Path | None, key: Path | None, **options: Any
) -> None:
    """How far a finished run agrees with retrained coalitions.

    TABLE has a column of 0 and 1 for each contributor, and `value.UTILITY` columns, or `value` where there is one
    utility. Rank agreement of v, the linear datamodeling score (LDS), calibration, and what the retraining game looks
    like once the gap is closed with these anchors. The run stays as it is: name the table under [fidelity]
    in the spec to have it in the run's record, or append the outcome to an exported one with --record. A key's
    passphrase is read from SURROGATESHAP_PASSPHRASE.
    """
    from surrogateshap import api
    from surrogateshap.report import fidelity_table, select, to_json

    if key is not None and record is None:
        raise click.UsageError("--key needs --record.")
    spare(out, target, options["against"])
    results = api.evaluate(target, **options)
    if record is not None:
        passphrase = os.environ.get(PASSPHRASE)
        name = api.append_fidelity(record, results, options["against"], options["kind"], key=key, passphrase=passphrase)
        click.echo(f"Appended {name} to {harmless(str(record))}.", err=True)
    deliver(to_json(select(results, top=top)) if as_json else fidelity_table(results, top=top), out)
