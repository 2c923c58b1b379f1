"""Results as Markdown, for reports and pull requests."""

import re

from surrogateshap.record.fidelity import closed_game, closed_title
from surrogateshap.record.results import ContributorResult, GameResult, Results
from surrogateshap.report.select import label
from surrogateshap.report.words import basis, notes
from surrogateshap.text import harmless
from surrogateshap.units import listed, on_one_scale, percent

_SPECIAL = re.compile(r"[\\`*_\[\]{}()#|~$@:!]")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def to_markdown(results: Results) -> str:
    """One table per game. Names can bring in no table cell, link, HTML or emphasis, and no line break."""
    lines = [f"# {_escape(results.name)}", "", f"Run {_escape(results.run)}, plan {_escape(results.plan_id)}.", ""]
    for game in results.games:
        lines += [*_game(game), ""]
    return "\n".join([*lines, f"Fidelity (agreement with retrained models): {results.fidelity}.", ""])


def _game(game: GameResult, heading: list[str] | None = None) -> list[str]:
    spec = on_one_scale(number for one in game.contributors for number in (one.value, one.low, one.high))
    if heading is None:
        said = [f"{line}  " for line in (*basis(game), *map(_escape, notes(game)))]
        heading = [f"## {_escape(label(game))}", "", *said]
    lines = [
        *heading,
        "",
        f"| Rank | Ranks | Contributor | Rows | Value | {game.level:.0%} interval | Share |",
        "|---:|:---:|:---|---:|---:|:---:|---:|",
        *(_row(one, spec) for one in game.contributors),
    ]
    for names in game.indistinguishable:
        lines += ["", f"Can't be told apart by this proxy: {_escape(listed(names))}"]
    if (closed := closed_game(game)) is not None:
        lines += ["", *_game(closed, [f"### {_escape(closed_title(game))}"])]
    return lines


def _row(one: ContributorResult, spec: str) -> str:
    cells = (
        str(one.rank),
        f"{one.rank_low}–{one.rank_high}",
        _escape(one.name),
        "–" if one.rows is None else f"{one.rows:,}",
        format(one.value, spec),
        f"{one.low:{spec}} to {one.high:{spec}}",
        percent(one.share),
    )
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", harmless(text, 1000)).translate(_ENTITIES)
