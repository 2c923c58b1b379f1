"""Two specs, plans, runs or records side by side: what changed, and whose values moved beyond their intervals."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from surrogateshap.plan.changes import InputChange, KeyChange, input_changes, key_changes
from surrogateshap.plan.differences import reached
from surrogateshap.plan.model import Plan, StageKind
from surrogateshap.record.results import ContributorResult, GameResult, Results
from surrogateshap.units import plural

SideKind = Literal["spec", "plan", "run", "record"]


class _Data(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


@dataclass(frozen=True)
class Side:
    """One of the two, as far as it is known."""

    kind: SideKind
    name: str
    """As it was named."""
    spec: Mapping[str, Any]
    """As resolved, as JSON."""
    plan: Plan | None = None
    results: Results | None = None
    contributors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By grouping; of results, those of their rankings."""
    conditions: Sequence[str] | None = None
    notes: tuple[str, ...] = ()


class SideInfo(_Data):
    """Which one it is."""

    kind: SideKind
    name: str
    run: str | None
    """None for a spec that wasn't planned, as `plan_id`."""
    plan_id: str | None
    fidelity: str | None
    """None where there are no results."""


class NamesChange(_Data):
    """Names that only one of the two has."""

    what: str
    """`contributors by artist`, `conditions`."""
    added: tuple[str, ...]
    removed: tuple[str, ...]


class CountChange(_Data):
    """A number of the plan that changed."""

    what: str
    """`contributors by artist`, `images of the prompt proxy`."""
    old: int | None
    """None where there is none, as `new`."""
    new: int | None


class StageReached(_Data):
    """The first stage that some changes matter to; those after it follow."""

    stage: StageKind
    because: tuple[str, ...]
    """Changed keys and inputs."""


class Move(_Data):
    """One contributor's value in both."""

    name: str
    old: float
    new: float
    difference: float
    low: float
    high: float
    """Interval for the difference."""
    beyond: bool
    """Whether it leaves out zero."""
    old_rank: int
    new_rank: int
    ranks_apart: bool
    """Whether the two intervals for the rank don't meet."""


class GameDiff(_Data):
    """One game in both."""

    grouping: str
    utility: str
    proxy: str
    old_empty: float
    new_empty: float
    old_full: float
    new_full: float
    level: float
    """Coverage of the intervals: the lower of the two games'."""
    same_pool: bool
    """Whether both rest on the same images."""
    moves: tuple[Move, ...]
    """Those beyond their intervals first, then by the size of the difference."""
    added: tuple[str, ...]
    """Contributors that only the second has."""
    removed: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether any number of the game does."""
        ends = self.old_empty != self.new_empty or self.old_full != self.new_full
        return ends or bool(self.added or self.removed) or any(move.difference for move in self.moves)

    @property
    def moved(self) -> int:
        """Contributors beyond their intervals."""
        return sum(move.beyond for move in self.moves)


class Diff(_Data):
    """All that differs."""

    old: SideInfo
    new: SideInfo
    differs: bool
    """Whether anything does that changes results, or results themselves do."""
    keys: tuple[KeyChange, ...]
    inputs: tuple[InputChange, ...]
    names: tuple[NamesChange, ...]
    counts: tuple[CountChange, ...]
    stages: tuple[StageReached, ...]
    games: tuple[GameDiff, ...]
    """Empty unless both have results."""
    games_added: tuple[str, ...]
    games_removed: tuple[str, ...]
    notes: tuple[str, ...]


def diff(old: Side, new: Side) -> Diff:
    """What changed from one to the other. Pure: the same for the same two."""
    files = [side.plan.inputs if side.plan else () for side in (old, new)]
    keys = key_changes(old.spec, new.spec, *files)
    both = old.plan is not None and new.plan is not None
    inputs = input_changes(*files) if both else ()
    names = tuple(_names(old, new))
    counts = tuple(_counts(old.plan, new.plan)) if old.plan and new.plan else ()
    changed = [change.key for change in keys if change.sort == "results"] + [change.role for change in inputs]
    games: tuple[GameDiff, ...] = ()
    labels: list[list[str]] = [[], []]
    if old.results is not None and new.results is not None:
        games, labels = _games(old, new, old.results, new.results, keys)
    return Diff(
        old=_info(old),
        new=_info(new),
        differs=bool(changed or names or counts or any(labels)) or any(game.differs for game in games),
        keys=keys,
        inputs=inputs,
        names=names,
        counts=counts,
        stages=tuple(StageReached(stage=stage, because=because) for stage, because in reached(changed).items()),
        games=games,
        games_removed=tuple(labels[0]),
        games_added=tuple(labels[1]),
        notes=(*old.notes, *new.notes),
    )


def _info(side: Side) -> SideInfo:
    run = side.plan.run if side.plan else side.results.run if side.results else None
    return SideInfo(
        kind=side.kind,
        name=side.name,
        run=run,
        plan_id=side.plan.plan_id if side.plan else None,
        fidelity=side.results.fidelity if side.results else None,
    )


def _names(old: Side, new: Side) -> Iterator[NamesChange]:
    pairs = [
        (f"contributors by {name}", names, new.contributors[name])
        for name, names in old.contributors.items()
        if name in new.contributors
    ]
    if old.conditions is not None and new.conditions is not None:
        pairs.append(("conditions", old.conditions, new.conditions))
    for what, before, after in pairs:
        known = set(before), set(after)
        added = tuple(name for name in after if name not in known[0])
        removed = tuple(name for name in before if name not in known[1])
        if added or removed:
            yield NamesChange(what=what, added=added, removed=removed)


def _counts(old: Plan, new: Plan) -> Iterator[CountChange]:
    before, after = dict(_numbers(old)), dict(_numbers(new))
    for what in dict.fromkeys((*before, *after)):
        if before.get(what) != after.get(what):
            yield CountChange(what=what, old=before.get(what), new=after.get(what))


def _numbers(plan: Plan) -> Iterator[tuple[str, int]]:
    for group in plan.groupings:
        yield f"contributors by {group.name}", group.contributors
        yield f"rows by {group.name}", group.rows
    for pool in plan.pools:
        yield f"images of the {pool.proxy} proxy", pool.images
        yield f"conditions of the {pool.proxy} proxy", pool.conditions_in_all or pool.conditions
    for game in plan.games:
        info = game.info
        yield f"coalitions of {info.grouping} / {info.utility} / {info.proxy}", game.coalitions


def _games(
    old: Side, new: Side, before: Results, after: Results, keys: Sequence[KeyChange]
) -> tuple[tuple[GameDiff, ...], list[list[str]]]:
    """Games of both, and labels of those that only the first has, and only the second."""
    first, second = ({_name(game): game for game in results.games} for results in (before, after))
    redefined = {
        change.key.partition("]")[0].removeprefix("utility[")
        for change in keys
        if change.sort == "results" and change.key.startswith("utility[")
    }
    found = []
    for name, game in first.items():
        if name in second:
            same = _pool(old, game.proxy) == _pool(new, game.proxy) != set()
            found.append(_game(game, second[name], same, game.utility in redefined))
    removed, added = (
        [" / ".join(name) for name in mine if name not in other] for mine, other in ((first, second), (second, first))
    )
    return tuple(found), [removed, added]


def _pool(side: Side, proxy: str) -> set[str]:
    """What tells a proxy's images from others."""
    return {pool.digest for pool in side.plan.pools if pool.proxy == proxy} if side.plan else set()


