"""From Shapley values to shares for payment.

The rule. A contributor's claim is its value, or the lower end of its interval, and nothing where that is negative.
Equal claims are made equal to the last digit. Shares are in proportion to claims and add up to 1. Where a least payment
is set, the contributors with the smallest claim leave, all of an equal claim together, until everyone who is left gets
at least that much: each leaving raises the others' shares in proportion, so that nobody loses a payment that the
leaving of somebody smaller would have lifted to the minimum. Every round takes somebody out, so it ends after n rounds
at most. Where no claim is positive, or none large enough, nobody is paid anything: an even split would say that all are
worth the same.
"""

from collections.abc import Sequence
from math import fsum

import numpy as np

from surrogateshap.games.encoded import Floats, Ints

_SAME = 1e-9
"""Of the largest claim: neighbours that differ by less are equal but for rounding."""
_DRAWS = 2_000


def payout_shares(values: Floats, minimum: float = 0.0, alike: Sequence[Sequence[int]] = ()) -> Floats:
    """Shares (n,) of 1 by the rule above, for claims (n,); zeros where nobody is paid.

    `alike` are sets of contributors that must get the same; each claims its mean. A claim of zero gets zero, more never
    gets less, and shares don't change with the claims' unit.
    """
    claim, of_contributor, times = np.unique(_claims(values, alike), return_inverse=True, return_counts=True)
    held = claim * times
    left = np.cumsum(held[::-1])[::-1]  # claims of those as large and larger
    kept = (claim > 0) & (claim >= minimum * (1 - 1e-12) * left)
    first = int(np.argmax(kept)) if kept.any() else len(claim)
    claim = np.where(np.arange(len(claim)) >= first, claim, 0.0)
    total = fsum(claim * times)
    return np.asarray((claim / total if total > 0 else claim)[of_contributor.reshape(-1)])


def share_intervals(shares: Floats, drawn: Floats, level: float) -> tuple[Floats, Floats]:
    """Lower and upper ends (n,) of coverage `level`: quantiles of drawn shares (R, n), made to hold `shares` itself."""
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, tail, axis=0), np.quantile(drawn, 1 - tail, axis=0)
    return np.minimum(low, shares), np.maximum(high, shares)


def drawn_values(values: Floats, image_draws: Floats | None, coalition_draws: Floats | None, seed: int) -> Floats:
    """(R, n): values as they might have come out, from image draws and coalition draws paired at random.

    Draws are (·, n), and their means don't matter. One row, the values themselves, where nothing could move them.
    """
    rng = np.random.default_rng(seed)
    moved = np.tile(values, (_DRAWS, 1))
    for draws in (image_draws, coalition_draws):
        if draws is not None:
            moved += (draws - draws.mean(axis=0))[rng.integers(len(draws), size=_DRAWS)]
    return moved


def normal_values(values: Floats, sd: Floats, seed: int) -> Floats:
    """(R, n): the same where draws aren't at hand, independent and normal with standard errors (n,)."""
    return np.asarray(values + sd * np.random.default_rng(seed).normal(size=(_DRAWS, len(values))))


def in_cents(shares: Floats, cents: int) -> Ints:
    """Whole cents (n,) that add up to `cents` where shares (n,) add up to 1: largest remainder (Hamilton).

    Everyone gets the whole cents of its part; those that are left go to the largest remainders, one each, the first
    contributors first where these are equal. Equal shares so differ by one cent at most. Zero shares get nothing.
    """
    if not shares.any():
        return np.zeros(len(shares), dtype=np.int64)
    exact = shares * cents
    # Up to 1e14 cents; what the product rounds upwards must not be given out twice.
    whole = np.floor(exact - 1e-15 * exact).astype(np.int64)
    paid = np.flatnonzero(shares > 0)
    left = cents - int(whole.sum())
    order = paid[np.argsort(-np.round((exact - whole)[paid], 6), kind="stable")]
    whole[order[:left]] += 1
    return whole


def _claims(values: Floats, alike: Sequence[Sequence[int]]) -> Floats:
    """(n,): claims as shares of the largest, 1; nothing negative, and equal ones equal to the last digit."""
    even = np.array(values, dtype=np.float64)
    for members in alike:
        even[list(members)] = even[list(members)].mean()
    largest = float(even.max(initial=0.0))
    if largest <= 0:
        return np.zeros_like(even)
    even = np.maximum(even, 0.0) / largest
    even[even <= _SAME] = 0.0
    order = np.argsort(even, kind="stable")
    run = np.concatenate([[0], np.cumsum(np.diff(even[order]) > _SAME)])
    times = np.bincount(run)
    mean = np.bincount(run, weights=even[order]) / times
    even[order] = np.where(times[run] > 1, mean[run], even[order])
    return even
