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


def exact_interactions(values: Floats, n: int) -> Floats:
    """Pairwise Shapley interaction indices (n, n) from (2**n,) coalition values in the order of `all_masks`.

    I_ij = Σ_{S ∌ i,j} |S|! (n − |S| − 2)!/(n − 1)! (v(S∪ij) − v(S∪i) − v(S∪j) + v(S)) (Grabisch & Roubens 1999): the
    Shapley value of j in the game of i's marginal contributions. Symmetric, zeros on the diagonal. Raises ValueError
    for another shape.
    """
    values = np.asarray(values, dtype=np.float64)
    if n < 1 or values.shape != (2**n,):
        raise ValueError(f"{n} contributors have {2**n} coalitions, not {values.size}")
    found = np.zeros((n, n))
    for i in range(n if n > 1 else 0):
        halves = values.reshape(-1, 2, 2**i)
        found[i, np.arange(n) != i] = exact_shapley((halves[:, 1] - halves[:, 0]).reshape(-1), n - 1)
    return found


def fit_exact(values: Floats, n: int, *, interactions: bool = False) -> Fit:
    """The exact Shapley values of (2**n,) coalition values; the efficiency gap is rounding alone."""
    shapley, gap = share_gap(exact_shapley(values, n), float(values[-1] - values[0]))
    between = exact_interactions(values, n) if interactions else None
    return Fit(shapley, gap, None, 2**n, "exact", between)
