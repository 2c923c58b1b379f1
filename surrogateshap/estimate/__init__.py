"""From coalition values to Shapley values and their uncertainty."""

from surrogateshap.estimate.coalitions import ValueFunction
from surrogateshap.estimate.estimators import ESTIMATORS, Estimator, Options, Sample, estimate_game
from surrogateshap.estimate.exact import exact_interactions, exact_shapley, fit_exact
from surrogateshap.estimate.fit import CoalitionsError, Fit, TreeSettings
from surrogateshap.estimate.intervals import Intervals, intervals, ranks
from surrogateshap.estimate.kernel import kernel_shapley
from surrogateshap.estimate.owen import mixture_interactions, mixture_shapley, share_shapley
from surrogateshap.estimate.resampling import ResampledGame, coalition_draws, image_draws
from surrogateshap.estimate.surrogate import fit_surrogate
from surrogateshap.games.coalitions import all_masks, draw_pairs

__all__ = [
    "ESTIMATORS",
    "CoalitionsError",
    "Estimator",
    "Fit",
    "Intervals",
    "Options",
    "ResampledGame",
    "Sample",
    "TreeSettings",
    "ValueFunction",
    "all_masks",
    "coalition_draws",
    "draw_pairs",
    "estimate_game",
    "exact_interactions",
    "exact_shapley",
    "fit_exact",
    "fit_surrogate",
    "image_draws",
    "intervals",
    "kernel_shapley",
    "mixture_interactions",
    "mixture_shapley",
    "ranks",
    "share_shapley",
]
