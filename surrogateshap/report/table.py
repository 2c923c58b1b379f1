"""Results as a table for terminals."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from surrogateshap.record.fidelity import closed_game, closed_title
from surrogateshap.record.results import ContributorFlags, ContributorResult, GameResult, Interaction, Payout, Results
from surrogateshap.report.select import label, select
from surrogateshap.report.words import MOST_PAIRS, basis, by_grouping, ending, notes, paid, remarks, title
from surrogateshap.text import harmless
from surrogateshap.units import listed, on_one_scale, percent, plural

BAR = 12
"""Columns of the bar that draws value and interval."""
MOST_FLAGS = 5
"""Contributors without flags shown beside those that have some, where nobody says how many."""


def table(results: Results, *, top: int | None = None, game: str | None = None) -> Group:
    """One ranking per game that `game` selects, its `top` first ranks, for any width from 80 columns.

    Raises UnknownGameError where no game matches `game`.
    """
    parts: list[RenderableType] = [_line(f"{results.name}, run {results.run}", "bold")]
    chosen = select(results, game=game)
    for one in chosen.games:
        parts += [Text(""), game_table(one, top=top)]
    for grouping, flags in by_grouping(chosen.flags):
        parts += [Text(""), _line(title(grouping), "bold"), *_flags(flags, top or MOST_FLAGS)]
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
    closing = [Text(f"Fidelity (agreement with retrained models): {results.fidelity}.")]
    for grouping, flags in by_grouping(results.flags):
        flagged = [one.name for one in flags if one.flags]
        closing.append(Text(f"Flagged by {harmless(grouping, 64)}: {listed(flagged) if flagged else 'none'}."))
    return Group(_line(f"{results.name}, run {results.run}", "bold"), Text(""), grid, Text(""), *closing)


def game_table(game: GameResult, *, top: int | None = None, heading: list[RenderableType] | None = None) -> Group:
    """One game's ranking, its `top` first ranks, its strongest interactions and its retraining game where it has some.

    `heading` stands in for the game's name and what its values rest on.
    """
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
    if heading is None:
        heading = [_line(label(game), "bold"), *(Text(line) for line in (*basis(game), *notes(game)))]
    parts: list[RenderableType] = [*heading, grid]
    if len(shown) < len(game.contributors):
        parts.append(Text(f"{plural(len(game.contributors) - len(shown), 'contributor')} more, not shown"))
    if game.proxy != "table":
        parts += [Text(f"Can't be told apart by this proxy: {listed(names)}") for names in game.indistinguishable]
    if game.interactions:
        parts += [Text(""), *_interactions(game.interactions, top or MOST_PAIRS)]
    if game.payout:
        parts += [Text(""), *_payout(game.payout, game.level, top)]
    if (closed := closed_game(game)) is not None:
        parts += [Text(""), game_table(closed, top=top, heading=[Text(closed_title(game), "bold")])]
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


def _flags(flags: tuple[ContributorFlags, ...], most: int) -> list[RenderableType]:
    """Contributors with flags, then `most` others: first those of whom nothing can be said, then by loss."""
    flagged, others = [one for one in flags if one.flags], [one for one in flags if not one.flags]
    others.sort(key=lambda one: (not one.note, -one.conditional))
    shown = [*flagged, *others[:most]]
    alone = any(one.unconditional is not None for one in flags)
    spec = on_one_scale((one.conditional for one in shown), digits=3)
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column(Text("Contributor"), min_width=11, max_width=28)
    for name in ("Images", "Loss", *(["Without"] if alone else [])):
        grid.add_column(Text(name), no_wrap=True, justify="right")
    grid.add_column(Text("Flags"), min_width=24)
    for one in shown:
        grid.add_row(
            Text(harmless(one.name), no_wrap=True, overflow="ellipsis"),
            Text(f"{one.images:,}"),
            Text(format(one.conditional, spec)),
            *([Text("" if one.unconditional is None else format(one.unconditional, spec))] if alone else []),
            Text(remarks(one), style="red" if one.flags else "dim"),
        )
    rest = len(flags) - len(shown)
    return [grid, *([Text(f"{plural(rest, 'contributor')} more without flags, not shown")] if rest else [])]


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
