"""Where a command's data go: stdout, or the file that was named."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from surrogateshap.errors import SurrogateShapError
from surrogateshap.text import harmless

if TYPE_CHECKING:
    from rich.console import Group


def deliver(shown: "str | Group", out: Path | None = None) -> None:
    """Prints a text, or what a report drew, or writes it to `out`. Raises SurrogateShapError where that can't be."""
    if out is None:
        if isinstance(shown, str):
            click.echo(shown, nl=False)
        else:
            print_lines(shown)
        return
    with writing(out), out.open("w", encoding="utf-8", newline="\n") as file:
        if isinstance(shown, str):
            file.write(shown)
        else:
            print_lines(shown, file)


def spare(out: Path | None, *inputs: str | Path) -> None:
    """Raises UsageError where what is to be written would replace one of a command's inputs."""
    for given in inputs:
        with suppress(OSError):  # one of them isn't there
            if out is not None and out.samefile(given):
                raise click.UsageError(f"{harmless(str(out), 1000)} is what is read here; write to another file.")


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Raises SurrogateShapError where `out` can't be written."""
    try:
        yield
    except OSError as error:
        path = harmless(str(out), 1000)
        raise SurrogateShapError(f"{path} can't be written: {error.strerror}", "Choose another path.") from None


def print_lines(shown: "Group", file: IO[str] | None = None) -> None:
    """What a report drew, on stdout, as wide as the terminal, or in a file, 80 columns wide."""
    from rich.console import Console

    Console(file=file, width=None if file is None else 80, markup=False, highlight=False, emoji=False).print(shown)
