"""`surrogateshap init`."""

from pathlib import Path

import click

from surrogateshap.cli.options import command_line
from surrogateshap.errors import SurrogateShapError
from surrogateshap.text import harmless


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path), default=Path("surrogateshap.toml"))
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def command(path: Path, force: bool) -> None:
    """Write a commented spec to start from.

    PATH is surrogateshap.toml by default.
    """
    from surrogateshap import api

    shown = harmless(str(path), 1000)
    try:
        with path.open("w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(api.template())
    except FileExistsError:
        raise SurrogateShapError(
            f"{shown} is there already", "Choose another path, or overwrite with --force."
        ) from None
    except OSError as error:
        raise SurrogateShapError(f"{shown} can't be written: {error.strerror}", "Choose another path.") from None
    click.echo(f"Wrote {shown}. Fill it in, then: {command_line('validate', path, None)}", err=True)
