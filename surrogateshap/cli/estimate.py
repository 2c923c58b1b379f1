"""`surrogateshap estimate`."""

from pathlib import Path
from typing import Any

import click

from surrogateshap.cli.output import deliver, spare

ESTIMATORS = ("surrogate", "exact", "kernel", "permutation", "leave_one_out", "surrogateshap_paper")


@click.command("estimate")
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--empty", metavar="V0", type=float, help="v(∅), the value without any contributor.")
@click.option("--full", metavar="V1", type=float, help="v(N), the value of all contributors together.")
@click.option("--value", metavar="COLUMN", default="value", show_default=True, help="Column with the values.")
@click.option(
    "--rows",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Table with columns `name` and `rows`: training rows of each contributor, which help the surrogate.",
)
@click.option("--estimator", type=click.Choice(ESTIMATORS), default="surrogate", show_default=True)
@click.option("--level", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.9, show_default=True)
@click.option("--interactions", is_flag=True, help="Pairwise Shapley interactions too.")
@click.option("--payout", metavar="AMOUNT", type=float, help="Share this amount out, in proportion to the values.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--top", metavar="K", type=click.IntRange(min=1), help="Only the K highest contributors.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def command(table: Path, rows: Path | None, top: int | None, as_json: bool, out: Path | None, **options: Any) -> None:
    """Shapley values from any table of coalitions and values.

    TABLE is Parquet, CSV or JSON Lines with one row per coalition: a column of 0 and 1 for each contributor, and a
    column of values. V0 and V1 may be left out where rows of the table hold ∅ and N.
    """
    from surrogateshap import api
    from surrogateshap.report import first_ranks, game_table, json_text

    spare(out, table, *([rows] if rows is not None else []))
    game = api.estimate_shapley(table, rows=rows, **options)
    deliver(json_text(first_ranks(game, top)) + "\n" if as_json else game_table(game, top=top), out)
