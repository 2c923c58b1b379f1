"""From coalition values to Shapley values and their uncertainty."""

from surrogateshap.estimate.coalitions import ValueFunction
from surrogateshap.estimate.exact import exact_shapley, fit_exact
from surrogateshap.estimate.fit import Fit, TreeSettings
from surrogateshap.estimate.intervals import Intervals, intervals, ranks
from surrogateshap.estimate.kernel import kernel_shapley
from surrogateshap.estimate.resampling import ResampledGame, coalition_draws, image_draws
from surrogateshap.estimate.shares import share_shapley
from surrogateshap.estimate.surrogate import fit_surrogate
from surrogateshap.games.coalitions import all_masks, draw_pairs

__all__ = [
    "Fit",
    "Intervals",
    "ResampledGame",
    "TreeSettings",
    "ValueFunction",
    "all_masks",
    "coalition_draws",
    "draw_pairs",
    "exact_shapley",
    "fit_exact",
    "fit_surrogate",
    "image_draws",
    "intervals",
    "kernel_shapley",
    "ranks",
    "share_shapley",
]