def _name(game: GameResult) -> tuple[str, str, str]:
    return game.grouping, game.utility, game.proxy


def _game(old: GameResult, new: GameResult, same_pool: bool, redefined: bool) -> GameDiff:
    before, after = ({one.name: one for one in game.contributors} for game in (old, new))
    moves = [_move(before[name], after[name]) for name in before if name in after]
    moves.sort(key=lambda move: (not move.beyond, -abs(move.difference), move.name))
    level = min(old.level, new.level)
    moved, chance = sum(move.beyond for move in moves), (1 - level) * len(moves)
    notes = []
    if redefined:
        notes.append(f"Utility {new.utility} is another one now: values may be in other units.")
    if old.level != new.level:
        notes.append(f"Intervals of {old.level:.0%} and of {new.level:.0%} are compared.")
    if set(before) != set(after):
        notes.append("Other contributors are in the game: everyone's value may move for that alone.")
    if moved:
        notes.append(
            f"Of {plural(len(moves), 'contributor')} about {chance:.1f} would be beyond by chance where nothing moved."
        )
    return GameDiff(
        grouping=new.grouping,
        utility=new.utility,
        proxy=new.proxy,
        old_empty=old.v_empty,
        new_empty=new.v_empty,
        old_full=old.v_full,
        new_full=new.v_full,
        level=level,
        same_pool=same_pool,
        moves=tuple(moves),
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        notes=tuple(notes),
    )


def _move(old: ContributorResult, new: ContributorResult) -> Move:
    """The difference with an interval from those of both values, as if these were independent.

    Square-and-add (MOVER; Zou and Donner 2008, section 2): each end moves by the root of the squared margins that lead
    there. Values from the same images err alike; the interval is then too wide rather than too narrow.
    """
    difference = new.value - old.value
    low = difference - math.hypot(new.value - new.low, old.high - old.value)
    high = difference + math.hypot(new.high - new.value, old.value - old.low)
    return Move(
        name=new.name,
        old=old.value,
        new=new.value,
        difference=difference,
        low=low,
        high=high,
        beyond=difference != 0 and not low <= 0 <= high,
        old_rank=old.rank,
        new_rank=new.rank,
        ranks_apart=old.rank_high < new.rank_low or new.rank_high < old.rank_low,
    )
