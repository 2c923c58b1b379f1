"""What every utility does."""

import difflib
from collections.abc import Sequence
from typing import Protocol

import scipy.sparse as sp

from surrogateshap.games.encoded import Floats


class Utility(Protocol):
    """A number for a set of weighted images of one pool."""

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """Summaries (K, p) of K weightings (K, N) whose rows sum to 1; linear in the weights."""
        ...

    def value(self, summaries: Floats) -> Floats:
        """Utilities (M,) of M summaries (M, p)."""
        ...


def class_index(wanted: int | str, labels: Sequence[str]) -> int:
    """Index of a class given by index or by name. Raises ValueError, with the nearest name, where it doesn't exist."""
    if isinstance(wanted, int):
        if 0 <= wanted < len(labels):
            return wanted
        raise ValueError(f"class {wanted} doesn't exist: the classifier has classes 0 to {len(labels) - 1}")
    if wanted in labels:
        return list(labels).index(wanted)
    near = difflib.get_close_matches(wanted, labels, n=1)
    hint = (
        f"did you mean {near[0]!r}?"
        if near
        else f"it has {', '.join(map(repr, labels[:10]))}" + ", …" * (len(labels) > 10)
    )
    raise ValueError(f"the classifier has no class {wanted!r}; {hint}")
