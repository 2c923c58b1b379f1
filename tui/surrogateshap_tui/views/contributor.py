"""Everything that is known of one contributor, as text. Pure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from surrogateshap import units
from surrogateshap.record.contributor import ContributorData
from surrogateshap.report.words import paid
from surrogateshap_tui.scale import Scale
from surrogateshap_tui.state import Place, Ranking, RunState
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.views.ranking import draw_place
from surrogateshap_tui.widgets import whiskers
from surrogateshap_tui.widgets.picture import plain

if TYPE_CHECKING:
    from surrogateshap.record.contributor import SizeValue

_PAIRS = 10
"""Interactions that are shown."""
_CONDITIONS = 8
_OVERLAPS = 6
_NAME = 30


def draw_worth(
    state: RunState, ranking: Ranking, name: str, data: ContributorData | None, palette: Palette, width: int
) -> RenderableType:
    """A contributor in the game that is shown, then in the other games, then its interactions."""
    place = place_of(ranking, name)
    if place is None:
        return Text("It is not in this game: it belongs to another grouping.", palette.muted)
    parts: list[RenderableType] = [plain(str(ranking.game), style=palette.muted), draw_place(place, ranking, palette)]
    payout = ranking.result.payout if ranking.result else None
    share = next((one for one in payout.shares if one.name == name), None) if payout else None
    if share is not None:
        amount = f"   amount {paid(share.amount)}" if share.amount is not None else ""
        ends = f"{units.percent(share.low)} to {units.percent(share.high)}"
        parts.append(Text(f"payout {units.percent(share.share)}, {ends}{amount}"))
    parts += [Text(), Text("In every game of its grouping", palette.heading), _games(state, ranking, name, palette)]
    parts += [Text(), Text("Value by coalition size", palette.heading), _by_size(data, palette, width)]
    others = list(elsewhere(state, ranking, data)) if data is not None else []
    if others:
        parts += [Text(), Text("In other groupings", palette.heading), _elsewhere(others, palette)]
    parts += [Text(), Text("Strongest interactions", palette.heading), _interactions(ranking, name, palette)]
    return Group(*parts)


def draw_made_of(data: ContributorData | None, busy: bool, palette: Palette) -> RenderableType:
    """What a contributor is made of; its images stand below."""
    if data is None:
        words = "Reading what it is made of." if busy else "Its conditions and images are there once the run is done."
        return Text(words, palette.muted)
    parts: list[RenderableType] = [Text("Conditions", palette.heading)]
    if data.conditions:
        count = units.plural(data.conditions_in_all, "condition")
        parts.append(Text(f"{count} in {units.plural(data.rows or 0, 'row')}", palette.muted))
        shown = data.conditions[:_CONDITIONS]
        digits = max(len(units.count(one.rows)) for one in shown)
        parts += [Text(f"{units.count(one.rows):>{digits}}  ").append(plain(one.name, 160)) for one in shown]
        rest = data.conditions_in_all - len(shown)
        parts += [Text(f"and {units.plural(rest, 'other')}", palette.muted)] if rest > 0 else []
    else:
        parts.append(Text("not known", palette.muted))
    parts += [Text("! ", palette.warning).append(plain(note, 1000)) for note in data.notes]
    parts += [Text(), Text("Sample images", palette.heading)]
    if data.images:
        parts.append(Text("those of the pool that weigh most for it", palette.muted))
    else:
        parts.append(Text("none", palette.muted))
    return Group(*parts)


def place_of(ranking: Ranking, name: str) -> Place | None:
    """The contributor's place; None where the ranking's grouping has no such contributor."""
    return next((place for place in ranking.places if place.name == name), None)


def places(state: RunState, grouping: str, name: str) -> Iterator[tuple[Ranking, Place]]:
    """The contributor's place in each game of its grouping, in the order of the games."""
    for game in state.games:
        ranking = state.ranking(game) if game.grouping == grouping else None
        place = place_of(ranking, name) if ranking else None
        if ranking is not None and place is not None:
            yield ranking, place


