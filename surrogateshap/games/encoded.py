"""What an encoder says of a pool's images."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Views = npt.NDArray[np.float32] | npt.NDArray[np.float64]
"""Features of images: in single precision as encoders give them, maybe mapped from a file and not to be written."""
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Moments:
    """A reference that is known by its features' moments alone."""

    mean: Floats
    """(d,)."""
    covariance: Floats
    """(d, d)."""


@dataclass(frozen=True)
class Encoded:
    """One encoder's view of N images. Raises ValueError where the arrays' shapes disagree."""

    features: Views
    """(N, d)."""
    probabilities: Floats
    """(N, k); rows sum to 1, or to the number of attributes. k is 0 for encoders without classes."""
    conditions: Ints
    """(N,): index of the class that the image was asked to show; -1 for none."""
    labels: tuple[str, ...]
    """Names of the k classes."""
    attributes: tuple[int, ...] = ()
    """(k,): which attribute each class belongs to, where they are several: each is a softmax of its own."""
    asked: Ints | None = None
    """(N,): position in `prompts` of what each image was asked to show; -1 for nothing. None where nobody needs it."""
    prompts: tuple[str, ...] = ()
    """The manifest's C conditions."""
    texts: Floats | None = None
    """(C, d): what the encoder says of the prompts, in the space of the features; None where nobody needs it."""
    own: Views | None = None
    """(N, d): features of a training image of the row that each image stands for; NaN for images that stand for none.
    None where nobody needs it."""

    def __post_init__(self) -> None:
        n = len(self.features)
        if self.features.ndim != 2 or n == 0:
            raise ValueError(f"features must be (N, d) with N > 0, not {self.features.shape}")
        if self.probabilities.shape != (n, len(self.labels)):
            wanted = (n, len(self.labels))
            raise ValueError(f"probabilities must be (images, classes) = {wanted}, not {self.probabilities.shape}")
        if self.conditions.shape != (n,):
            raise ValueError(f"conditions must be ({n},), not {self.conditions.shape}")
        for name, shape in self._optional():
            given = getattr(self, name)
            if given is not None and given.shape != shape:
                raise ValueError(f"{name} must be {shape}, not {given.shape}")
        if self.attributes and len(self.attributes) != len(self.labels):
            raise ValueError(f"{len(self.attributes)} attributes are given for {len(self.labels)} classes")
        if self.asked is not None and (self.asked.min() < -1 or self.asked.max() >= len(self.prompts)):
            raise ValueError(f"asked must be -1 or an index into the {len(self.prompts)} prompts")
        if self.conditions.min() < -1 or self.conditions.max() >= len(self.labels):
            raise ValueError(f"conditions must be -1 or an index into the classifier's {len(self.labels)} classes")

    def _optional(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        n, d = self.features.shape
        return ("asked", (n,)), ("texts", (len(self.prompts), d)), ("own", (n, d))
