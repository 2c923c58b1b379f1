"""Boosted trees on coalitions and the Shapley values of what they learned."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import factorial
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


def leaves(trees: Trees | None) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], float]]:
    """Yields (A, B, ℓ) for every leaf that some coalition reaches: all of A are in, none of B is; ℓ is its value."""
    if trees is None:
        return
    for tree in trees.booster.dump_model()["tree_info"]:
        pending: list[tuple[Any, frozenset[int], frozenset[int]]] = [(tree["tree_structure"], frozenset(), frozenset())]
        while pending:
            node, inside, outside = pending.pop()
            if "leaf_value" in node:
                yield tuple(inside), tuple(outside), node["leaf_value"] * trees.scale
                continue
            feature = node["split_feature"]
            if feature not in inside:
                pending.append((node["left_child"], inside, outside | {feature}))
            if feature not in outside:
                pending.append((node["right_child"], inside | {feature}, outside))


def tree_interactions(trees: Trees | None, n: int) -> Floats:
    """Pairwise Shapley interaction indices (n, n) of the trees' own game; symmetric, zeros on the diagonal.

    A leaf with value ℓ, a features in A and b in B adds ℓ (a−2)! b!/(a+b−1)! to a pair in A, ℓ a! (b−2)!/(a+b−1)! to a
    pair in B and −ℓ (a−1)! (b−1)!/(a+b−1)! to one of each; they are the sums of the leaf's second differences over
    all coalitions of the others.
    """
    found = np.zeros((n, n))
    for inside, outside, leaf in leaves(trees):
        a, b = len(inside), len(outside)
        if a + b < 2:
            continue
        members = inside + outside
        sign = np.repeat([1.0, -1.0], [a, b])
        weight = np.empty((a + b, a + b))
        whole = factorial(a + b - 1)
        weight[:a, :a] = factorial(a - 2) * factorial(b) / whole if a > 1 else 0.0
        weight[a:, a:] = factorial(a) * factorial(b - 2) / whole if b > 1 else 0.0
        weight[:a, a:] = weight[a:, :a] = factorial(a - 1) * factorial(b - 1) / whole if a and b else 0.0
        found[np.ix_(members, members)] += leaf * weight * np.outer(sign, sign)
    np.fill_diagonal(found, 0.0)
    return found
