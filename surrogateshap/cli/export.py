"""`surrogateshap export`."""

import os
from pathlib import Path
from typing import Any

import click

from surrogateshap.cli.options import allow_option, store_option
from surrogateshap.text import harmless

PASSPHRASE = "SURROGATESHAP_PASSPHRASE"
_IMAGES = 100


@click.command("export")
@click.argument("target", metavar="RUN|SPEC")
@click.argument("out", metavar="OUT.zip", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--pseudonyms", is_flag=True, help="Put salted hashes in the place of contributors' names.")
@click.option(
    "--secret",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The secret behind pseudonyms; made where there is none. Keep it to yourself.  [default: OUT.zip.secret.json]",
)
@click.option(
    "--images",
    metavar="[K]",
    type=click.IntRange(0, 10_000),
    is_flag=False,
    flag_value=_IMAGES,
    default=0,
    help=f"Put in K images of each pool, {_IMAGES} unless K is given. Without it there are none.",
)
@click.option(
    "--sign",
    metavar="KEY",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Sign it with this Ed25519 private key (PEM or OpenSSH).",
)
@click.option("--force", is_flag=True, help="Replace OUT.zip where it is there.")
@store_option
@allow_option
def command(target: str, out: Path, **options: Any) -> None:
    """Write the record of a finished run to one file that can be shared.

    It holds the spec, the plan, coalition values, results, reports, what each image of the pool looks like, and a
    statement that binds them, with what they were computed from and what they can't tell. The same run gives the same
    bytes. A key's passphrase is read from SURROGATESHAP_PASSPHRASE.
    """
    from surrogateshap import api

    api.export(target, out, passphrase=os.environ.get(PASSPHRASE), **options)
    shown = harmless(str(out), 1000)
    click.echo(f"Written: {shown}. Check it with: surrogateshap verify {shown}", err=True)
    if options["pseudonyms"]:
        secret = options["secret"] or api.secret_beside(out)
        click.echo(f"Keep {harmless(str(secret), 1000)} to yourself: it reveals every name.", err=True)
