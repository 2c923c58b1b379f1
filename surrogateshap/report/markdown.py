"""Results as Markdown, for reports and pull requests."""

import re

from surrogateshap.record.results import ContributorResult, GameResult, Interaction, Payout, Results
from surrogateshap.report.select import label
from surrogateshap.report.words import MOST_PAIRS, basis, ending, notes, paid
from surrogateshap.text import harmless
from surrogateshap.units import listed, on_one_scale, percent, plural

_SPECIAL = re.compile(r"[\\`*_\[\]{}()#|~$@:!]")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def to_markdown(results: Results) -> str:
    """One table per game. Names can bring in no table cell, link, HTML or emphasis, and no line break."""
    lines = [f"# {_escape(results.name)}", "", f"Run {_escape(results.run)}, plan {_escape(results.plan_id)}.", ""]
    for game in results.games:
        lines += [*_game(game), ""]
    for one in results.stopped:
        lines += [_escape(ending(one)), ""]
    return "\n".join([*lines, f"Fidelity (agreement with retrained models): {results.fidelity}.", ""])


def _game(game: GameResult) -> list[str]:
    spec = on_one_scale(number for one in game.contributors for number in (one.value, one.low, one.high))
    top = "" if game.top is None else f" In the top {game.top} |"
    lines = [
        f"## {_escape(label(game))}",
        "",
        *(f"{line}  " for line in (*basis(game), *map(_escape, notes(game)))),
        "",
        f"| Rank | Ranks |{top} Contributor | Rows | Value | {game.level:.0%} interval | Share |",
        f"|---:|:---:|{'---:|' if top else ''}:---|---:|---:|:---:|---:|",
        *(_row(one, spec, bool(top)) for one in game.contributors),
    ]
    for names in game.indistinguishable:
        lines += ["", f"Can't be told apart by this proxy: {_escape(listed(names))}"]
    if game.interactions:
        lines += ["", *_interactions(game.interactions)]
    if game.payout:
        lines += ["", *_payout(game.payout, game.level)]
    return lines


def _interactions(pairs: tuple[Interaction, ...]) -> list[str]:
    """The strongest ones."""
    shown = pairs[:MOST_PAIRS]
    spec = on_one_scale(pair.value for pair in shown)
    lines = ["| Interaction of | and | Value |", "|:---|:---|---:|"]
    lines += [f"| {_escape(pair.a)} | {_escape(pair.b)} | {format(pair.value, spec)} |" for pair in shown]
    rest = len(pairs) - len(shown)
    return [*lines, *(["", f"{plural(rest, 'weaker pair')} more, not shown"] if rest else [])]


def _payout(payout: Payout, level: float) -> list[str]:
    return [
        f"Shares for payment: {_escape(payout.rule)}.",
        "",
        f"| Paid to | Share | {level:.0%} interval | Amount |",
        "|:---|---:|:---:|---:|",
        *(
            f"| {_escape(one.name)} | {percent(one.share)} | {percent(one.low)} to {percent(one.high)} | "
            f"{paid(one.amount)} |"
            for one in payout.shares
        ),
    ]


def _row(one: ContributorResult, spec: str, top: bool) -> str:
    cells = (
        str(one.rank),
        f"{one.rank_low}–{one.rank_high}",
        *([percent(one.in_top)] if top else []),
        _escape(one.name),
        "–" if one.rows is None else f"{one.rows:,}",
        format(one.value, spec),
        f"{one.low:{spec}} to {one.high:{spec}}",
        percent(one.share),
    )
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", harmless(text, 1000)).translate(_ENTITIES)
