"""`surrogateshap tui`."""

from pathlib import Path

import click

from surrogateshap.cli.options import allow_option, objects_option, plugin_option, store_option
from surrogateshap.errors import MissingExtraError


@click.command("tui")
@click.argument("target", metavar="[SPEC|RUN|FOLDER]", required=False)
@store_option
@objects_option
@allow_option
@plugin_option
@click.option("--serve", is_flag=True, help="Open it in a browser of this machine instead: tells the address.")
@click.option("--host", default="127.0.0.1", show_default=True, help="With --serve: a loopback address.")
@click.option("--port", type=int, default=8000, show_default=True, help="With --serve: a port; 0 takes a free one.")
def command(
    target: str | None,
    store: Path | None,
    allow_paths: tuple[Path, ...],
    allow_plugins: tuple[str, ...],
    serve: bool,
    host: str,
    port: int,
) -> None:
    """Plan, run, watch and compare in the terminal.

    Without a spec or a run it begins with what the folder has of both. Closing it never ends a run that was started
    elsewhere; one that was started in it goes on in the background if you say so.
    """
    if serve:
        _serve(target, store, allow_paths, allow_plugins, host, port)
        return
    from surrogateshap_tui.app import run

    run(target, store=store, allow_paths=allow_paths, allow_plugins=allow_plugins)


def _serve(
    target: str | None,
    store: Path | None,
    allow_paths: tuple[Path, ...],
    allow_plugins: tuple[str, ...],
    host: str,
    port: int,
) -> None:
    try:
        from surrogateshap_tui.serving import serve
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"--serve needs {error.name}, which is not installed", 'pip install "surrogateshap[serve]"'
        ) from error
    arguments = ["tui"]
    arguments += [f"--store={store}"] if store is not None else []
    arguments += [f"--allow-path={path}" for path in allow_paths]
    arguments += [f"--allow-plugin={name}" for name in allow_plugins]
    arguments += ["--", target] if target is not None else []
    serve(arguments, host, port, lambda line: click.echo(line, err=True))
