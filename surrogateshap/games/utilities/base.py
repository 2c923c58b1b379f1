"""What every utility does."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Floats, Ints, Views
from surrogateshap.games.spill import LARGE, release

BLOCK = 1 << 22
"""Numbers of a matrix between images held at a time: 32 MiB."""


class Utility(Protocol):
    """A number for a set of weighted images of one pool."""

    curved: bool = False
    """Whether a finite pool biases it so that games have to correct it by leaving images out."""
    step: float = 0.3
    """How far from the pool's own weights its resamples go. A short way gives the variance of the linearised utility,
    which a whole bootstrap step overstates where a small pool's curvature counts; 1 for utilities with jumps."""

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """Summaries (K, p) of K weightings (K, N) whose rows sum to 1; linear in the weights."""
        ...

    def value(self, summaries: Floats) -> Floats:
        """Utilities (M,) of M summaries (M, p)."""
        ...

    def around(self, weights: sp.csr_array, *, apart: bool = False) -> "Utility":
        """The same utility for mixtures of these weightings (K, N), and to first order for others near them.

        `apart`: for each of them alone; then no image has a weight in two.
        """
        return self

    def own_pairs(self, groups: Ints) -> Floats | None:
        """By how much, per squared weight, each image (N,) lowers the utility by being paired with itself.

        Independent draws never are the same image, so games add Σ_x w_x² times this, which makes a quadratic utility
        unbiased. It is estimated within `groups` (N,) of images of one distribution, and 0 for an image alone there.
        None where the utility isn't quadratic.
        """
        return None

    def width(self, summaries: Floats) -> int:
        """How many numbers `mixtures` holds for each mixture of summaries (K, p)."""
        return int(summaries.shape[1])

    def mixtures(self, shares: Floats, summaries: Floats) -> Floats:
        """Utilities (M,) of mixtures, with shares (M, K), of K summaries (K, p)."""
        return self.value(mix(shares, summaries))


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


def mixed(weights: sp.csr_array | Floats, terms: sp.csr_array) -> Floats:
    """(K, p): weighted sums of the images' sparse terms (N, p)."""
    return np.asarray((sp.csr_array(weights) @ terms).toarray())


def double(features: Views, images: slice | Ints) -> Floats:
    """(m, d): the features of some images in double precision."""
    return np.asarray(features[images], dtype=np.float64)


def rows(features: Views) -> Iterator[tuple[slice, Floats]]:
    """Features (N, d) in double precision, in blocks of images."""
    for part in blocks(*features.shape):
        yield part, double(features, part)
    release(features)


def weighted(
    weights: sp.csr_array | Floats, features: Views, terms: Callable[[Floats], Floats], columns: int
) -> Floats:
    """(K, columns): weighted sums of what `terms` makes of the images, block by block of features (N, d)."""
    of_image = sp.csc_array(weights) if sp.issparse(weights) else np.asarray(weights)
    out = np.zeros((of_image.shape[0], columns))
    for part, some in rows(features):
        out += of_image[:, part] @ terms(some)
    return out


def mean_of(features: Views) -> Floats:
    """(d,)."""
    return np.asarray(sum(some.sum(axis=0) for _, some in rows(features)) / len(features))


def mix(shares: Floats, summaries: Floats) -> Floats:
    """(M, p): mixtures, with shares (M, K), of summaries (K, p), some of which at a time where they lie in a file."""
    if summaries.nbytes < LARGE:
        return np.asarray(shares @ summaries)
    out = np.zeros((len(shares), summaries.shape[1]))
    for part in blocks(*summaries.shape):
        out += shares[:, part] @ summaries[part]
        release(summaries)
    return out


def unit(features: Floats) -> Floats:
    """Features (N, d) scaled to length 1; zeros stay zeros."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(np.divide(features, length, out=np.zeros_like(features), where=length > 0))


def squared_distances(x: Views, y: Views) -> Floats:
    """(len(x), len(y)): squared Euclidean distances of features, not negative."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    found = x @ y.T
    found *= -2
    found += (x**2).sum(axis=1)[:, None]
    found += (y**2).sum(axis=1)
    return np.maximum(found, 0.0, out=found)


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of the rows of a (rows, width) matrix, each of 32 MiB at most."""
    step = max(1, BLOCK // max(1, width))
    return (slice(start, start + step) for start in range(0, rows, step))
