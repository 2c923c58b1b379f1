"""Which coalitions are evaluated."""

import numpy as np

from surrogateshap.games.encoded import Bools

MOST_EXACT = 24
"""Contributors whose coalitions, all of them, still fit in memory."""


def all_masks(n: int) -> Bools:
    """Every coalition, (2**n, n): bit i of a row's index says whether contributor i is in. ValueError for n > 24."""
    if not 0 < n <= MOST_EXACT:
        raise ValueError(f"all coalitions can be listed for 1 to {MOST_EXACT} contributors, not for {n}")
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
