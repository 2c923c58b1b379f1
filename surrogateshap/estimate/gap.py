"""Closing the proxy gap: the retraining game as the proxy game plus a regularised model of the rest."""

from dataclasses import dataclass

import numpy as np

from surrogateshap.estimate.fidelity import complements, resample_anchors
from surrogateshap.estimate.owen import share_shapley
from surrogateshap.estimate.shares import ridge
from surrogateshap.games.encoded import Bools, Floats, Ints
from surrogateshap.games.membership import coalition_shares

LEAST = 8
_FOLDS = 10


@dataclass(frozen=True)
class Closing:
    """The retraining game as estimated from the proxy game and m anchors."""

    values: Floats
    """(n,): Shapley values of the corrected game."""
    draws: Floats
    """(Q, n): bootstrap over anchors, centred anywhere."""
    r2: float
    """Held-out (cross-validated) R² of the corrected game on the anchors."""
    r2_draws: Floats
    """(Q,)."""
    proxy_r2: float
    """Of the proxy's values as they are."""


def close_gap(
    masks: Bools, proxy: Floats, retrained: Floats, proxy_shapley: Floats, rows: Ints, seed: int = 0, draws: int = 100
) -> Closing | None:
    """The corrected game, from values (m,) of anchors (m, n), the proxy's Shapley values (n,) and row counts (n,).

    `retrained` − `proxy` is regressed on the contributors' shares of the rows, with a ridge penalty of least
    leave-one-out error; its constant is a jump at ∅, shared equally. None where there are fewer than 8 anchors.
    """
    if len(masks) < LEAST:
        return None
    shares, rest = coalition_shares(masks, rows), retrained - proxy
    basis = share_shapley(rows)

    def correction(some: Ints) -> Floats:
        jump, slopes = ridge(shares[some], rest[some, None])
        return np.asarray(basis @ slopes[:, 0] + jump[0] / len(rows))

    _, groups = np.unique(complements(masks), return_inverse=True)
    fold = np.random.default_rng(seed).permutation(groups.max() + 1)[groups] % min(_FOLDS, groups.max() + 1)
    predicted = np.empty(len(masks))
    for out in (fold == number for number in range(fold.max() + 1)):
        jump, slopes = ridge(shares[~out], rest[~out, None])
        predicted[out] = proxy[out] + jump[0] + shares[out] @ slopes[:, 0]
    anchors = np.arange(len(masks))
    resampled = [np.repeat(anchors, times) for times in resample_anchors(masks, draws, seed)]
    return Closing(
        values=proxy_shapley + correction(anchors),
        draws=proxy_shapley + np.array([correction(some) for some in resampled]),
        r2=_r2(retrained, predicted),
        r2_draws=np.array([_r2(retrained[some], predicted[some]) for some in resampled if np.ptp(retrained[some]) > 0]),
        proxy_r2=_r2(retrained, proxy),
    )


def _r2(truth: Floats, predicted: Floats) -> float:
    return float(1 - ((truth - predicted) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
