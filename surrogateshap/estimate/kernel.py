"""KernelSHAP: Shapley values by constrained least squares."""

import numpy as np

from surrogateshap.estimate.fit import Fit
from surrogateshap.games.encoded import Bools, Floats


def kernel_shapley(masks: Bools, values: Floats, v_empty: Floats | float, v_full: Floats | float) -> Floats:
    """Least squares of v(S) − v(∅) on membership with Σφ = v(N) − v(∅); every row counts the same.

    For coalitions (M, n) drawn from the Shapley kernel, as `draw_pairs` does (Covert & Lee 2021, arXiv 2012.01536).
    `values` is (M,), or (R, M) with (R,) or scalar `v_empty` and `v_full`; returns (n,) or (R, n). Where coalitions
    are too few the smallest solution is taken.
    """
    n = masks.shape[1]
    values = np.asarray(values, dtype=np.float64)
    total = np.asarray(np.asarray(v_full) - np.asarray(v_empty), dtype=np.float64)[..., None]
    sizes = masks.sum(axis=1)
    rest = values - np.asarray(v_empty)[..., None] - sizes * total / n
    # Every row is orthogonal to (1, …, 1), so the smallest solution sums to zero and the constraint holds.
    centred = masks - sizes[:, None] / n
    deviations = np.linalg.lstsq(centred, rest.reshape(-1, len(masks)).T, rcond=None)[0].T if len(masks) else 0.0
    shapley = np.broadcast_to(total / n, (*values.shape[:-1], n)) + np.reshape(deviations, (*values.shape[:-1], -1))
    return np.asarray(shapley + (total - shapley.sum(axis=-1, keepdims=True)) / n)


def fit_kernel(masks: Bools, values: Floats, v_empty: float, v_full: float) -> Fit:
    """The same with what there is to say of it. There is no gap: efficiency is a constraint."""
    return Fit(kernel_shapley(masks, values, v_empty, v_full), 0.0, None, len(masks), "kernel")
