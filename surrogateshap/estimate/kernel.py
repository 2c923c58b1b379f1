"""KernelSHAP: Shapley values by constrained least squares."""

import numpy as np

from surrogateshap.estimate.fit import Fit
from surrogateshap.games.encoded import Bools, Floats


def kernel_shapley(
    masks: Bools, values: Floats, v_empty: Floats | float, v_full: Floats | float, weights: Floats | None = None
) -> Floats:
    """Least squares of v(S) − v(∅) on membership with Σφ = v(N) − v(∅); rows count by `weights` (M,), or the same.

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
    if weights is not None:
        root = np.sqrt(weights)
        centred, rest = centred * root[:, None], rest * root
    deviations = np.linalg.lstsq(centred, rest.reshape(-1, len(masks)).T, rcond=None)[0].T if len(masks) else 0.0
    shapley = np.broadcast_to(total / n, (*values.shape[:-1], n)) + np.reshape(deviations, (*values.shape[:-1], -1))
    return np.asarray(shapley + (total - shapley.sum(axis=-1, keepdims=True)) / n)


def fit_kernel(masks: Bools, values: Floats, v_empty: float, v_full: float) -> Fit:
    """The same from coalitions of any sizes: each size counts as much as in the Shapley kernel, 1/(s (n − s)).

    All coalitions then give exact values, and draws from the kernel lose the accident of how often a size was drawn.
    There is no gap: efficiency is a constraint.
    """
    n, sizes = masks.shape[1], masks.sum(axis=1)
    weights = 1 / (sizes * (n - sizes) * np.bincount(sizes, minlength=n + 1)[sizes])
    shapley = kernel_shapley(masks, values, v_empty, v_full, weights)
    return Fit(shapley, 0.0, None, len(masks), "kernel")
