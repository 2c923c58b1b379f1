"""Options that several commands share, each declared once."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from surrogateshap.text import harmless

OBJECTS = "SURROGATESHAP_OBJECTS"
store_option = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="SURROGATESHAP_STORE",
    show_envvar=True,
    help="Folder that keeps results.  [default: .surrogateshap beside the spec]",
)
allow_option = click.option(
    "--allow-path",
    "allow_paths",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Let specs name files in this folder too, not in their own alone. May be repeated.",
)
plugin_option = click.option(
    "--allow-plugin",
    "allow_plugins",
    metavar="NAME",
    multiple=True,
    help="Let specs run this plugin: code of an installed package. May be repeated.",
)


def _set_objects(context: click.Context, parameter: click.Parameter, url: str | None) -> None:
    """The URL is for the command and the processes that it starts, not for what stores and specs name."""
    if url is None:
        return
    before = os.environ.get(OBJECTS)
    os.environ[OBJECTS] = url
    context.call_on_close(lambda: os.environ.pop(OBJECTS) if before is None else os.environ.update({OBJECTS: before}))


objects_option = click.option(
    "--objects",
    metavar="URL",
    envvar=OBJECTS,
    show_envvar=True,
    expose_value=False,
    callback=_set_objects,
    help="Where objects and workers' results are, such as s3://bucket/folder.  [default: in the store]",
)
target_argument = click.argument("target", metavar="SPEC|PLAN", type=click.Path(path_type=Path))


def command_line(
    command: str,
    target: str | Path,
    store: Path | None,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
) -> str:
    """A command to go on with, ready to be pasted into a shell."""
    words = ["surrogateshap", command, str(target)]
    words += ["--store", str(store)] if store is not None else []
    words += allowing(allow_paths, allow_plugins)
    return shlex.join(harmless(word, 4096) for word in words)


def allowing(allow_paths: Sequence[Path], allow_plugins: Sequence[str]) -> list[str]:
    """Words of a command that allow the same again."""
    words = []
    for folder in allow_paths:
        words += ["--allow-path", str(folder)]
    for name in allow_plugins:
        words += ["--allow-plugin", name]
    return words
