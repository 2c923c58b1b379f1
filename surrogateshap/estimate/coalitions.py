"""Coalitions as an estimator gets them: in pairs, or all there are."""

from collections.abc import Callable

import numpy as np

from surrogateshap.games.coalitions import MOST_EXACT
from surrogateshap.games.encoded import Bools, Floats, Ints

ValueFunction = Callable[[Bools], Floats]
"""Coalitions (M, n) to their values (M,)."""


def pair_groups(masks: Bools) -> Ints:
    """(M,): a number for each row that complementary neighbours share; one per row where rows aren't in pairs."""
    if len(masks) % 2 == 0 and (masks[0::2] != masks[1::2]).all():
        return np.arange(len(masks)) // 2
    return np.arange(len(masks))


def coalition_values(masks: Bools, values: Floats, v_empty: float, v_full: float) -> Floats | None:
    """(2**n,) values in the order of `all_masks` where M rows hold every coalition but ∅ and N; None otherwise.

    Values of a coalition that was drawn several times are averaged.
    """
    n = masks.shape[1]
    if n > MOST_EXACT or len(masks) < 2**n - 2:
        return None
    index = masks @ (1 << np.arange(n))
    times = np.bincount(index, minlength=2**n)
    if not times[1:-1].all():
        return None
    total = np.bincount(index, weights=values, minlength=2**n)
    every = total / np.maximum(times, 1)
    every[0], every[-1] = v_empty, v_full
    return np.asarray(every)
