"""Results as a table for terminals."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from surrogateshap.record.results import ContributorResult, GameResult, Interaction, Payout, Results
from surrogateshap.report.select import label, select
from surrogateshap.report.words import MOST_PAIRS, basis, ending, notes, paid
from surrogateshap.text import harmless
from surrogateshap.units import listed, on_one_scale, percent, plural

BAR = 12
"""Columns of the bar that draws value and interval."""


def table(results: Results, *, top: int | None = None, game: str | None = None) -> Group:
    """One ranking per game that `game` selects, its `top` first ranks, for any width from 80 columns.

    Raises UnknownGameError where no game matches `game`.
    """
    parts: list[RenderableType] = [_line(f"{results.name}, run {results.run}", "bold")]
    for one in select(results, game=game).games:
        parts += [Text(""), game_table(one, top=top)]
    parts += [Text(""), *(Text(ending(one)) for one in results.stopped)]
    parts.append(Text(f"Fidelity (agreement with retrained models): {results.fidelity}."))
    return Group(*parts)


def overview(results: Results) -> Group:
    """Who is first and who is last in each game, a line each, for any width from 80 columns."""
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name, least in (("Game", 24), ("First", 12), ("Last", 12)):
        grid.add_column(Text(name), min_width=least, no_wrap=True, overflow="ellipsis")
    for game in results.games:
        spec = on_one_scale(one.value for one in game.contributors)
        ends = (game.contributors[0], game.contributors[-1])
        cells = [f"{harmless(one.name, 24)} {format(one.value, spec)}" for one in ends]
        grid.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in (label(game), *cells)))
    fidelity = Text(f"Fidelity (agreement with retrained models): {results.fidelity}.")
    return Group(_line(f"{results.name}, run {results.run}", "bold"), Text(""), grid, Text(""), fidelity)


def game_table(game: GameResult, *, top: int | None = None) -> Group:
    """One game's ranking, its `top` first ranks, and its strongest interactions where it has some."""
    shown = game.contributors[:top]
    spec = on_one_scale(number for one in shown for number in (one.value, one.low, one.high))
    ends = (min([0.0, *(one.low for one in shown)]), max([0.0, *(one.high for one in shown)]))
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column(Text("Rank"), no_wrap=True)
    grid.add_column(Text("Contributor"), min_width=11)  # the only one that may shrink
    grid.add_column(Text("Value"), no_wrap=True, justify="right")
    grid.add_column(Text(f"{game.level:.0%} interval"), no_wrap=True)
    grid.add_column(Text("Share"), no_wrap=True, justify="right")
    grid.add_column(Text(""), no_wrap=True, width=BAR)
    widest = max((len(format(bound, spec)) for one in shown for bound in (one.low, one.high)), default=0)
    for one in shown:
        grid.add_row(
            Text(_rank(one, len(str(len(game.contributors))))),
            Text(harmless(one.name), no_wrap=True, overflow="ellipsis"),
            Text(format(one.value, spec)),
            Text(f"{format(one.low, spec):>{widest}} to {format(one.high, spec):>{widest}}"),
            Text(percent(one.share)),
            Text(bar(one.value, one.low, one.high, *ends), style="green" if one.value >= 0 else "red"),
        )
    parts: list[RenderableType] = [
        _line(label(game), "bold"),
        *(Text(line) for line in (*basis(game), *notes(game))),
        grid,
    ]
    if len(shown) < len(game.contributors):
        parts.append(Text(f"{plural(len(game.contributors) - len(shown), 'contributor')} more, not shown"))
    if game.proxy != "table":
        parts += [Text(f"Can't be told apart by this proxy: {listed(names)}") for names in game.indistinguishable]
    if game.interactions:
        parts += [Text(""), *_interactions(game.interactions, top or MOST_PAIRS)]
    if game.payout:
        parts += [Text(""), *_payout(game.payout, game.level, top)]
    return Group(*parts)


def _payout(payout: Payout, level: float, top: int | None) -> list[RenderableType]:
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column(Text("Paid to"), min_width=11)
    grid.add_column(Text("Share"), no_wrap=True, justify="right")
    grid.add_column(Text(f"{level:.0%} interval"), no_wrap=True)
    grid.add_column(Text("Amount"), no_wrap=True, justify="right")
    for one in payout.shares[:top]:
        grid.add_row(
            Text(harmless(one.name), no_wrap=True, overflow="ellipsis"),
            Text(percent(one.share)),
            Text(f"{percent(one.low):>6} to {percent(one.high):>6}"),
            Text(paid(one.amount)),
        )
    return [Text(f"Shares for payment: {harmless(payout.rule, 1000)}."), grid]


def _interactions(pairs: tuple[Interaction, ...], most: int) -> list[RenderableType]:
    shown = pairs[:most]
    spec = on_one_scale(pair.value for pair in shown)
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in ("Interaction of", "and"):
        grid.add_column(Text(name), min_width=11)
    grid.add_column(Text("Value"), no_wrap=True, justify="right")
    for pair in shown:
        names = (Text(harmless(name), no_wrap=True, overflow="ellipsis") for name in (pair.a, pair.b))
        grid.add_row(*names, Text(format(pair.value, spec)))
    rest = len(pairs) - len(shown)
    return [grid, *([Text(f"{plural(rest, 'weaker pair')} more, not shown")] if rest else [])]


def bar(value: float, low: float, high: float, start: float, end: float, width: int = BAR) -> str:
    """The interval as a line, the value as a dot on it and zero as a tick, on an axis from `start` to `end`."""
    if not end > start:
        return "●".ljust(width)

    def at(number: float) -> int:
        return min(width - 1, max(0, round((number - start) / (end - start) * (width - 1))))

    cells = [" "] * width
    cells[at(0.0)] = "│"
    for i in range(at(low), at(high) + 1):
        cells[i] = "┼" if cells[i] == "│" else "─"
    cells[at(value)] = "●"
    return "".join(cells)


def _rank(one: ContributorResult, digits: int) -> str:
    rank = f"{one.rank:>{digits}}"
    return rank if one.rank_low == one.rank_high else f"{rank} ({one.rank_low}–{one.rank_high})"


def _line(text: str, style: str) -> Text:
    return Text(harmless(text), style=style, no_wrap=True, overflow="ellipsis")
