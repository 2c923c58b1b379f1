"""What `y` copies: rows as tab-separated text, to the terminal's clipboard or, where that takes none, to a file."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from surrogateshap.errors import RunError
from surrogateshap.events import GameInfo
from surrogateshap.report.data import spreadsheet_cell
from surrogateshap.text import harmless
from surrogateshap_tui.exporting import free_name
from surrogateshap_tui.state import Place

MOST = 74_000
"""Bytes: what terminals take in one OSC 52 sequence, at most, once they are 100,000 of base64."""
_COLUMNS = ("rank", "rank_low", "rank_high", "name", "rows", "value", "low", "high", "share")


def places_tsv(found: Iterable[tuple[GameInfo, Place]]) -> str:
    """A row per contributor and game, with titles; every number with all its digits."""
    rows = (
        [game.grouping, game.utility, game.proxy, *(getattr(place, column) for column in _COLUMNS)]
        for game, place in found
    )
    return tsv(("grouping", "utility", "proxy", *_COLUMNS), rows)


def tsv(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as spreadsheets take them; texts that they would run as formulas get a leading `'`."""
    out = io.StringIO()
    writer = csv.writer(out, dialect="excel-tab", lineterminator="\n")
    writer.writerow(titles)
    for row in rows:
        writer.writerow([spreadsheet_cell(cell) for cell in row])
    return out.getvalue()


def takes_copies(text: str, environment: Mapping[str, str]) -> bool:
    """Whether the terminal may take this; False where it is known not to, or the text is too long for it."""
    deaf = environment.get("TERM_PROGRAM") == "Apple_Terminal" or environment.get("TERM") in ("linux", "dumb")
    return not deaf and len(text.encode()) <= MOST


def write_copy(text: str, folder: Path, name: str) -> Path:
    """The file that was written instead. Raises RunError where it can't be."""
    path = free_name(folder, name, "tsv")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{harmless(str(path))} can't be written: {error.strerror}"
        raise RunError(message, "Start the app in another folder.") from error
    return path
