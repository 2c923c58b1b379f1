"""Results as a page shows them: rows with their plots, cut to what one can read."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from surrogateshap.record.fidelity import closed_game, closed_title, measured
from surrogateshap.record.results import (
    UNCORRECTED,
    ContributorFlags,
    ContributorResult,
    Fidelity,
    GameResult,
    Interaction,
    Results,
)
from surrogateshap.report import svg
from surrogateshap.report.select import label
from surrogateshap.report.words import MOST_PAIRS, by_grouping, notes, paid, regression, title
from surrogateshap.units import listed, on_one_scale, percent, plural, significant

WHOLE = 60
"""Contributors up to which a ranking is shown whole where nobody says how many."""
ENDS = 25
"""Contributors shown at either end of a longer one."""
MOST_SETS = 8
"""Sets of contributors that can't be told apart, and flagged contributors in hundreds: the first are shown."""
MOST_FLAGGED = 100
OTHERS = 5
"""Contributors without flags shown beside those that have some."""


@dataclass(frozen=True)
class Row:
    """One contributor's line."""

    rank: str
    ranks: str
    name: str
    rows: str
    value: str
    interval: str
    share: str
    top: str
    plot: str
    """SVG."""


@dataclass(frozen=True)
class Ranking:
    """A game's contributors, or the first and the last of them."""

    caption: str
    level: str
    axis: str
    """SVG."""
    first: list[Row]
    last: list[Row]
    """Empty where `first` is all of them."""
    left_out: str
    """In words; empty where nobody is."""
    top: str
    """Heading of the column of probabilities; empty where there is none."""


@dataclass(frozen=True)
class Plot:
    """A figure with what it shows in words."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Comparison:
    """A game beside retrained coalitions."""

    facts: list[tuple[str, str]]
    plot: Plot
    calibration: list[tuple[str, str, str]]
    closed: Ranking | None


@dataclass(frozen=True)
class Game:
    """One game's part of the page."""

    id: str
    label: str
    facts: list[tuple[str, str]]
    notes: list[str]
    ranking: Ranking
    alike: list[str]
    pairs: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Two names, the value, and its plot."""
    more_pairs: str = ""
    rule: str = ""
    """Of the shares for payment; empty where there are none."""
    payments: list[tuple[str, str, str, str]] = field(default_factory=list)
    payment_bar: str = ""
    more_payments: str = ""
    comparison: Comparison | None = None
    first: str = ""
    """Who is first, with the value, for the overview; and who is last."""
    last: str = ""
    first_value: str = ""
    last_value: str = ""
    agreement: str = ""


@dataclass(frozen=True)
class Flags:
    """One grouping's denoising losses."""

    title: str
    rows: list[tuple[str, str, str, str, str, bool]]
    """Name, images, loss with conditions, without, remarks, and whether something stands out."""
    left_out: str


def games_of(results: Results, top: int | None) -> list[Game]:
    """A part for each game, at most `top` contributors at either end."""
    return [_game(game, f"game-{number}", top) for number, game in enumerate(results.games, start=1)]


def flags_of(results: Results) -> list[Flags]:
    """A table for each grouping, flagged contributors first."""
    return [_flags(grouping, ones) for grouping, ones in by_grouping(results.flags)]


