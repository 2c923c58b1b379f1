"""Which coalitions are evaluated."""

import numpy as np

from surrogateshap.games.encoded import Bools
from surrogateshap.spec.model import EstimatorName

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


def draw_orderings(n: int, coalitions: int, seed: int) -> Bools:
    """Coalitions (M, n), ∅ and N left out, that uniform orderings pass through, each followed by its reverse's.

    An ordering takes n − 1 rows, one contributor more in each; M is the largest even number of orderings in
    `coalitions`, and at least one pair. Antithetic sampling as in Mitchell et al. 2022 (JMLR 23(43)), section 4.1. A
    seeded prefix. Raises ValueError for n < 2.
    """
    if n < 2:
        raise ValueError("orderings of coalitions that are neither empty nor full need two contributors")
    pairs = max(1, coalitions // (2 * (n - 1)))
    place = np.random.default_rng(seed).random((pairs, n)).argsort(axis=1).argsort(axis=1)
    both = np.stack([place, n - 1 - place], axis=1).reshape(-1, 1, n)
    return np.asarray((both < np.arange(1, n)[:, None]).reshape(-1, n))


def all_but_one(n: int) -> Bools:
    """(n, n): row i is N without i."""
    return np.asarray(~np.eye(n, dtype=np.bool_))


def draw_coalitions(estimator: EstimatorName, n: int, coalitions: int, seed: int) -> Bools:
    """The coalitions (M, n), ∅ and N left out, that an estimator works on; `coalitions` is at most about how many.

    `exact` takes all and `leave_one_out` n of them, whatever is asked; the others' are seeded prefixes. None at all for
    one contributor.
    """
    if n == 1:
        return np.zeros((0, 1), dtype=np.bool_)
    match estimator:
        case "exact":
            return all_masks(n)[1:-1]
        case "leave_one_out":
            return all_but_one(n)
        case "permutation":
            return draw_orderings(n, coalitions, seed)
        case "surrogate" | "kernel" | "surrogateshap_paper":
            return draw_pairs(n, coalitions // 2, seed)


def coalitions_drawn(estimator: EstimatorName, n: int, coalitions: int) -> int:
    """M of `draw_coalitions`, without drawing any."""
    if n == 1:
        return 0
    match estimator:
        case "exact":
            return int(2**n - 2)
        case "leave_one_out":
            return n
        case "permutation":
            return max(1, coalitions // (2 * (n - 1))) * 2 * (n - 1)
        case "surrogate" | "kernel" | "surrogateshap_paper":
            return coalitions // 2 * 2
