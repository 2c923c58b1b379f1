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

    Raises UnknownGameError where no game matches.
    """
    games = results.games
    if game is not None:
        games = tuple(one for one in games if game.casefold() in label(one).casefold())
        if not games:
            there = "; ".join(label(one) for one in results.games)
            raise UnknownGameError(f"no game matches “{harmless(game)}”", f"The games are: {there}")
    if top is not None:
        games = tuple(_cut(one, top) for one in games)
    return results.model_copy(update={"games": games})


def _cut(game: GameResult, top: int) -> GameResult:
    fidelity = game.fidelity
    if fidelity is not None and fidelity.closed is not None:
        closed = fidelity.closed.model_copy(update={"contributors": fidelity.closed.contributors[:top]})
        fidelity = fidelity.model_copy(update={"closed": closed})
    return game.model_copy(update={"contributors": game.contributors[:top], "fidelity": fidelity})
