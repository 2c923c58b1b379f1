"""The published procedure: every coalition has images of its own, and only drawn coalitions have a value."""

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Bools, Floats, Ints
from surrogateshap.games.membership import cell_weights, resample_groups
from surrogateshap.games.utilities import Utility

_CHUNK = 1 << 22
"""Numbers of summaries held at a time: 32 MiB."""


class FreshGame:
    """v(S) of M fixed coalitions, each measured on its own images.

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
        image_weights: Floats | None = None,
        rows: Ints | None = None,
    ) -> None:
        self.masks: Bools = np.asarray(masks, dtype=np.bool_)
        self.n = self.masks.shape[1]
        self.rows: Ints = np.ones(self.n, dtype=np.int64) if rows is None else rows
        self._utility, self._coalition_of_image, self._empty_value = utility, coalition_of_image, empty_value
        weights = self._weights(image_weights)
        values = [utility.value(utility.summarise(part)) for part in self._parts(weights)]
        self._values = dict(zip(map(bytes, np.packbits(self.masks, axis=1)), np.concatenate(values), strict=True))
        if empty_value is not None:
            self._values[self._key(np.zeros(self.n, dtype=np.bool_))] = np.float64(empty_value)
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
        """(N,) bootstrap counts of the images, coalition by coalition, for `resampled`."""
        return resample_groups(self._coalition_of_image, rng)

    def resampled(self, image_weights: Floats) -> "FreshGame":
        """The same game with the images' bootstrap counts (N,) as weights."""
        return FreshGame(
            self._utility, self.masks, self._coalition_of_image, self._empty_value, image_weights, self.rows
        )

    @staticmethod
    def _key(mask: Bools) -> bytes:
        return bytes(np.packbits(mask))

    def _weights(self, image_weights: Floats | None) -> sp.csr_array:
        cells = len(self.masks)
        inside, total = cell_weights(self._coalition_of_image, cells, image_weights)
        if not total.all():
            raise ValueError(f"coalition {int(np.argmin(total))} has no images")
        images = np.arange(len(inside))
        return sp.csr_array((inside, (self._coalition_of_image, images)), shape=(cells, len(inside)))

    def _parts(self, weights: sp.csr_array) -> list[sp.csr_array]:
        step = max(1, _CHUNK // weights.shape[1])
        return [weights[start : start + step] for start in range(0, weights.shape[0], step)]
