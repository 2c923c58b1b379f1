"""A passage for model cards: who is worth how much, and how far that can be believed."""

from surrogateshap.record.limits import limits_of
from surrogateshap.record.results import GameResult, Results
from surrogateshap.report.markdown import escape
from surrogateshap.report.select import label
from surrogateshap.units import on_one_scale

MOST = 10


def model_card(results: Results) -> str:
    """Markdown without a heading of the first level; the `MOST` highest contributors of each game."""
    lines = [
        "## Data contributors",
        "",
        f"Shapley values of the data's contributors, estimated with surrogateshap (run {escape(results.run)}). "
        f"Fidelity to retraining: {escape(results.fidelity)}.",
        "",
    ]
    for game in results.games:
        lines += [*_game(game), ""]
    lines += ["### What these values can't tell", "", *(f"- {escape(limit)}" for limit in limits_of(results)), ""]
    return "\n".join(lines)


def _game(game: GameResult) -> list[str]:
    shown = game.contributors[:MOST]
    spec = on_one_scale(number for one in shown for number in (one.value, one.low, one.high))
    lines = [f"### {escape(label(game))}", "", "| Rank | Contributor | Value | Interval |", "|---:|:---|---:|:---:|"]
    lines += [
        f"| {one.rank} | {escape(one.name)} | {format(one.value, spec)} | {one.low:{spec}} to {one.high:{spec}} |"
        for one in shown
    ]
    rest = len(game.contributors) - len(shown)
    return [*lines, *(["", f"{rest} more in the record."] if rest else [])]
