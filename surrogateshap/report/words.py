"""What the table and Markdown say alike about a game."""

from surrogateshap.record.results import GameResult, Stopped
from surrogateshap.text import harmless
from surrogateshap.units import plural, significant


def basis(game: GameResult) -> list[str]:
    """What the values rest on, in a line or two."""
    images = f", {plural(game.images, 'image')}" if game.images else ""
    lines = [
        f"v(∅) {significant(game.v_empty)}, v(N) {significant(game.v_full)}; "
        f"{game.estimator}, {plural(game.coalitions, 'coalition')}{images}"
    ]
    if game.surrogate is not None:
        lines.append(
            f"Surrogate: held-out R² {game.surrogate.cv_r2:.3f}, "
            f"efficiency gap {significant(game.efficiency_gap)} before correction"
        )
    return lines


MOST_PAIRS = 10
"""Interactions shown where nobody says how many."""


def paid(amount: float | None) -> str:
    """`1,234.50`; a dash where no amount is shared out."""
    return "–" if amount is None else f"{amount:,.2f}"


def notes(game: GameResult) -> list[str]:
    """What to know before the values are used; one harmless line each."""
    return [f"Note: {harmless(warning, 1000)}" for warning in game.warnings]


def ending(one: Stopped) -> str:
    """How many images a pool came to, and why, in a line."""
    why = one.rule or "the budget was spent before a rule held"
    rounds, images = plural(one.rounds, "round"), f"{one.images:,} of at most {plural(one.at_most, 'image')}"
    return f"{harmless(one.proxy)} proxy: {images} in {rounds}; {harmless(why, 500)}."
