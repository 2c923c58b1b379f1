"""The published procedure: every coalition has images of its own, and only drawn coalitions have a value."""

from copy import copy

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Bools, Floats, Ints
from surrogateshap.games.finite import jackknife
from surrogateshap.games.membership import cell_weights, resample_groups
from surrogateshap.games.utilities import Utility

_CHUNK = 1 << 22
"""Numbers of summaries held at a time: 32 MiB."""


class FreshGame:
    """v(S) of M fixed coalitions, each measured on its own images, less the bias of their number (`games/finite.py`).

    `masks` is (M, n) and holds the grand coalition, and the empty one unless `empty_value` gives its value;
    `coalition_of_image` (N,) says which row of `masks` an image was generated for. `rows` (n,) are the contributors'
    training rows, which only the image bootstrap looks at. Raises ValueError where one of the two is missing or a
    coalition has no images.
    """

    def __init__(
        self,
        utility: Utility,
        masks: Bools,
        coalition_of_image: Ints,
        empty_value: float | None = None,
        rows: Ints | None = None,
    ) -> None:
        self.masks: Bools = np.asarray(masks, dtype=np.bool_)
        self.n, self.step = self.masks.shape[1], utility.step
        self.rows: Ints = np.ones(self.n, dtype=np.int64) if rows is None else rows
        self._coalition_of_image, self._empty_value = coalition_of_image, empty_value
        weights = self._weights(None)
        self._utility = utility.around(weights, apart=True)
        values = self._raw(weights)
        own = utility.own_pairs(coalition_of_image)
        if own is not None:
            values += weights.power(2) @ own
        if utility.curved:
            values = jackknife(values, lambda moved: self._raw(self._weights(moved)), coalition_of_image)
        self._keep(values)

    def _keep(self, values: Floats) -> None:
        self._values = dict(zip(map(bytes, np.packbits(self.masks, axis=1)), values, strict=True))
        if self._empty_value is not None:
            self._values[self._key(np.zeros(self.n, dtype=np.bool_))] = np.float64(self._empty_value)
        self.v_empty = float(self(np.zeros((1, self.n), dtype=np.bool_))[0])
        self.v_full = float(self(np.ones((1, self.n), dtype=np.bool_))[0])

    def values(self) -> Floats:
        """(M,): the value of each row of `masks`."""
        return self(self.masks)

    def __call__(self, masks: Bools) -> Floats:
        """Values (M',) of coalitions (M', n), all of which must be among `masks`; ValueError otherwise."""
        try:
            return np.array([self._values[self._key(mask)] for mask in np.asarray(masks, dtype=np.bool_)])
        except KeyError as error:
            raise ValueError("no images were generated for one of the coalitions") from error

    def resample(self, rng: np.random.Generator) -> Floats:
        """(N,) bootstrap weights of the images, coalition by coalition, for `resampled`."""
        return resample_groups(self._coalition_of_image, rng)

    def resampled(self, image_weights: Floats) -> "FreshGame":
        """The same game with the images weighted by (N,), and no bias taken off: for differences between such games."""
        other = copy(self)
        other._keep(self._raw(self._weights(image_weights)))
        return other

    @staticmethod
    def _key(mask: Bools) -> bytes:
        return bytes(np.packbits(mask))

    def _raw(self, weights: sp.csr_array) -> Floats:
        step = max(1, _CHUNK // weights.shape[1])
        parts = (weights[start : start + step] for start in range(0, weights.shape[0], step))
        return np.concatenate([self._utility.value(self._utility.summarise(part)) for part in parts])

    def _weights(self, image_weights: Floats | None) -> sp.csr_array:
        cells = len(self.masks)
        inside, total = cell_weights(self._coalition_of_image, cells, image_weights)
        if not total.all():
            raise ValueError(f"coalition {int(np.argmin(total))} has no images")
        images = np.arange(len(inside))
        return sp.csr_array((inside, (self._coalition_of_image, images)), shape=(cells, len(inside)))
