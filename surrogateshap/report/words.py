"""What the table and Markdown say alike about a game."""

from collections.abc import Sequence
from itertools import groupby

from surrogateshap.record.fidelity import agreement
from surrogateshap.record.results import ContributorFlags, Fidelity, GameResult, Stopped
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
    return [
        f"Fidelity: {agreement(found)}",
        f"Calibration: {regression(found)}; proxy → retrained {curve}",
    ]


def regression(found: Fidelity) -> str:
    """`retrained ≈ 0.1 + 1.75 × proxy`."""
    sign = "+" if found.slope >= 0 else "−"
    return f"retrained ≈ {significant(found.intercept)} {sign} {significant(abs(found.slope))} × proxy"


MOST_PAIRS = 10
"""Interactions shown where nobody says how many."""


def paid(amount: float | None) -> str:
    """`1,234.50`; a dash where no amount is shared out."""
    return "–" if amount is None else f"{amount:,.2f}"


def notes(game: GameResult) -> list[str]:
    """What to know before the values are used; one harmless line each."""
    said = (*game.warnings, *(game.fidelity.notes if game.fidelity is not None else ()))
    return [f"Note: {harmless(warning, 1000)}" for warning in said]


def ending(one: Stopped) -> str:
    """How many images a pool came to, and why, in a line."""
    why = one.rule or "the budget was spent before a rule held"
    rounds, images = plural(one.rounds, "round"), f"{one.images:,} of at most {plural(one.at_most, 'image')}"
    return f"{harmless(one.proxy)} proxy: {images} in {rounds}; {harmless(why, 500)}."


def by_grouping(flags: Sequence[ContributorFlags]) -> list[tuple[str, tuple[ContributorFlags, ...]]]:
    """Flags with the grouping that they belong to; results hold those of one grouping together."""
    return [(grouping, tuple(ones)) for grouping, ones in groupby(flags, lambda one: one.grouping)]


def title(grouping: str) -> str:
    """Of a table of flags."""
    return f"{harmless(grouping, 64)}: denoising loss of own images, with conditions and without"


def remarks(one: ContributorFlags) -> str:
    """What stands out of a contributor, or why nothing can be said; harmless."""
    return "; ".join(f"! {harmless(flag)}" for flag in one.flags) or harmless(one.note)
