"""Shapley values from a table of coalitions and their values, whoever measured them: no spec, no model, no store."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from polars import DataFrame

    from surrogateshap.record.results import EstimatorName, GameResult
    from surrogateshap.spec.model import PayoutSection
    from surrogateshap.tables import CoalitionTable


def estimate_shapley(
    table: "Path | str | DataFrame | ArrayLike",
    values: "ArrayLike | None" = None,
    *,
    names: Sequence[str] | None = None,
    empty: float | None,
    full: float | None,
    rows: "Mapping[str, int] | Sequence[int] | Path | None" = None,
    value: str = "value",
    estimator: "EstimatorName" = "surrogate",
    level: float = 0.9,
    interactions: bool = False,
    payout: "PayoutSection | float | None" = None,
    seed: int = 0,
) -> "GameResult":
    """Contributors' values from coalitions and their values, whoever measured them.

    `table` is a file (Parquet, CSV, JSON Lines) or a polars frame with one 0/1 column per contributor and a column
    `value`; or coalitions (M, n) as an array, with `values` (M,) and perhaps `names`. `empty` and `full` are v(∅) and
    v(N), None where rows of the table hold them. `rows` are the contributors' training rows (by name, in order, or the
    path of a table with columns `name` and `rows`): surrogates of mixture games are better with them. Intervals of
    coverage `level` cover the choice of coalitions and noise in their values. `payout`, an amount or a section as in
    specs, adds shares for payment. Raises SpecError with what is wrong.
    """
    from surrogateshap.tables import estimate_table, from_arrays, from_frame, read_frame, read_rows
    from surrogateshap.tables.read import wrong

    file = str(table) if isinstance(table, Path | str) else "table"
    if not 0 < level < 1:
        raise wrong(file, f"level {level} does not lie between 0 and 1")
    held = read_rows(rows) if isinstance(rows, Path) else rows
    made: CoalitionTable
    if values is not None:
        made = from_arrays(table, values, names, empty, full, held)
    else:
        frame = read_frame(Path(table)) if isinstance(table, Path | str) else cast("DataFrame", table)
        made = from_frame(frame, value, empty, full, held, file)
    return estimate_table(made, estimator, level, interactions, seed, _payout(payout, file))


def _payout(asked: "PayoutSection | float | None", file: str) -> "PayoutSection | None":
    """Raises SpecError for an amount that can't be shared out."""
    from surrogateshap.spec.model import PayoutSection
    from surrogateshap.tables.read import wrong

    if asked is None or isinstance(asked, PayoutSection):
        return asked
    if not 0.01 <= asked <= 1e12 or round(asked, 2) != asked:
        raise wrong(file, f"{asked} can't be shared out: from 0.01 to 1e12, with two decimals at most", key="payout")
    return PayoutSection(amount=float(asked))