def _game(game: GameResult, name: str, top: int | None) -> Game:
    ranked = game.contributors
    spec = on_one_scale(one.value for one in ranked)
    first, last = ranked[0], ranked[-1]
    pairs, more_pairs = _pairs(game.interactions or (), top or MOST_PAIRS)
    facts = [
        ("v(∅)", significant(game.v_empty)),
        ("v(N)", significant(game.v_full)),
        ("Estimator", game.estimator.replace("_", " ")),
        ("Coalitions", f"{game.coalitions:,}"),
        *([("Images", f"{game.images:,}")] if game.images else []),
    ]
    if game.surrogate is not None:
        facts += [
            ("Fit on held-out coalitions", f"R² {game.surrogate.cv_r2:.3f}"),
            ("Efficiency gap before correction", significant(game.efficiency_gap)),
            ("Trees", f"{game.surrogate.trees:,}"),
        ]
    elif game.estimator in UNCORRECTED:
        facts.append(("Efficiency gap", significant(game.efficiency_gap)))
    sets = game.indistinguishable if game.proxy != "table" else ()
    alike = [listed(names) for names in sets[:MOST_SETS]]
    if len(sets) > MOST_SETS:
        alike.append(f"and {plural(len(sets) - MOST_SETS, 'more set')}")
    more: dict[str, str] = {}
    payments: list[tuple[str, str, str, str]] = []
    if game.payout:
        ahead, behind = shown_ends(len(game.payout.shares), top)
        shown = (*game.payout.shares[:ahead], *game.payout.shares[len(game.payout.shares) - behind :])
        payments = [
            (one.name, percent(one.share), f"{percent(one.low)} to {percent(one.high)}", paid(one.amount))
            for one in shown
        ]
        rest = len(game.payout.shares) - len(shown)
        bar = svg.share_bar(
            [(one.name, one.share) for one in game.payout.shares[:ENDS]], "Shares for payment, in the ranking's order"
        )
        more = {"rule": game.payout.rule, "payment_bar": bar}
        more["more_payments"] = f"{plural(rest, 'contributor')} in between not shown." if rest else ""
    return Game(
        id=name,
        label=label(game),
        facts=facts,
        notes=[line.removeprefix("Note: ") for line in notes(game)],
        ranking=_ranking(game, f"Contributors by value: {label(game)}", top),
        alike=alike,
        pairs=pairs,
        more_pairs=more_pairs,
        payments=payments,
        comparison=None if game.fidelity is None else _comparison(game, game.fidelity, top),
        first=first.name,
        last=last.name,
        first_value=format(first.value, spec),
        last_value=format(last.value, spec),
        agreement="not measured" if game.fidelity is None else measured(game.fidelity.spearman),
        **more,
    )


def shown_ends(count: int, top: int | None) -> tuple[int, int]:
    """How many are shown from the beginning, and from the end."""
    if top is None:
        return (count, 0) if count <= WHOLE else (ENDS, ENDS)
    return (count, 0) if count <= 2 * top else (top, top)


