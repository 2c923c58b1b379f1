"""Shares for payment, as results keep them."""

from collections.abc import Sequence

import numpy as np

from surrogateshap.estimate.payout import drawn_values, in_cents, normal_values, payout_shares, share_intervals
from surrogateshap.games.encoded import Floats
from surrogateshap.record.results import UNCORRECTED, GameResult, Payout, PayoutShare
from surrogateshap.spec.model import PayoutSection


def with_payout(
    game: GameResult,
    section: PayoutSection,
    seed: int,
    names: Sequence[str],
    image_draws: Floats | None = None,
    coalition_draws: Floats | None = None,
) -> GameResult:
    """The game with shares for payment by the rule of `estimate/payout.py`, or with a warning that says why not.

    Draws, (·, n) in the order of `names`, move all contributors' values together; without them the values' standard
    errors are taken for independent. Contributors that the game can't tell apart and that have as many rows are paid
    the same.
    """
    ranked = game.contributors
    at = {name: position for position, name in enumerate(names)}
    place = [at[one.name] for one in ranked]
    values = np.array([one.value for one in ranked])
    margin = values - np.array([one.low for one in ranked]) if section.bound == "low" else np.zeros(len(values))
    least = section.minimum / (section.amount or 1.0)
    alike = _alike(game)
    shares = payout_shares(values - margin, least, alike)
    warnings = list(game.warnings)
    if not shares.any():
        return game.model_copy(update={"warnings": (*warnings, _nobody(section, values - margin))})
    if image_draws is None and coalition_draws is None:
        sd = np.array([np.hypot(one.sd_images, one.sd_coalitions) for one in ranked])
        moved = normal_values(values, sd, seed)
    else:
        images = None if image_draws is None else image_draws[:, place]
        moved = drawn_values(values, images, None if coalition_draws is None else coalition_draws[:, place], seed)
    drawn = np.array([payout_shares(row - margin, least, alike) for row in moved])
    low, high = share_intervals(shares, drawn, game.level)
    cents = None if section.amount is None else in_cents(shares, round(section.amount * 100))
    if game.estimator in UNCORRECTED:
        warnings.append("The shares for payment rest on values that are no Shapley values.")
    rows = tuple(
        PayoutShare(
            name=one.name,
            share=float(shares[i]),
            low=float(low[i]),
            high=float(high[i]),
            amount=None if cents is None else int(cents[i]) / 100,
        )
        for i, one in enumerate(ranked)
    )
    return game.model_copy(update={"payout": Payout(rule=rule(section), shares=rows), "warnings": tuple(warnings)})


def rule(section: PayoutSection) -> str:
    """The rule in a sentence, as it is applied."""
    what = "values" if section.bound == "value" else "the lower ends of the values' intervals"
    least = ""
    if section.minimum:
        of = f" of {section.amount:,.2f}" if section.amount is not None else " of 1"
        minimum = f"{section.minimum:,.2f}" if section.amount is not None else f"{section.minimum:g}"
        least = f"; who would get less than {minimum}{of} gets nothing, the smallest first, for the others' benefit"
    return f"in proportion to {what}, negative ones counted as zero{least}"


def _alike(game: GameResult) -> list[list[int]]:
    """Positions in the ranking of contributors that must be paid the same."""
    at = {one.name: position for position, one in enumerate(game.contributors)}
    groups: dict[tuple[int, int | None], list[int]] = {}
    for number, names in enumerate(game.indistinguishable):
        for name in names:
            groups.setdefault((number, game.contributors[at[name]].rows), []).append(at[name])
    return [members for members in groups.values() if len(members) > 1]


def _nobody(section: PayoutSection, claims: Floats) -> str:
    if (claims > 0).any():
        return "No shares for payment: everyone's would be below `payout.minimum`."
    what = "value" if section.bound == "value" else "lower end of an interval"
    return f"No shares for payment: no {what} is above zero."
