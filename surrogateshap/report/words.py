"""What the table and Markdown say alike about a game."""

from surrogateshap.record.results import GameResult
from surrogateshap.units import plural, significant


def basis(game: GameResult) -> list[str]:
    """What the values rest on, in a line or two."""
    how = "exact" if game.estimator == "exact" else "surrogate"
    lines = [
        f"v(∅) {significant(game.v_empty)}, v(N) {significant(game.v_full)}; "
        f"{how}, {plural(game.coalitions, 'coalition')}, {plural(game.images, 'image')}"
    ]
    if game.surrogate is not None:
        lines.append(
            f"Surrogate: held-out R² {game.surrogate.cv_r2:.3f}, "
            f"efficiency gap {significant(game.efficiency_gap)} before correction"
        )
    return lines
