"""A comparison as a table for terminals."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from surrogateshap.plan.changes import KeyChange, Sort
from surrogateshap.record.diff import Diff, GameDiff, Move, SideInfo
from surrogateshap.text import harmless
from surrogateshap.units import listed, on_one_scale, plural, significant

_TITLES: dict[Sort, str] = {
    "results": "Keys that change results",
    "execution": "Keys that change how it is computed, and no result",
    "cosmetic": "Keys that change neither",
}
FEW = 3
"""Contributors shown of a game where nobody moved beyond the interval."""
MOST_LINES = 100
"""Of keys, inputs and such; a spec hardly has more."""
_BESIDE = (
    "Intervals of differences take both values' errors for independent. Values from the same images err alike: such "
    "intervals are too wide rather than too narrow."
)


def diff_table(diff: Diff, *, top: int | None = None) -> Group:
    """All that differs, at most `top` contributors of each game, for any width from 80 columns."""
    parts: list[RenderableType] = [_side("A", diff.old), _side("B", diff.new)]
    parts += [Text(f"Note: {harmless(note, 1000)}", "yellow") for note in diff.notes]
    if not diff.differs:
        parts += [Text(""), Text("Nothing that matters to results differs.")]
    for sort, title in _TITLES.items():
        changes = [change for change in diff.keys if change.sort == sort]
        if changes:
            parts += [Text(""), Text(title, "bold"), *_bounded([key_line(change) for change in changes])]
    for title, lines in (("Inputs", input_lines(diff)), ("Plans", plan_lines(diff)), ("Stages", _stages(diff))):
        shown = [Text(line) for line in lines]
        parts += [Text(""), Text(title, "bold"), *_bounded(shown)] if shown else []
    same = [game for game in diff.games if not game.differs]
    for game in diff.games:
        parts += [Text(""), *_game(game, top)] if game.differs else []
    if same:
        parts += [Text(""), Text(f"{plural(len(same), 'game')} with the same values: {_labels(same)}")]
    for title, labels in (("Games only in A", diff.games_removed), ("Games only in B", diff.games_added)):
        shown = [Text(f"  {harmless(one)}") for one in labels]
        parts += [Text(""), Text(title, "bold"), *_bounded(shown)] if shown else []
    if len(same) < len(diff.games):
        parts += [Text(""), Text(_BESIDE, "dim")]
    return Group(*parts)


def _bounded(lines: list[Text]) -> list[Text]:
    rest = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([Text(f"  {rest:,} more, not shown")] if rest > 0 else [])]


def _labels(games: Sequence[GameDiff]) -> str:
    return listed([f"{game.grouping} / {game.utility} / {game.proxy}" for game in games], 6)


def _side(letter: str, side: SideInfo) -> Text:
    known = [f"run {harmless(side.run)}"] if side.run and side.run != side.name else []
    known += [f"plan {_short(side.plan_id)}"] if side.plan_id else []
    known += [f"fidelity {harmless(side.fidelity)}"] if side.fidelity else []
    return Text(f"{letter}: {side.kind} {harmless(side.name, 1000)}" + (f" ({', '.join(known)})" if known else ""))


def key_line(change: KeyChange) -> Text:
    """A key with what it was and is."""
    line = Text(f"  {harmless(change.key, 100)}: ")
    if change.old is None:
        line.append(f"+ {_plain(change.new)}", "green")
    elif change.new is None:
        line.append(f"− {_plain(change.old)}", "red")
    else:
        line.append(_plain(change.old), "red").append(" → ").append(_plain(change.new), "green")
    return line.append(f" ({harmless(change.why)})") if change.why else line


def _plain(value: Any) -> str:
    """A value as in TOML, without what a table leaves unset."""
    return harmless(_toml(value), 160)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items() if one is not None) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def input_lines(diff: Diff) -> Iterator[str]:
    """Inputs of other content."""
    for one in diff.inputs:
        role = harmless(one.role, 80)
        old, new = _short(one.old_digest), _short(one.new_digest)
        if one.old_digest is None:
            yield f"  {role}: + {harmless(one.new_name or '')}, {new}"
        elif one.new_digest is None:
            yield f"  {role}: − {harmless(one.old_name or '')}, {old}"
        else:
            yield f"  {role}: {harmless(one.new_name or '')} has other content, {old} → {new}"


def _short(digest: str | None) -> str:
    return harmless(digest or "")[:12]


def plan_lines(diff: Diff) -> Iterator[str]:
    """Numbers and names of the plans that differ."""
    for count in diff.counts:
        old, new = ("none" if number is None else f"{number:,}" for number in (count.old, count.new))
        yield f"  {harmless(count.what)}: {old} → {new}"
    for names in diff.names:
        for sign, ones in (("+", names.added), ("−", names.removed)):
            if ones:
                yield f"  {harmless(names.what)}: {sign} {listed(ones)}"


def _stages(diff: Diff) -> Iterator[str]:
    if diff.stages:
        yield "  What changed reaches these stages, and all that follow them:"
    for one in diff.stages:
        yield f"  {one.stage}: {listed(one.because)}"


def _game(game: GameDiff, top: int | None) -> list[RenderableType]:
    parts: list[RenderableType] = [
        Text(harmless(f"{game.grouping} / {game.utility} / {game.proxy}"), "bold", no_wrap=True, overflow="ellipsis")
    ]
    for name, old, new in (("v(∅)", game.old_empty, game.new_empty), ("v(N)", game.old_full, game.new_full)):
        if significant(old) != significant(new):
            parts.append(Text(f"  {name}: {significant(old)} → {significant(new)}"))
    compared = plural(len(game.moves), "contributor")
    if not any(move.difference for move in game.moves):
        parts.append(Text(f"  {compared}, all with the same values"))
    else:
        pool = ", from the same images" if game.same_pool else ""
        parts.append(Text(f"  {game.moved:,} of {compared} moved beyond the {game.level:.0%} interval{pool}"))
        shown = game.moves[:top] if game.moved else game.moves[: min(top or FEW, FEW)]
        parts.append(_moves(shown))
        rest = len(game.moves) - len(shown)
        parts += [Text(f"  {plural(rest, 'contributor')} more, not shown")] if rest else []
    for sign, names in (("+", game.added), ("−", game.removed)):
        parts += [Text(f"  contributors: {sign} {listed(names)}")] if names else []
    return [*parts, *(Text(f"  Note: {harmless(note, 500)}") for note in game.notes)]


def _moves(moves: Sequence[Move]) -> Table:
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column(Text(""), no_wrap=True, width=1)
    grid.add_column(Text("Contributor"), min_width=11)
    for title in ("A", "B", "Change"):
        grid.add_column(Text(title), no_wrap=True, justify="right")
    grid.add_column(Text("Interval"), no_wrap=True, justify="right")
    grid.add_column(Text("Rank"), no_wrap=True)
    spec = on_one_scale(number for move in moves for number in (move.old, move.new, move.low, move.high))
    for move in moves:
        grid.add_row(
            Text("!" if move.beyond else ""),
            Text(harmless(move.name), no_wrap=True, overflow="ellipsis"),
            Text(format(move.old, spec)),
            Text(format(move.new, spec)),
            Text(f"{move.difference:+{spec}}"),
            Text(f"{move.low:{spec}} to {move.high:{spec}}"),
            Text(_rank(move)),
            style="bold" if move.beyond else "",
        )
    return grid


def _rank(move: Move) -> str:
    rank = str(move.new_rank) if move.old_rank == move.new_rank else f"{move.old_rank} → {move.new_rank}"
    return f"{rank} !" if move.ranks_apart else rank
