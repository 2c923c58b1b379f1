"""`surrogateshap show`."""

from pathlib import Path

import click

from surrogateshap.cli.options import allow_option, objects_option, plugin_option, store_option
from surrogateshap.cli.output import deliver, spare, writing


@click.command("show")
@click.argument("target", metavar="RUN|SPEC")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["table", "json", "csv", "parquet", "md", "html"]),
    default="table",
    show_default=True,
    help="What to print; parquet needs -o.",
)
@click.option(
    "--top",
    metavar="K",
    type=click.IntRange(min=1),
    help="Only the K highest contributors of each game; in html the K lowest too.",
)
@click.option("--game", metavar="TEXT", help="Only games with TEXT in `grouping / utility / proxy`.")
@click.option(
    "--images",
    metavar="M",
    type=click.IntRange(1, 24),
    help="html: M of the images that each contributor's values rest on. They are left out unless asked for.",
)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@store_option
@objects_option
@allow_option
@plugin_option
def command(
    target: str,
    kind: str,
    top: int | None,
    game: str | None,
    images: int | None,
    out: Path | None,
    store: Path | None,
    allow_paths: tuple[Path, ...],
    allow_plugins: tuple[str, ...],
) -> None:
    """Print the ranking of contributors.

    RUN is a run's name. Results of a finished run are read; nothing is computed. `html` is a page for browsers and
    printers that needs nothing beside it: the question, rankings, fidelity, limits and digests.
    """
    from surrogateshap import api
    from surrogateshap.report import select, table, to_csv, to_html, to_json, to_markdown, to_parquet

    spare(out, target)
    if images is not None and kind != "html":
        raise click.UsageError("--images needs --format html.")
    if kind == "html":
        data = api.report_data(
            target,
            store=store,
            images=images or 0,
            game=game,
            top=top,
            allow_paths=allow_paths,
            allow_plugins=allow_plugins,
        )
        deliver(to_html(data, top=top), out)
        return
    results = select(api.show(target, store=store), game=game)
    if kind == "table":
        deliver(table(results, top=top), out)
        return
    chosen = select(results, top=top)
    if kind != "parquet":
        deliver({"json": to_json, "csv": to_csv, "md": to_markdown}[kind](chosen), out)
    elif out is None:
        raise click.UsageError("--format parquet is binary and needs -o OUT.")
    else:
        with writing(out):
            to_parquet(chosen, out)
