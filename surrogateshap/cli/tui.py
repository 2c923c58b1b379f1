"""`surrogateshap tui`."""

from pathlib import Path

import click

from surrogateshap.cli.options import allow_option, objects_option, plugin_option, store_option


@click.command("tui")
@click.argument("target", metavar="SPEC|RUN")
@store_option
@objects_option
@allow_option
@plugin_option
def command(target: str, store: Path | None, allow_paths: tuple[Path, ...], allow_plugins: tuple[str, ...]) -> None:
    """Watch a plan, a run and its ranking in the terminal.

    Closing it never ends a run that another process works on.
    """
    from surrogateshap_tui.app import run

    run(target, store=store, allow_paths=allow_paths, allow_plugins=allow_plugins)
