"""The part of a mixture game that needs no sampling: its regression on contributors' shares of the rows."""

import numpy as np

from surrogateshap.estimate.owen import share_shapley
from surrogateshap.games.encoded import Bools, Floats, Ints
from surrogateshap.games.membership import coalition_shares

_PENALTIES = np.logspace(-7, 2, 19)
"""Ridge penalties tried, as shares of the number of rows; features have unit variance."""


def share_features(masks: Bools, rows: Ints) -> Floats:
    """(M, 2n): shares of the rows, then membership."""
    return np.hstack([coalition_shares(masks, rows), masks.astype(np.float64)])


def ridge(features: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Intercepts (R,) and coefficients (p, R) of a ridge regression of targets (M, R) on features (M, p).

    The penalty is the one with the least leave-one-out error over all targets together.
    """
    centre, scale = features.mean(axis=0), features.std(axis=0)
    standard = np.divide(features - centre, scale, out=np.zeros_like(features), where=scale > 1e-12)
    mean = targets.mean(axis=0)
    spectrum, basis = np.linalg.eigh(standard.T @ standard)
    spectrum = np.maximum(spectrum, 0.0)
    scores = standard @ basis
    moments = scores.T @ (targets - mean)
    best, kept = np.inf, np.zeros_like(moments)
    for penalty in _PENALTIES * len(features):
        shrunk = moments / (spectrum + penalty)[:, None]
        leverage = (scores**2) @ (1 / (spectrum + penalty)) + 1 / len(features)
        left_out = (targets - mean - scores @ shrunk) / np.maximum(1 - leverage, 1e-9)[:, None]
        error = float((left_out**2).mean())
        if error < best:
            best, kept = error, shrunk
    coefficients = np.divide(basis @ kept, scale[:, None], out=np.zeros_like(kept), where=scale[:, None] > 1e-12)
    return mean - centre @ coefficients, coefficients


def linear_shapley(coefficients: Floats, rows: Ints, basis: Floats | None = None) -> Floats:
    """Shapley values (n, R) of the fitted combinations of share and membership games, given (2n, R) coefficients.

    `basis` is `share_shapley(rows)`, where the caller has it.
    """
    n = len(rows)
    known = share_shapley(rows) if basis is None else basis
    return np.asarray(known @ coefficients[:n] + coefficients[n:])
