"""Two runs side by side: who moved in the games that both have, and whether by more than the intervals. Pure."""

import math
from dataclasses import dataclass

from surrogateshap.events import GameInfo
from surrogateshap.record.results import ContributorResult, GameResult, Results


@dataclass(frozen=True)
class Move:
    """One contributor in both runs."""

    name: str
    left: ContributorResult
    right: ContributorResult

    @property
    def change(self) -> float:
        """By how much the value moved."""
        return self.right.value - self.left.value

    @property
    def interval(self) -> tuple[float, float]:
        """For the change, from the intervals of both values as if runs were independent (Zou & Donner 2008)."""
        left, right = self.left, self.right
        down = math.hypot(right.value - right.low, left.high - left.value)
        return self.change - down, self.change + math.hypot(right.high - right.value, left.value - left.low)

    @property
    def beyond(self) -> bool:
        """Whether the interval for the change leaves out zero."""
        low, high = self.interval
        return self.change != 0 and not low <= 0 <= high


@dataclass(frozen=True)
class GameComparison:
    """One game that both runs have."""

    game: GameInfo
    moves: tuple[Move, ...]
    """Those beyond the intervals first, then by the size of the change."""
    only_left: tuple[str, ...]
    only_right: tuple[str, ...]
    level: float
    """Coverage of the intervals: the lower of the two."""

    @property
    def beyond(self) -> int:
        """How many moved by more than the intervals."""
        return sum(move.beyond for move in self.moves)


@dataclass(frozen=True)
class Comparison:
    """All games of two runs."""

    games: tuple[GameComparison, ...]
    """That both have, in the order of the right run."""
    only_left: tuple[GameInfo, ...]
    only_right: tuple[GameInfo, ...]


def compare(left: Results, right: Results) -> Comparison:
    """All games of both."""
    before, now = ({_info(game): game for game in results.games} for results in (left, right))
    return Comparison(
        tuple(_compared(before[info], game) for info, game in now.items() if info in before),
        tuple(info for info in before if info not in now),
        tuple(info for info in now if info not in before),
    )


def _info(game: GameResult) -> GameInfo:
    return GameInfo(grouping=game.grouping, utility=game.utility, proxy=game.proxy)


def _compared(left: GameResult, right: GameResult) -> GameComparison:
    before = {row.name: row for row in left.contributors}
    now = {row.name for row in right.contributors}
    moves = [Move(row.name, before[row.name], row) for row in right.contributors if row.name in before]
    return GameComparison(
        _info(right),
        tuple(sorted(moves, key=lambda move: (not move.beyond, -abs(move.change)))),
        tuple(row.name for row in left.contributors if row.name not in now),
        tuple(row.name for row in right.contributors if row.name not in before),
        min(left.level, right.level),
    )
