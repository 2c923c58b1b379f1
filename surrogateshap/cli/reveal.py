"""`surrogateshap reveal`."""

from pathlib import Path

import click

from surrogateshap.cli.output import deliver, spare


@click.command("reveal")
@click.argument("record", type=click.Path(path_type=Path))
@click.argument("name")
@click.option(
    "--secret",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The secret of the export.  [default: RECORD.secret.json]",
)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def command(record: Path, name: str, secret: Path | None, out: Path | None) -> None:
    """Prove which name is behind a pseudonym of a record.

    What is written reveals NAME and nothing of any other; `verify RECORD --opening FILE` checks it.
    """
    from surrogateshap import api

    secret = secret or api.secret_beside(record)
    spare(out, record, secret)
    deliver(api.reveal(record, name, secret), out)