def shown_names(results: Results, top: int | None) -> dict[tuple[str, str], list[str]]:
    """By grouping and proxy, the contributors that a page shows in some game of it, in the order of the first."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for game in results.games:
        ahead, behind = shown_ends(len(game.contributors), top)
        shown = (*game.contributors[:ahead], *game.contributors[len(game.contributors) - behind :])
        found.setdefault((game.grouping, game.proxy), {}).update(dict.fromkeys(one.name for one in shown))
    return {key: list(names) for key, names in found.items()}


def _ranking(game: GameResult, caption: str, top: int | None) -> Ranking:
    ranked = game.contributors
    ahead, behind = shown_ends(len(ranked), top)
    first, last = ranked[:ahead], ranked[len(ranked) - behind :] if behind else ()
    shown = (*first, *last)
    spec = on_one_scale(number for one in shown for number in (one.value, one.low, one.high))
    ends = svg.ends_of([number for one in shown for number in (one.value, one.low, one.high)])
    level = f"{game.level:.0%}"
    rest = len(ranked) - len(shown)
    return Ranking(
        caption=caption,
        level=level,
        axis=svg.axis(ends, f"Axis from {significant(ends[0])} to {significant(ends[1])}"),
        first=[_row(one, spec, ends, level) for one in first],
        last=[_row(one, spec, ends, level) for one in last],
        left_out=f"{plural(rest, 'contributor')} in between, not shown here" if rest else "",
        top="" if game.top is None else f"In top {game.top}",
    )


def _row(one: ContributorResult, spec: str, ends: tuple[float, float], level: str) -> Row:
    value, low, high = (format(number, spec) for number in (one.value, one.low, one.high))
    return Row(
        rank=str(one.rank),
        ranks=str(one.rank_low) if one.rank_low == one.rank_high else f"{one.rank_low}–{one.rank_high}",
        name=one.name,
        rows="–" if one.rows is None else f"{one.rows:,}",
        value=value,
        interval=f"{low} to {high}",
        share=percent(one.share),
        top=percent(one.in_top),
        plot=svg.whisker(one.value, one.low, one.high, ends, f"{value}; {level} interval {low} to {high}"),
    )


def _pairs(pairs: Sequence[Interaction], most: int) -> tuple[list[tuple[str, str, str, str]], str]:
    shown = pairs[:most]
    spec = on_one_scale(pair.value for pair in shown)
    ends = svg.ends_of([pair.value for pair in shown])
    rows = []
    for pair in shown:
        value = format(pair.value, spec)
        low, high = min(0.0, pair.value), max(0.0, pair.value)
        rows.append((pair.a, pair.b, value, svg.whisker(pair.value, low, high, ends, f"{value} from zero")))
    rest = len(pairs) - len(shown)
    return rows, f"{plural(rest, 'weaker pair')} more, not shown." if rest else ""


def _comparison(game: GameResult, found: Fidelity, top: int | None) -> Comparison:
    facts = [
        ("Anchors", f"{found.anchors:,}, {'retrained' if found.kind == 'retrained' else 'fine-tuned briefly'}"),
        ("Rank correlation of v", measured(found.spearman)),
        ("LDS", measured(found.lds)),
        ("Regression", regression(found)),
    ]
    if found.closed is not None:
        facts.append(("Held-out R² with anchors", measured(found.closed.r2)))
        facts.append(("Held-out R² of the proxy alone", f"{found.closed.proxy_r2:.2f}"))
    closed = closed_game(game)
    return Comparison(
        facts=facts,
        plot=_scatter(game, found),
        calibration=[
            (f"{part.anchors:,}", significant(part.proxy), significant(part.retrained)) for part in found.calibration
        ],
        closed=None if closed is None else _ranking(closed, closed_title(game), top),
    )


def _scatter(game: GameResult, found: Fidelity) -> Plot:
    line = (found.intercept, found.slope)
    labels = ("v(S) by the proxy", "v(S) retrained")
    title = f"Retrained against proxy values of coalitions: {label(game)}"
    lines = "full line: regression; dashed line: equality"
    if found.points:
        drawn = svg.scatter([(one.proxy, one.retrained) for one in found.points], title, labels, line)
        return Plot(drawn, f"Each dot is one of {plural(len(found.points), 'coalition')}; {lines}.")
    points = [(part.proxy, part.retrained) for part in found.calibration]
    drawn = svg.scatter(points, title, labels, line, [part.anchors for part in found.calibration])
    return Plot(drawn, f"Each dot is the mean of several coalitions, the larger the more; {lines}.")


def _flags(grouping: str, flags: Sequence[ContributorFlags]) -> Flags:
    flagged, others = [one for one in flags if one.flags], [one for one in flags if not one.flags]
    others.sort(key=lambda one: (not one.note, -one.conditional))
    shown = [*flagged[:MOST_FLAGGED], *others[:OTHERS]]
    spec = on_one_scale((one.conditional for one in shown), digits=3)
    rows = [
        (
            one.name,
            f"{one.images:,}",
            format(one.conditional, spec),
            "–" if one.unconditional is None else format(one.unconditional, spec),
            "; ".join(one.flags) or one.note,
            bool(one.flags),
        )
        for one in shown
    ]
    hidden, rest = len(flagged) - MOST_FLAGGED, len(others) - OTHERS
    left_out = [f"{plural(hidden, 'flagged contributor')} more"] if hidden > 0 else []
    left_out += [f"{plural(rest, 'contributor')} more without flags"] if rest > 0 else []
    return Flags(title(grouping), rows, f"{' and '.join(left_out)}, not shown." if left_out else "")
