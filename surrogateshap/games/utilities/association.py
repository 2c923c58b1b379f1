"""How strongly two attributes go together: what a spurious correlation in the data does to the images."""

import difflib
from typing import Literal

import numpy as np
import scipy.sparse as sp
from scipy.special import xlogy

from surrogateshap.games.encoded import Bools, Encoded, Floats
from surrogateshap.games.utilities.base import Utility, class_index, rows
from surrogateshap.spec.utilities import AskedFor, Attribute

Measure = Literal["difference", "phi", "mutual_information"]


def shows(attribute: Attribute, encoded: Encoded) -> Bools:
    """(N,): whether the class is the likeliest of its attribute's, or the image was asked to show a condition.

    Conditions are the manifest's where the view knows them, else the classifier's classes. Raises ValueError, with the
    nearest name, for a class or condition that doesn't exist.
    """
    if isinstance(attribute, AskedFor):
        by_prompt = encoded.asked is not None
        known = encoded.prompts if by_prompt else encoded.labels
        asked = encoded.asked if encoded.asked is not None else encoded.conditions
        return np.isin(asked, [_position(each, known) for each in attribute.conditions])
    wanted = class_index(attribute.class_, encoded.labels)
    belongs = np.array(encoded.attributes or [0] * len(encoded.labels))
    rivals = np.flatnonzero(belongs == belongs[wanted])
    found = [rivals[some[:, rivals].argmax(axis=1)] == wanted for _, some in rows(encoded.probabilities)]
    return np.concatenate(found)


def _position(wanted: str, known: tuple[str, ...]) -> int:
    if wanted in known:
        return known.index(wanted)
    near = difflib.get_close_matches(wanted, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"no image is asked to show {wanted!r}{hint}")


class Association(Utility):
    """A measure of the weighted 2 × 2 table of two attributes (N,). p = 4. An attribute that never varies gives 0.

    `difference`: P(a | b) − P(a | not b). `phi`: (p₁₁ p₀₀ − p₁₀ p₀₁) / √(p₁. p₀. p.₁ p.₀) (Yule 1912). Both are
    nearly unbiased on few images. `mutual_information`: Σ p_ab log(p_ab / p_a. p.b), whose bias is that of entropies.
    """

    def __init__(self, first: Bools, second: Bools, measure: Measure) -> None:
        self._table = np.column_stack([first & second, first & ~second, ~first & second, ~first & ~second]) * 1.0
        self._measure, self.curved = measure, measure == "mutual_information"

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        """(K, 4): shares of images with both attributes, the first alone, the second alone, and neither."""
        return np.asarray(weights @ self._table)

    def value(self, summaries: Floats) -> Floats:
        """(M,)."""
        both, first, second, neither = summaries.T
        # Sums of the cells, so that a margin without images is 0 and not a rounding error.
        rows, columns = (both + first, second + neither), (both + second, first + neither)
        with np.errstate(divide="ignore", invalid="ignore"):
            match self._measure:
                case "difference":
                    found = both / columns[0] - first / columns[1]
                case "phi":
                    found = (both * neither - first * second) / np.sqrt(rows[0] * rows[1] * columns[0] * columns[1])
                case "mutual_information":
                    found = sum((xlogy(p, p) for p in summaries.T), start=np.zeros(len(summaries)))
                    found = found - sum(xlogy(p, p) for p in (*rows, *columns))
        varies = (rows[0] > 0) & (rows[1] > 0) & (columns[0] > 0) & (columns[1] > 0)
        return np.where(varies, found, 0.0)
