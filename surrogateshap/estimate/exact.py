"""Shapley values from the values of all coalitions."""

from math import comb

import numpy as np

from surrogateshap.estimate.fit import Fit, share_gap
from surrogateshap.games.encoded import Floats


def exact_shapley(values: Floats, n: int) -> Floats:
    """Shapley values (n,) from (2**n,) coalition values in the order of `all_masks`; (R, n) from (R, 2**n).

    φ_i = Σ_{S∌i} |S|! (n − |S| − 1)!/n! (v(S∪i) − v(S)) (Shapley 1953). Raises ValueError for another shape.
    """
    values = np.asarray(values, dtype=np.float64)
    if n < 1 or values.shape[-1] != 2**n:
        raise ValueError(f"{n} contributors have {2**n} coalitions, not {values.shape[-1]}")
    sizes = np.bitwise_count(np.arange(2**n))
    weight_of_size = np.array([1 / (n * comb(n - 1, s)) for s in range(n)] + [0.0])
    weights = weight_of_size[sizes]
    shapley = np.empty((*values.shape[:-1], n))
    for i in range(n):
        halves = values.reshape(*values.shape[:-1], -1, 2, 2**i)
        gains = halves[..., 1, :] - halves[..., 0, :]
        shapley[..., i] = (gains * weights.reshape(-1, 2, 2**i)[:, 0, :]).sum(axis=(-2, -1))
    return shapley


def fit_exact(values: Floats, n: int) -> Fit:
    """The exact Shapley values of (2**n,) coalition values; the efficiency gap is rounding alone."""
    shapley, gap = share_gap(exact_shapley(values, n), float(values[-1] - values[0]))
    return Fit(values=shapley, efficiency_gap=gap, cv_r2=None, coalitions=2**n, estimator="exact")
