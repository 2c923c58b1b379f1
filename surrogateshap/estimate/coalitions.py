"""Which coalitions are evaluated."""

from collections.abc import Callable

import numpy as np

from surrogateshap.games.encoded import Bools, Floats, Ints

ValueFunction = Callable[[Bools], Floats]
"""Coalitions (M, n) to their values (M,)."""

_MOST_EXACT = 24
"""Contributors whose coalitions, all of them, still fit in memory."""


def all_masks(n: int) -> Bools:
    """Every coalition, (2**n, n): bit i of a row's index says whether contributor i is in. ValueError for n > 24."""
    if not 0 < n <= _MOST_EXACT:
        raise ValueError(f"all coalitions can be listed for 1 to {_MOST_EXACT} contributors, not for {n}")
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.bool_)


def draw_pairs(n: int, pairs: int, seed: int) -> Bools:
    """Coalitions drawn from the Shapley kernel, each followed by its complement: (2 * pairs, n), never ∅ or N.

    Sizes s have probability ∝ 1/(s (n − s)); members are uniform (Covert & Lee 2021, arXiv 2012.01536, section 4).
    A seeded prefix: fewer pairs are the first rows of more. Raises ValueError for n < 2.
    """
    if n < 2:
        raise ValueError("coalitions that are neither empty nor full need two contributors")
    sizes = np.arange(1, n)
    density = 1 / (sizes * (n - sizes))
    # One row of numbers per pair, so that more pairs only append.
    uniform = np.random.default_rng(seed).random((pairs, n + 1))
    drawn = 1 + np.searchsorted(np.cumsum(density)[:-1], uniform[:, 0] * density.sum(), side="right")
    place = uniform[:, 1:].argsort(axis=1).argsort(axis=1)
    members = place < drawn[:, None]
    return np.stack([members, ~members], axis=1).reshape(-1, n)


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
    if n > _MOST_EXACT or len(masks) < 2**n - 2:
        return None
    index = masks @ (1 << np.arange(n))
    times = np.bincount(index, minlength=2**n)
    if not times[1:-1].all():
        return None
    total = np.bincount(index, weights=values, minlength=2**n)
    every = total / np.maximum(times, 1)
    every[0], every[-1] = v_empty, v_full
    return np.asarray(every)
