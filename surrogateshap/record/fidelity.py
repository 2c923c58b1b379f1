"""Fidelity in words, the same in every output."""

from collections.abc import Sequence

from surrogateshap.record.results import Fidelity, GameResult, Measured
from surrogateshap.units import count, plural

NOT_MEASURED = "not measured"
FINE_TUNED = "fine-tuned anchors: biased in level"


def described(fidelities: Sequence[Fidelity | None]) -> str:
    """`measured on 80 anchors for 12 of 24 games`; one entry per game."""
    there = [one for one in fidelities if one is not None]
    if not there:
        return NOT_MEASURED
    least, most = min(one.anchors for one in there), max(one.anchors for one in there)
    anchors = plural(most, "anchor") if least == most else f"{count(least)} to {plural(most, 'anchor')}"
    games = f"for {count(len(there))} of {plural(len(fidelities), 'game')}"
    biased = any(one.kind == "fine_tuned" for one in there)
    return f"measured on {anchors} {games}" + (f" ({FINE_TUNED})" if biased else "")


def agreement(fidelity: Fidelity | None) -> str:
    """`v 0.92 [0.88, 0.95], LDS 0.81 [0.72, 0.88] on 80 anchors`."""
    if fidelity is None:
        return NOT_MEASURED
    said = f"v {measured(fidelity.spearman)}, LDS {measured(fidelity.lds)} on {plural(fidelity.anchors, 'anchor')}"
    return f"{said} ({FINE_TUNED})" if fidelity.kind == "fine_tuned" else said


def measured(number: Measured) -> str:
    """`0.92 [0.88, 0.95]`."""
    return f"{number.value:.2f} [{number.low:.2f}, {number.high:.2f}]"


def closed_game(game: GameResult) -> GameResult | None:
    """The retraining game as estimated from the anchors: the same game with that ranking; None where there is none."""
    closed = game.fidelity.closed if game.fidelity is not None else None
    if closed is None:
        return None
    rest = {"fidelity": None, "indistinguishable": (), "interactions": None, "payout": None, "warnings": ()}
    v_full = game.v_empty + sum(row.value for row in closed.contributors)
    return game.model_copy(update={"contributors": closed.contributors, "v_full": v_full, **rest})


def closed_title(game: GameResult) -> str:
    """`Retraining game, from 80 anchors: held-out R² 0.95 [0.90, 0.97] (proxy: 0.62)`."""
    closed = game.fidelity.closed if game.fidelity is not None else None
    if closed is None:
        return ""
    return (
        f"Retraining game, from {plural(closed.anchors, 'anchor')}: held-out R² {measured(closed.r2)} "
        f"(proxy: {closed.proxy_r2:.2f})"
    )
