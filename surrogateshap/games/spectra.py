"""Eigenvalues of many symmetric matrices, by numpy or by whatever is given for large ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from surrogateshap.games.encoded import Floats

Solver = Callable[[Floats], Floats]
"""From matrices (M, d, d) to their eigenvalues (M, d), ascending."""
_LARGE: ContextVar[tuple[Solver, int] | None] = ContextVar("large", default=None)


def eigvalsh(matrices: Floats) -> Floats:
    """(M, d) of symmetric matrices (M, d, d), ascending."""
    large = _LARGE.get()
    if large is not None and matrices.shape[-1] >= large[1]:
        return large[0](matrices)
    return np.asarray(np.linalg.eigvalsh(matrices))


@contextmanager
def solved_by(solver: Solver, least: int) -> Iterator[None]:
    """Inside, `solver` has the matrices of `least` rows or more."""
    before = _LARGE.set((solver, least))
    try:
        yield
    finally:
        _LARGE.reset(before)