def elsewhere(state: RunState, ranking: Ranking, data: ContributorData) -> Iterator[tuple[str, str, str, str]]:
    """Who in other groupings has the same rows: grouping, name, what is shared, and ranks by this utility and proxy."""
    for one in data.overlaps[:_OVERLAPS]:
        game = ranking.game.model_copy(update={"grouping": one.grouping})
        other = state.ranking(game)
        place = place_of(other, one.name) if other is not None else None
        rank = f"{place.rank} of {len(other.places)}" if place is not None and other is not None else "–"
        yield one.grouping, one.name, f"{one.share:.0%}".replace("%", " %"), rank


def _by_size(data: ContributorData | None, palette: Palette, width: int) -> RenderableType:
    sizes = data.sizes if data is not None else ()
    if not sizes:
        known = "not known yet" if data is None else "not known"
        return Text(f"{known}: it needs the coalitions' values of a finished run", palette.muted)
    numbers = [one.value for one in sizes]
    scale = Scale(numbers)
    ends = [(one.value - 2 * (one.error or 0.0), one.value, one.value + 2 * (one.error or 0.0)) for one in sizes]
    axis = whiskers.Axis.over(number for triple in ends for number in triple)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(*(Text(title, palette.muted) for title in ("Others in it", "Mean gain", "", "± error", "Spread")))
    for one, (low, value, high) in zip(sizes, ends, strict=True):
        drawn = Text(whiskers.draw(low, value, high, axis, 30 if width >= 100 else 16))
        drawn.stylize(palette.primary if value >= 0 else palette.warning)
        table.add_row(Text(_sizes(one)), Text(scale(value), justify="right"), drawn, _error(one, scale), _spread(one))
    return Group(
        Text(
            "v(S with it) − v(S) over the evaluated coalitions S of each size; spread is that between them",
            palette.muted,
        ),
        table,
    )


def _sizes(one: "SizeValue") -> str:
    return units.count(one.smallest) if one.smallest == one.largest else f"{one.smallest:,} to {one.largest:,}"


def _error(one: "SizeValue", scale: Scale) -> Text:
    if one.error is None:
        return Text("unknown")
    return Text("all there" if one.error == 0 else f"± {scale(one.error)}")


def _spread(one: "SizeValue") -> Text:
    return Text("–" if one.spread is None else units.significant(one.spread))


def _games(state: RunState, ranking: Ranking, name: str, palette: Palette) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=palette.muted)
    for title in ("Utility", "Proxy", "Rank", "Value", "Interval", "Share"):
        right = title in ("Value", "Share")
        table.add_column(title, justify="right" if right else "left", no_wrap=True, max_width=_NAME)
    for other, found in places(state, ranking.game.grouping, name):
        scale = Scale((found.value, found.low, found.high))
        span = f" ({found.rank_low}–{found.rank_high})" if found.rank_low is not None else ""
        table.add_row(
            plain(other.game.utility),
            plain(other.game.proxy),
            Text(f"{found.rank} of {len(other.places)}{span}"),
            Text(scale(found.value)),
            Text(f"{scale(found.low)} … {scale(found.high)}"),
            Text(units.percent(found.share)),
        )
    return table


def _elsewhere(others: list[tuple[str, str, str, str]], palette: Palette) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=palette.muted)
    for title in ("Grouping", "Contributor", "Of its rows", "Rank there"):
        table.add_column(title, no_wrap=True, max_width=_NAME)
    for grouping, name, share, rank in others:
        table.add_row(plain(grouping), plain(name), Text(share), Text(rank))
    return table


def _interactions(ranking: Ranking, name: str, palette: Palette) -> RenderableType:
    pairs = ranking.result.interactions if ranking.result else None
    if pairs is None:
        return Text("not asked for: estimator.interactions = true computes them", palette.muted)
    own = [one for one in pairs if name in (one.a, one.b)][:_PAIRS]
    if not own:
        return Text("none among the strongest that results keep", palette.muted)
    scale = Scale([pair.value for pair in own])
    lines = []
    for pair in own:
        other = pair.b if pair.a == name else pair.a
        words = "worth more together" if pair.value > 0 else "worth less together"
        lines.append(Text(f"{scale(pair.value):>10}  ").append(plain(other, 60)).append(f"  {words}", palette.muted))
    return Group(*lines)
