"""Which coalitions are evaluated."""

import numpy as np

from surrogateshap.games.encoded import Bools


def all_masks(n: int) -> Bools:
    """(2**n, n): every coalition of n contributors; bit i of a row's number says whether contributor i is in it."""
    return np.asarray((np.arange(2**n)[:, None] >> np.arange(n)) % 2 == 1)


def draw_pairs(n: int, pairs: int, seed: int) -> Bools:
    """(2 * pairs, n): coalitions S at even rows, N∖S at the odd row behind each; never ∅ and never N.

    Sizes follow the Shapley kernel, p(s) ∝ 1 / (s (n − s)), and members are drawn evenly given the size (Covert & Lee
    2021, paired sampling). A larger number of pairs with the same seed extends a smaller one. Raises ValueError where
    n < 2.
    """
    if n < 2:
        raise ValueError("a coalition that is neither empty nor whole needs at least two contributors")
    sizes = np.arange(1, n)
    cumulated = np.cumsum(1.0 / (sizes * (n - sizes)))
    size_draws, member_draws = (np.random.default_rng([seed, stream]) for stream in (0, 1))
    size = 1 + np.searchsorted(cumulated / cumulated[-1], size_draws.random(pairs), side="right").clip(max=n - 2)
    places = np.argsort(np.argsort(member_draws.random((pairs, n)), axis=1), axis=1)
    masks = np.empty((2 * pairs, n), np.bool_)
    masks[::2] = places < size[:, None]
    masks[1::2] = ~masks[::2]
    return masks
