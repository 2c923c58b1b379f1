"""From scores of training rows to scores of contributors."""

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats, Ints


def by_contributor(scores: Floats, of_row: Ints, n: int, distinct: Ints | None = None) -> Floats:
    """(Q, n): sums of scores (Q, R) over each contributor's rows.

    `of_row` holds each row's contributor. With `distinct`, scores are those of distinct rows, and it says which of
    them each row is. Contributors with equal rows get bit-equal sums.
    """
    column = np.arange(len(of_row)) if distinct is None else distinct
    rows = sp.csr_array((np.ones(len(of_row)), (of_row, column)), shape=(n, scores.shape[1]))
    rows.sum_duplicates()
    return np.asarray((rows @ np.asarray(scores, dtype=np.float64).T).T)
