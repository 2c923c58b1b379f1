"""What the grand coalition loses without each contributor; no Shapley value, and a baseline for one."""

import numpy as np

from surrogateshap.estimate.fit import CoalitionsError, Fit
from surrogateshap.games.encoded import Bools, Floats


def all_but_one(n: int) -> Bools:
    """(n, n): row i is N without i."""
    return np.asarray(~np.eye(n, dtype=np.bool_))


def fit_leave_one_out(masks: Bools, values: Floats, v_empty: float, v_full: float) -> Fit:
    """v(N) − v(N∖i), from the rows that lack one contributor; others are not used.

    Efficiency isn't imposed: the values say what is lost, not how v(N) − v(∅) is shared, and the gap says how far apart
    the two are. A row that is there several times is averaged. Raises CoalitionsError where one is missing.
    """
    n = masks.shape[1]
    if n == 1:
        return Fit(np.array([v_full - v_empty]), 0.0, None, 0, "leave_one_out")
    used = masks.sum(axis=1) == n - 1
    absent = (~masks[used]).argmax(axis=1)
    times = np.bincount(absent, minlength=n)
    if not times.all():
        missing = tuple(int(i) for i in np.flatnonzero(times == 0))
        raise CoalitionsError(
            "`leave_one_out` needs every coalition that lacks one contributor alone; "
            f"{len(missing)} of {n} are not there",
            "Use `surrogate` or `kernel`, which take any coalitions.",
            missing,
        )
    losses = v_full - np.bincount(absent, weights=values[used], minlength=n) / times
    gap = v_full - v_empty - float(losses.sum())
    return Fit(losses, gap, None, int(used.sum()), "leave_one_out")
