"""Two runs side by side: who moved in the games that both have, and whether by more than the intervals. Pure."""

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
    def apart(self) -> bool:
        """Whether the two intervals have nothing in common."""
        return self.left.high < self.right.low or self.right.high < self.left.low


@dataclass(frozen=True)
class GameComparison:
    """One game that both runs have."""

    game: GameInfo
    moves: tuple[Move, ...]
    """In the order of the right run's ranking."""
    only_left: tuple[str, ...]
    only_right: tuple[str, ...]


def compare(left: Results, right: Results) -> tuple[GameComparison, ...]:
    """All games that both have, in the order of the right run."""
    known = {_info(game): game for game in left.games}
    return tuple(_compared(known[_info(game)], game) for game in right.games if _info(game) in known)


def _info(game: GameResult) -> GameInfo:
    return GameInfo(grouping=game.grouping, utility=game.utility, proxy=game.proxy)


def _compared(left: GameResult, right: GameResult) -> GameComparison:
    before = {row.name: row for row in left.contributors}
    now = {row.name for row in right.contributors}
    return GameComparison(
        _info(right),
        tuple(Move(row.name, before[row.name], row) for row in right.contributors if row.name in before),
        tuple(row.name for row in left.contributors if row.name not in now),
        tuple(row.name for row in right.contributors if row.name not in before),
    )
