"""Boosted trees on coalitions and the Shapley values of what they learned."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from surrogateshap.estimate.fit import TreeSettings
from surrogateshap.games.encoded import Bools, Floats


@dataclass(frozen=True)
class Trees:
    """A LightGBM booster that was fitted to targets / scale."""

    booster: Any
    scale: float


def fit_trees(masks: Bools, targets: Floats, settings: TreeSettings, seed: int) -> Trees | None:
    """Boosted trees of targets (M,) on coalitions (M, n); None where the data allow no split."""
    if len(masks) < 2 * settings.min_child_samples or np.ptp(targets) == 0:
        return None
    import lightgbm

    parameters = {
        "objective": "regression",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_child_samples": settings.min_child_samples,
        "min_data_in_bin": 1,
        "bagging_fraction": settings.subsample,
        "bagging_freq": 1,
        "feature_fraction": settings.subsample,
        "num_threads": 1,  # at these sizes more are slower
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed % 2**31,
        "verbose": -1,
    }
    # LightGBM keeps labels in single precision: unit scale loses the least.
    scale = float(np.abs(targets).max())
    data = lightgbm.Dataset(masks.astype(np.float64), targets / scale)
    booster = lightgbm.train(parameters, data, num_boost_round=settings.trees)
    return Trees(booster, scale) if booster.feature_importance("split").any() else None


def predict(trees: Trees | None, masks: Bools) -> Floats:
    """(M,): what the trees say; 0 where there are none."""
    if trees is None:
        return np.zeros(len(masks))
    return np.asarray(trees.booster.predict(masks.astype(np.float64), num_threads=1) * trees.scale)


def tree_shapley(trees: Trees | None, n: int) -> Floats:
    """Shapley values (n,) of the trees' own game: interventional TreeSHAP (Lundberg et al. 2020, arXiv 1905.04610).

    Foreground all ones, background all zeros: what is in the coalition is 1, what isn't is 0.
    """
    if trees is None:
        return np.zeros(n)
    import shap

    explainer = shap.TreeExplainer(trees.booster, data=np.zeros((1, n)), feature_perturbation="interventional")
    return np.asarray(explainer.shap_values(np.ones((1, n)))[0], dtype=np.float64) * trees.scale
