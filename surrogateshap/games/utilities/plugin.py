"""Utilities of other packages.

A plugin's entry point of the group `surrogateshap.utilities` is called as `found(encoded, **options)`, with an
`Encoded` and the spec's `options`. Its arrays may be in single precision and mapped from files, and are not to be
written. It returns one of two things:

- scores, one finite number for each of the N images, as an array (N,): the utility is their weighted mean;
- an object with `summarise(weights)` and `value(summaries)` as `Utility` describes them. `curved`, `step`, `around` and
  `own_pairs` may be left out.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp

from surrogateshap.games.encoded import Encoded, Floats, Ints
from surrogateshap.games.utilities.base import Utility
from surrogateshap.games.utilities.score import Mean
from surrogateshap.plugins import Plugin, failed, find_plugin, guarded, load
from surrogateshap.spec.utilities import PluginUtility


def plugin_utility(section: PluginUtility, encoded: Encoded) -> Utility:
    """The utility of a spec that was checked, plugins allowed. Raises RunError, naming the plugin, where it fails."""
    plugin = find_plugin("utility", section.plugin)
    made = guarded(plugin, load(plugin), encoded, **section.options)
    if callable(getattr(made, "summarise", None)) and callable(getattr(made, "value", None)):
        return _Checked(plugin, made)
    return Mean(_numbers(plugin, made, "scores", (len(encoded.features),)))


class _Checked(Utility):
    """A plugin's own utility, whose failures and shapes are watched."""

    def __init__(self, plugin: Plugin, made: Any) -> None:
        self._plugin, self._made = plugin, made
        self.curved = bool(getattr(made, "curved", False))
        self.step = guarded(plugin, float, getattr(made, "step", Utility.step))

    def summarise(self, weights: sp.csr_array | Floats) -> Floats:
        found = guarded(self._plugin, self._made.summarise, weights)
        return _numbers(self._plugin, found, "what `summarise` returns", (weights.shape[0], None))

    def value(self, summaries: Floats) -> Floats:
        found = guarded(self._plugin, self._made.value, summaries)
        return _numbers(self._plugin, found, "what `value` returns", (len(summaries),))

    def around(self, weights: sp.csr_array, *, apart: bool = False) -> Utility:
        own = getattr(self._made, "around", None)
        if own is None:
            return self
        return _Checked(self._plugin, guarded(self._plugin, own, weights, apart=apart))

    def own_pairs(self, groups: Ints) -> Floats | None:
        own = getattr(self._made, "own_pairs", None)
        found = None if own is None else guarded(self._plugin, own, groups)
        return None if found is None else _numbers(self._plugin, found, "what `own_pairs` returns", (len(groups),))


def _numbers(plugin: Plugin, found: Any, what: str, shape: tuple[int | None, ...]) -> Floats:
    """An array of real numbers of a shape, in which None stands for any length. Raises RunError where it is none."""
    array = guarded(plugin, np.asarray, found)
    wanted = f"({', '.join('any' if side is None else str(side) for side in shape)}{',' * (len(shape) == 1)})"
    if array.dtype.kind not in "biuf":
        raise failed(plugin, f"{what} must be numbers of shape {wanted}, not {type(found).__name__}")
    if array.ndim != len(shape) or any(side not in (None, n) for side, n in zip(shape, array.shape, strict=True)):
        raise failed(plugin, f"{what} must have shape {wanted}, not {array.shape}")
    return array.astype(np.float64)
