"""What the table and Markdown say alike about a game."""

from surrogateshap.record.fidelity import agreement
from surrogateshap.record.results import GameResult
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
    return lines + fidelity_lines(game)


def fidelity_lines(game: GameResult) -> list[str]:
    """Agreement with anchors and the calibration curve; empty where fidelity was not measured."""
    found = game.fidelity
    if found is None:
        return []
    curve = ", ".join(f"{significant(part.proxy)} → {significant(part.retrained)}" for part in found.calibration)
    sign = "+" if found.slope >= 0 else "−"
    return [
        f"Fidelity: {agreement(found)}",
        f"Calibration: retrained ≈ {significant(found.intercept)} {sign} {significant(abs(found.slope))} × proxy; "
        f"proxy → retrained {curve}",
    ]


def notes(game: GameResult) -> list[str]:
    """What to know before the values are used; one harmless line each."""
    said = (*game.warnings, *(game.fidelity.notes if game.fidelity is not None else ()))
    return [f"Note: {harmless(warning, 1000)}" for warning in said]
