"""`surrogateshap show`."""

from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from surrogateshap.cli.options import store_option
from surrogateshap.errors import SurrogateShapError
from surrogateshap.text import harmless

if TYPE_CHECKING:
    from rich.console import Group

    from surrogateshap.record.results import Results


@click.command("show")
@click.argument("target", metavar="RUN|SPEC")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["table", "json", "csv", "parquet", "md"]),
    default="table",
    show_default=True,
    help="What to print; parquet needs -o.",
)
@click.option("--top", metavar="K", type=click.IntRange(min=1), help="Only the K highest contributors of each game.")
@click.option("--game", metavar="TEXT", help="Only games with TEXT in `grouping / utility / proxy`.")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@store_option
def command(target: str, kind: str, top: int | None, game: str | None, out: Path | None, store: Path | None) -> None:
    """Print the ranking of contributors.

    RUN is a run's name. Results of a finished run are read; nothing is computed.
    """
    from surrogateshap import api
    from surrogateshap.report import select, to_parquet

    if kind == "parquet" and out is None:
        raise click.UsageError("--format parquet is binary and needs -o OUT.")
    results = select(api.show(target, store=store), game=game)
    chosen = select(results, top=top)
    if out is None:
        if kind == "table":
            print_table(results, top)
        else:
            click.echo(_text(kind, chosen), nl=False)
        return
    try:
        if kind == "table":
            with out.open("w", encoding="utf-8", newline="\n") as file:
                print_table(results, top, file)
        elif kind == "parquet":
            to_parquet(chosen, out)
        else:
            out.write_bytes(_text(kind, chosen).encode())
    except OSError as error:
        shown = harmless(str(out), 1000)
        raise SurrogateShapError(f"{shown} can't be written: {error.strerror}", "Choose another path.") from None


def _text(kind: str, results: "Results") -> str:
    from surrogateshap.report import to_csv, to_json, to_markdown

    return {"json": to_json, "csv": to_csv, "md": to_markdown}[kind](results)


def print_table(results: "Results", top: int | None = None, file: IO[str] | None = None) -> None:
    """The rankings on stdout, as wide as the terminal, or in a file, 80 columns wide."""
    from surrogateshap.report import table

    print_lines(table(results, top=top), file)


def print_overview(results: "Results") -> None:
    """Who is first and last in each game, on stdout."""
    from surrogateshap.report import overview

    print_lines(overview(results))


def print_lines(shown: "Group", file: IO[str] | None = None) -> None:
    """What a report drew, on stdout, as wide as the terminal, or in a file, 80 columns wide."""
    from rich.console import Console

    Console(file=file, width=None if file is None else 80, markup=False, highlight=False, emoji=False).print(shown)
