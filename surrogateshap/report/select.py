"""Which part of the results is shown, in every format alike."""

from surrogateshap.errors import SurrogateShapError
from surrogateshap.record.results import GameResult, Results
from surrogateshap.text import harmless


class UnknownGameError(SurrogateShapError):
    """No game of the results matches."""


def label(game: GameResult) -> str:
    """`grouping / utility / proxy`, harmlessly."""
    return harmless(f"{game.grouping} / {game.utility} / {game.proxy}")


def select(results: Results, *, game: str | None = None, top: int | None = None) -> Results:
    """The games whose label `grouping / utility / proxy` contains `game`, in any case, each with its `top` first ranks.

    Flags stay where a game of their grouping does.
    Raises UnknownGameError where no game matches.
    """
    games = results.games
    if game is not None:
        games = tuple(one for one in games if game.casefold() in label(one).casefold())
        if not games:
            there = "; ".join(label(one) for one in results.games)
            raise UnknownGameError(f"no game matches “{harmless(game)}”", f"The games are: {there}")
    if top is not None:
        games = tuple(first_ranks(one, top) for one in games)
    groupings = {one.grouping for one in games}
    flags = tuple(one for one in results.flags if one.grouping in groupings)
    return results.model_copy(update={"games": games, "flags": flags})


def first_ranks(game: GameResult, top: int | None) -> GameResult:
    """The game with its `top` first contributors, and what is paid to them."""
    payout = game.payout and game.payout.model_copy(update={"shares": game.payout.shares[:top]})
    fidelity = game.fidelity
    if fidelity is not None and fidelity.closed is not None:
        closed = fidelity.closed.model_copy(update={"contributors": fidelity.closed.contributors[:top]})
        fidelity = fidelity.model_copy(update={"closed": closed})
    return game.model_copy(update={"contributors": game.contributors[:top], "payout": payout, "fidelity": fidelity})
