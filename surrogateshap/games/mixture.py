"""The game on a pool: a coalition's images are a mixture of its contributors', with weights by row count."""

from copy import copy

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Bools, Floats
from surrogateshap.games.finite import jackknife
from surrogateshap.games.membership import Membership, coalition_shares
from surrogateshap.games.utilities import Utility
from surrogateshap.games.utilities.base import blocks

_CHUNK = 1 << 22
"""Numbers of shares, and of summaries, held at a time: 32 MiB."""


class MixtureGame:
    """v(S) = F(Σ_i n_i / N_S T_i): summaries T_i per contributor, linear in the images' weights; no new images.

    The mixture identity p_S = Σ_{i∈S} (n_i / N_S) p_i makes this equal to the utility of S's weighted images, from
    which the bias of a finite pool is then taken off (`games/finite.py`). `empty_value` is v(∅); where it is None the
    images of the membership's empty cell give it. Raises ValueError where a contributor, or the empty coalition, has no
    images.
    """

    masks: None = None
    """Every coalition has a value."""

    def __init__(self, utility: Utility, membership: Membership, empty_value: float | None = None) -> None:
        self._membership, self._empty_value = membership, empty_value
        self.n, self.rows, self.step = len(membership.names), membership.rows, utility.step
        weights = self._weights(None)
        self._utility = utility.around(weights)
        self._summaries = self._utility.summarise(weights)
        own = utility.own_pairs(membership.groups)
        self._own_pairs = None if own is None else (weights @ sp.diags_array(own) @ weights.T).toarray()
        self._corrected = True
        self._find_ends()

    def _find_ends(self) -> None:
        ends = self._mixtures(np.array([[False] * self.n, [True] * self.n]))
        self.v_full = float(ends[1])
        self.v_empty = float(ends[0]) if self._empty_value is None else float(self._empty_value)

    def __call__(self, masks: Bools) -> Floats:
        """Values (M,) of the coalitions (M, n); v(∅) for rows without members."""
        masks = np.asarray(masks, dtype=np.bool_)
        values, filled = np.full(len(masks), self.v_empty), masks.any(axis=1)
        if filled.any():
            values[filled] = self._mixtures(masks if filled.all() else masks[filled])
        return values

    def resample(self, rng: np.random.Generator) -> Floats:
        """(N,) bootstrap weights of the pool's images, for `resampled`."""
        return self._membership.resample(rng)

    def resampled(self, image_weights: Floats) -> "MixtureGame":
        """The same game with the images weighted by (N,), and no bias taken off: for differences between such games."""
        other = copy(self)
        other._summaries = self._summarise(image_weights)
        other._own_pairs, other._corrected = None, False
        other._find_ends()
        return other

    def _weights(self, image_weights: Floats | None) -> sp.csr_array:
        """(n, N) of the contributors, with those of ∅ below where images stand for it."""
        weights = self._membership.weights(image_weights)
        if self._empty_value is not None:
            return weights
        return sp.csr_array(sp.vstack([weights, self._membership.empty_weights(image_weights)]))

    def _summarise(self, image_weights: Floats) -> Floats:
        return self._utility.summarise(self._weights(image_weights))

    def _shares(self, masks: Bools) -> Floats:
        """(M, K): shares of the rows of `_weights` in coalitions (M, n)."""
        shares = coalition_shares(masks, self.rows)
        return shares if self._empty_value is not None else np.column_stack([shares, ~masks.any(axis=1)])

    def _mixtures(self, masks: Bools) -> Floats:
        values = self._raw(masks, self._summaries)
        if self._own_pairs is not None:
            for part in blocks(*masks.shape):
                shares = self._shares(masks[part])
                values[part] += ((shares @ self._own_pairs) * shares).sum(axis=1)
        if self._corrected and self._utility.curved:
            groups = self._membership.groups
            values = jackknife(values, lambda weights: self._raw(masks, self._summarise(weights)), groups)
        return values

    def _raw(self, masks: Bools, summaries: Floats) -> Floats:
        """(M,): of some coalitions at a time, so that neither their shares nor their summaries take much memory."""
        size = self._utility.width(summaries)
        step = max(1, _CHUNK // max(self.n, size))
        parts = (self._shares(masks[k : k + step]) for k in range(0, len(masks), step))
        return np.concatenate([self._utility.mixtures(shares, summaries) for shares in parts])
