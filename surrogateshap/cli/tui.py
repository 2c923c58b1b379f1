"""`surrogateshap tui`."""

from pathlib import Path

import click

from surrogateshap.cli.options import allow_option, objects_option, plugin_option, store_option


@click.command("tui")
@click.argument("target", metavar="[SPEC|RUN|FOLDER]", required=False)
@store_option
@objects_option
@allow_option
@plugin_option
def command(
    target: str | None, store: Path | None, allow_paths: tuple[Path, ...], allow_plugins: tuple[str, ...]
) -> None:
    """Plan, run, watch and compare in the terminal.

    Without a spec or a run it begins with what the folder has of both. Closing it never ends a run that was started
    elsewhere; one that was started in it goes on in the background if you say so.
    """
    from surrogateshap_tui.app import run

    run(target, store=store, allow_paths=allow_paths, allow_plugins=allow_plugins)
