"""Results for other programs: JSON, CSV and Parquet."""

import csv
import io
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from surrogateshap.record.fidelity import agreement
from surrogateshap.record.results import GameResult, Results

COLUMNS = (
    "grouping",
    "utility",
    "proxy",
    "rank",
    "rank_low",
    "rank_high",
    "name",
    "rows",
    "value",
    "low",
    "high",
    "sd_images",
    "sd_coalitions",
    "top",
    "in_top",
    "share",
    "fidelity",
)
"""Columns of the CSV; the Parquet file adds `v_empty` and `v_full`."""
PAYOUT_COLUMNS = ("payout_share", "payout_low", "payout_high", "payout_amount")
"""More of them, at the end, where some game shares out a payment."""
_FORMULA_STARTS = frozenset("=+-@\t\r\n＝＋－＠")


def json_text(model: BaseModel, *, indent: int | None = 2) -> str:
    """JSON of a model with its keys in the model's order, and no unprintable character in it.

    What is unprintable can only stand inside a JSON string. Its escape reads back the same and does nothing to a
    terminal.
    """
    text = model.model_dump_json(indent=indent)
    return "".join(c if c == "\n" or c.isprintable() else _escaped(c) for c in text)


def json_texts(models: Iterable[BaseModel]) -> str:
    """The same of several, as one array."""
    return "[" + ",\n".join(json_text(model) for model in models) + "]"


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def to_json(results: Results) -> str:
    """The results in the shape of `record/results.py`, indented by two, ending in a line break."""
    return json_text(results) + "\n"


def to_csv(results: Results) -> str:
    """One row per game and contributor, with a header; every number with all its digits, no share as an empty cell.

    Text that a spreadsheet would take for a formula gets a leading `'`, and control characters other than tab and line
    break become U+FFFD; JSON and Parquet keep names exactly.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = (*COLUMNS, *_payout_columns(results))
    writer.writerow(columns)
    for row in _rows(results):
        writer.writerow([spreadsheet_cell(row[column]) for column in columns])
    return out.getvalue()


def to_parquet(results: Results, path: Path) -> None:
    """What `parquet_bytes` gives, to `path`. Raises OSError where that can't be written."""
    with path.open("wb") as file:
        file.write(parquet_bytes(results))


def parquet_bytes(results: Results) -> bytes:
    """The CSV's columns and `v_empty` and `v_full`, typed."""
    import polars

    kinds: dict[str, Any] = dict.fromkeys(("grouping", "utility", "proxy", "name", "fidelity"), polars.String)
    kinds |= dict.fromkeys(("rank", "rank_low", "rank_high", "rows", "top"), polars.Int64)
    columns = (*COLUMNS, "v_empty", "v_full", *_payout_columns(results))
    schema = {column: kinds.get(column, polars.Float64) for column in columns}
    buffer = io.BytesIO()
    polars.DataFrame(_rows(results), schema=schema, orient="row").write_parquet(buffer)
    return buffer.getvalue()


def _payout_columns(results: Results) -> tuple[str, ...]:
    return PAYOUT_COLUMNS if any(game.payout for game in results.games) else ()


def _payouts(game: GameResult) -> dict[str, dict[str, float | None]]:
    """By contributor, the cells of `PAYOUT_COLUMNS`."""
    shares = game.payout.shares if game.payout else ()
    return {
        one.name: dict(zip(PAYOUT_COLUMNS, (one.share, one.low, one.high, one.amount), strict=True)) for one in shares
    }


def _rows(results: Results) -> list[dict[str, Any]]:
    nothing = dict.fromkeys(PAYOUT_COLUMNS)
    payouts = [_payouts(game) for game in results.games]
    return [
        {
            "grouping": game.grouping,
            "utility": game.utility,
            "proxy": game.proxy,
            **contributor.model_dump(),
            "top": game.top,
            "fidelity": agreement(game.fidelity),
            "v_empty": game.v_empty,
            "v_full": game.v_full,
            **payout.get(contributor.name, nothing),
        }
        for game, payout in zip(results.games, payouts, strict=True)
        for contributor in game.contributors
    ]


def spreadsheet_cell(value: Any) -> Any:
    """A cell as `to_csv` writes it: text that a spreadsheet would take for a formula is made none."""
    if not isinstance(value, str):
        return value
    shown = "".join(c if c in "\t\n" or not unicodedata.category(c).startswith("C") else "\ufffd" for c in value)
    # Spreadsheets trim cells before they look for a formula.
    dangerous = value[:1] in _FORMULA_STARTS or value.strip()[:1] in _FORMULA_STARTS
    return f"'{shown}" if dangerous else shown
