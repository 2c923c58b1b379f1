"""Banzhaf values: mean marginal contributions where every coalition is equally likely."""

import numpy as np

from surrogateshap.estimate.coalitions import ValueFunction
from surrogateshap.games.coalitions import MOST_EXACT, all_masks
from surrogateshap.games.encoded import Floats


def banzhaf(game: ValueFunction, n: int, coalitions: int, seed: int) -> Floats:
    """Banzhaf values (n,): exact where 2^n coalitions are allowed, else by maximum sample reuse.

    β_i = mean of v(S) over coalitions with i, less that over coalitions without (Wang & Jia 2023, Data Banzhaf,
    arXiv 2205.15466, section 4.2). Half of the coalitions are drawn, the others are their complements.
    """
    if n <= MOST_EXACT and 2**n <= coalitions:
        masks = all_masks(n)
    else:
        drawn = np.random.default_rng(seed).random((max(1, coalitions // 2), n)) < 0.5
        masks = np.concatenate([drawn, ~drawn])  # so that each contributor is in half of them
    values = np.asarray(game(masks), dtype=np.float64)
    return np.asarray((masks.T @ values - (~masks).T @ values) / (len(masks) / 2))
