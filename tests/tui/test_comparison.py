"""Two runs side by side: who moved, and by more than the intervals."""

from canned import GAMES, NAMES, game_result, make_results
from surrogateshap_tui.comparison import compare


def test_who_moved_by_more_than_the_intervals() -> None:
    left = make_results()
    game = game_result(GAMES[0])
    first, *rest = game.contributors
    moved = first.model_copy(update={"value": first.value - 9, "low": first.low - 9, "high": first.high - 9})
    new = rest[-1].model_copy(update={"name": "newcomer"})
    right = left.model_copy(update={"games": (game.model_copy(update={"contributors": (*rest[:-1], new, moved)}),)})
    found = compare(left, right)
    (only,) = found.games
    assert only.game == GAMES[0]
    assert [move.name for move in only.moves if move.beyond] == [NAMES[0]]
    assert only.moves[0].name == NAMES[0]
    assert only.moves[0].interval[0] < -9 < only.moves[0].interval[1] < 0
    assert found.only_left == GAMES[1:]
    assert found.only_right == ()
    assert only.only_left == (NAMES[-1],)
    assert only.only_right == ("newcomer",)
