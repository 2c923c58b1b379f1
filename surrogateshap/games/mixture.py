"""The game on a pool: a coalition's images are a mixture of its contributors', with weights by row count."""

import numpy as np

from surrogateshap.games.encoded import Bools, Floats
from surrogateshap.games.membership import Membership, coalition_shares
from surrogateshap.games.utilities import Utility

_CHUNK = 1 << 22
"""Numbers of summaries held at a time: 32 MiB."""


class MixtureGame:
    """v(S) = F(Σ_i n_i / N_S T_i): summaries T_i per contributor, linear in the images' weights; no new images.

    The mixture identity p_S = Σ_{i∈S} (n_i / N_S) p_i makes this equal to the utility of S's weighted images.
    `empty_value` is v(∅); where it is None the images of the membership's empty cell give it. Raises ValueError where
    a contributor, or the empty coalition, has no images.
    """

    masks: None = None
    """Every coalition has a value."""

    def __init__(
        self,
        utility: Utility,
        membership: Membership,
        empty_value: float | None = None,
        image_weights: Floats | None = None,
    ) -> None:
        self._utility, self._membership, self._empty_value = utility, membership, empty_value
        self._summaries = utility.summarise(membership.weights(image_weights))
        self.n, self.rows = len(membership.names), membership.rows
        if empty_value is None:
            self.v_empty = float(utility.value(utility.summarise(membership.empty_weights(image_weights)))[0])
        else:
            self.v_empty = float(empty_value)
        self.v_full = float(self(np.ones((1, self.n), dtype=np.bool_))[0])

    def __call__(self, masks: Bools) -> Floats:
        """Values (M,) of the coalitions (M, n); v(∅) for rows without members."""
        masks = np.asarray(masks, dtype=np.bool_)
        values = np.empty(len(masks))
        step = max(1, _CHUNK // self._summaries.shape[1])
        for start in range(0, len(masks), step):
            part = masks[start : start + step]
            filled = part.any(axis=1)
            here = np.full(len(part), self.v_empty)
            if filled.any():
                shares = coalition_shares(part[filled], self._membership.rows)
                here[filled] = self._utility.value(shares @ self._summaries)
            values[start : start + step] = here
        return values

    def resample(self, rng: np.random.Generator) -> Floats:
        """(N,) bootstrap counts of the pool's images, for `resampled`."""
        return self._membership.resample(rng)

    def resampled(self, image_weights: Floats) -> "MixtureGame":
        """The same game with the images' bootstrap counts (N,) as weights."""
        return MixtureGame(self._utility, self._membership, self._empty_value, image_weights)
