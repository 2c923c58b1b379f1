"""Results as Markdown, for reports and pull requests."""

import re

from surrogateshap.record.fidelity import closed_game, closed_title
from surrogateshap.record.results import ContributorFlags, ContributorResult, GameResult, Interaction, Payout, Results
from surrogateshap.report.select import label
from surrogateshap.report.words import MOST_PAIRS, basis, by_grouping, ending, notes, paid, remarks, title
from surrogateshap.text import harmless
from surrogateshap.units import listed, on_one_scale, percent, plural

_SPECIAL = re.compile(r"[\\`*_\[\]{}()#|~$@:!]")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def to_markdown(results: Results) -> str:
    """One table per game. Names can bring in no table cell, link, HTML or emphasis, and no line break."""
    lines = [f"# {escape(results.name)}", "", f"Run {escape(results.run)}, plan {escape(results.plan_id)}.", ""]
    for game in results.games:
        lines += [*_game(game), ""]
    for one in results.stopped:
        lines += [escape(ending(one)), ""]
    for grouping, flags in by_grouping(results.flags):
        lines += [f"## {escape(title(grouping))}", "", *_flags(flags), ""]
    return "\n".join([*lines, f"Fidelity (agreement with retrained models): {results.fidelity}.", ""])


def _game(game: GameResult, heading: list[str] | None = None) -> list[str]:
    spec = on_one_scale(number for one in game.contributors for number in (one.value, one.low, one.high))
    top = "" if game.top is None else f" In the top {game.top} |"
    if heading is None:
        said = [f"{line}  " for line in (*basis(game), *map(escape, notes(game)))]
        heading = [f"## {escape(label(game))}", "", *said]
    lines = [
        *heading,
        "",
        f"| Rank | Ranks |{top} Contributor | Rows | Value | {game.level:.0%} interval | Share |",
        f"|---:|:---:|{'---:|' if top else ''}:---|---:|---:|:---:|---:|",
        *(_row(one, spec, bool(top)) for one in game.contributors),
    ]
    for names in game.indistinguishable:
        lines += ["", f"Can't be told apart by this proxy: {escape(listed(names))}"]
    if game.interactions:
        lines += ["", *_interactions(game.interactions)]
    if game.payout:
        lines += ["", *_payout(game.payout, game.level)]
    if (closed := closed_game(game)) is not None:
        lines += ["", *_game(closed, [f"### {escape(closed_title(game))}"])]
    return lines


def _interactions(pairs: tuple[Interaction, ...]) -> list[str]:
    """The strongest ones."""
    shown = pairs[:MOST_PAIRS]
    spec = on_one_scale(pair.value for pair in shown)
    lines = ["| Interaction of | and | Value |", "|:---|:---|---:|"]
    lines += [f"| {escape(pair.a)} | {escape(pair.b)} | {format(pair.value, spec)} |" for pair in shown]
    rest = len(pairs) - len(shown)
    return [*lines, *(["", f"{plural(rest, 'weaker pair')} more, not shown"] if rest else [])]


def _payout(payout: Payout, level: float) -> list[str]:
    return [
        f"Shares for payment: {escape(payout.rule)}.",
        "",
        f"| Paid to | Share | {level:.0%} interval | Amount |",
        "|:---|---:|:---:|---:|",
        *(
            f"| {escape(one.name)} | {percent(one.share)} | {percent(one.low)} to {percent(one.high)} | "
            f"{paid(one.amount)} |"
            for one in payout.shares
        ),
    ]


def _row(one: ContributorResult, spec: str, top: bool) -> str:
    cells = (
        str(one.rank),
        f"{one.rank_low}–{one.rank_high}",
        *([percent(one.in_top)] if top else []),
        escape(one.name),
        "–" if one.rows is None else f"{one.rows:,}",
        format(one.value, spec),
        f"{one.low:{spec}} to {one.high:{spec}}",
        percent(one.share),
    )
    return f"| {' | '.join(cells)} |"


def _flags(flags: tuple[ContributorFlags, ...]) -> list[str]:
    spec = on_one_scale((one.conditional for one in flags), digits=3)
    lines = ["| Contributor | Images | Loss | Without | Flags |", "|:---|---:|---:|---:|:---|"]
    for one in flags:
        without = "–" if one.unconditional is None else format(one.unconditional, spec)
        cells = (escape(one.name), f"{one.images:,}", format(one.conditional, spec), without, escape(remarks(one)))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def escape(text: str) -> str:
    """A stranger's text that stays a text in Markdown."""
    return _SPECIAL.sub(r"\\\g<0>", harmless(text, 1000)).translate(_ENTITIES)
