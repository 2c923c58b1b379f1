"""`surrogateshap validate`."""

from pathlib import Path

import click

from surrogateshap.cli.failures import tell_problems
from surrogateshap.cli.options import allow_option, plugin_option
from surrogateshap.errors import SpecError
from surrogateshap.text import harmless


@click.command("validate")
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True, type=click.Path(path_type=Path))
@allow_option
@plugin_option
def command(specs: tuple[Path, ...], allow_paths: tuple[Path, ...], allow_plugins: tuple[str, ...]) -> int:
    """Check specs and every input that they name.

    Every problem of every SPEC is told, with its line, its key and its remedy. Exits with 0 where all hold, with 2
    otherwise.
    """
    from surrogateshap import api

    code = 0
    for spec in specs:
        try:
            api.validate(spec, allow_paths=allow_paths, allow_plugins=allow_plugins)
        except SpecError as error:
            tell_problems(error)
            code = error.exit_code
        else:
            click.echo(f"{harmless(str(spec), 1000)}: OK")
    return code
