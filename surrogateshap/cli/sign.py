"""`surrogateshap sign`."""

import os
from pathlib import Path

import click

from surrogateshap.cli.export import PASSPHRASE
from surrogateshap.text import harmless


@click.command("sign")
@click.argument("record", type=click.Path(path_type=Path))
@click.option(
    "--key",
    metavar="KEY",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Ed25519 private key, as `openssl genpkey -algorithm ed25519` (PEM) or `ssh-keygen -t ed25519` makes it.",
)
def command(record: Path, key: Path) -> None:
    """Sign every statement of a record, beside whoever signed it before.

    The record must hold. A key's passphrase is read from SURROGATESHAP_PASSPHRASE.
    """
    from surrogateshap import api

    signer = api.sign(record, key, passphrase=os.environ.get(PASSPHRASE))
    click.echo(f"{harmless(str(record), 1000)} is signed by {signer}", err=True)
