"""Mean marginal contributions over orderings, each with its reverse."""

import numpy as np

from surrogateshap.estimate.fit import CoalitionsError, Fit
from surrogateshap.games.encoded import Bools, Floats


def marginal_gains(masks: Bools, values: Floats, v_empty: float, v_full: float) -> Floats:
    """Each contributor's gain in each ordering, (orderings, n), from rows as `draw_orderings` makes them.

    Raises CoalitionsError where the rows are not whole orderings one after another.
    """
    n = masks.shape[1]
    if n == 1:
        return np.array([[v_full - v_empty]])
    if len(masks) == 0 or len(masks) % (n - 1):
        raise _no_orderings(n)
    inner = masks.reshape(-1, n - 1, n)
    ends = np.zeros((len(inner), 1, n), dtype=np.bool_)
    chains = np.concatenate([ends, inner, ~ends], axis=1)
    joined = chains[:, 1:] & ~chains[:, :-1]
    if (chains[:, :-1] & ~chains[:, 1:]).any() or (joined.sum(axis=2) != 1).any():
        raise _no_orderings(n)
    level = values.reshape(-1, n - 1)
    steps = np.diff(level, axis=1, prepend=v_empty, append=v_full)
    gains = np.empty((len(inner), n))
    np.put_along_axis(gains, joined.argmax(axis=2), steps, axis=1)
    return gains


def fit_permutation(masks: Bools, values: Floats, v_empty: float, v_full: float) -> Fit:
    """Mean gains; efficient without correction, because every ordering is. Raises as `marginal_gains` does."""
    gains = marginal_gains(masks, values, v_empty, v_full)
    return Fit(gains.mean(axis=0), 0.0, None, len(masks), "permutation")


def _no_orderings(n: int) -> CoalitionsError:
    return CoalitionsError(
        f"`permutation` needs whole orderings: {n - 1} coalitions in a row, each with one contributor more",
        "Use `surrogate` or `kernel`, which take any coalitions.",
    )
