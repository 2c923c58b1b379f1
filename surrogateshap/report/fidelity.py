"""Games beside retrained coalitions, as a table for terminals."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from surrogateshap.record.fidelity import closed_game, closed_title, measured
from surrogateshap.record.results import GameResult, Results
from surrogateshap.report.select import label
from surrogateshap.report.table import game_table
from surrogateshap.report.words import fidelity_lines, notes
from surrogateshap.text import harmless
from surrogateshap.units import significant

_DASH = "–"


def fidelity_table(results: Results, *, top: int | None = None) -> Group:
    """A line per game, then each game's calibration and its estimated retraining game, for 80 columns and more."""
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column(Text("Utility / proxy"), min_width=12)  # the only one that may shrink; all are of one grouping
    for title in ("Spearman of v", "LDS"):
        grid.add_column(Text(title), no_wrap=True)
    for title in ("Slope", "Closed R²"):
        grid.add_column(Text(title), no_wrap=True, justify="right")
    for game in results.games:
        name = harmless(f"{game.utility} / {game.proxy}")
        grid.add_row(Text(name, no_wrap=True, overflow="ellipsis"), *map(Text, _cells(game)))
    parts: list[RenderableType] = [
        Text(harmless(f"{results.name}, run {results.run}"), style="bold", no_wrap=True, overflow="ellipsis"),
        Text(f"Fidelity (agreement with retrained models): {results.fidelity}."),
        Text(""),
        grid,
    ]
    for game in results.games:
        lines = (*fidelity_lines(game), *notes(game))
        if lines:
            parts += [Text(""), Text(label(game), style="bold", no_wrap=True, overflow="ellipsis")]
        parts += [Text(line) for line in lines]
        closed = closed_game(game)
        if closed is not None:
            parts.append(game_table(closed, top=top, heading=[Text(closed_title(game))]))
    return Group(*parts)


def _cells(game: GameResult) -> tuple[str, ...]:
    found = game.fidelity
    if found is None:
        return (_DASH,) * 4
    closed = _DASH if found.closed is None else f"{found.closed.r2.value:.2f}"
    return measured(found.spearman), measured(found.lds), significant(found.slope), closed
