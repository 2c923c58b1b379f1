"""Options that several commands share, each declared once."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from surrogateshap.text import harmless

OBJECTS = "SURROGATESHAP_OBJECTS"
_KINDS = ("auto", "cpu", "cuda", "mps")

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
    help="Let specs name files in this folder too, not in their own alone; what isn't there is looked for here. May be "
    "repeated.",
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
_devices = click.option(
    "--devices",
    metavar="DEVICES",
    help="What to compute on: auto, cpu, cuda, mps, or names such as cuda:0,cuda:1.  [default: as the spec says]",
)
_workers = click.option(
    "--workers", type=click.IntRange(1, 1024), help="Processes that make images.  [default: as the spec says]"
)
_backend = click.option(
    "--backend", type=click.Choice(["local", "ray", "slurm"]), help="Where they are.  [default: as the spec says]"
)
target_argument = click.argument("target", metavar="SPEC|PLAN|RECORD", type=click.Path(path_type=Path))


def device_options(command: Callable[..., int]) -> Callable[..., int]:
    """Adds `--devices` and `--workers`, given to the command together, as `execution`."""

    @wraps(command)
    def with_execution(*given: Any, devices: str | None, workers: int | None, **named: Any) -> int:
        several = tuple(devices.split(",")) if devices is not None and devices not in _KINDS else devices
        asked = {"devices": several, "workers": workers}
        return command(*given, execution={key: value for key, value in asked.items() if value is not None}, **named)

    return _devices(_workers(with_execution))


def execution_options(command: Callable[..., int]) -> Callable[..., int]:
    """The same, and `--backend`."""

    @wraps(command)
    def with_backend(*given: Any, backend: str | None, execution: dict[str, object], **named: Any) -> int:
        asked = execution if backend is None else {**execution, "backend": backend}
        return command(*given, execution=asked, **named)

    return device_options(_backend(with_backend))


def command_line(
    command: str,
    target: str | Path,
    store: Path | None,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
    execution: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """A command to go on with, ready to be pasted into a shell."""
    words = ["surrogateshap", command, str(target)]
    words += ["--store", str(store)] if store is not None else []
    for key, value in execution.items():
        words += [f"--{key}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
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
