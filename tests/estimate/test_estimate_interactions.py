"""Pairwise Shapley interaction indices: from the definition, from shares, from trees, and from the whole surrogate."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrogateshap.estimate import (
    TreeSettings,
    all_masks,
    draw_pairs,
    exact_interactions,
    exact_shapley,
    fit_exact,
    fit_surrogate,
    mixture_interactions,
    mixture_shapley,
)
from surrogateshap.estimate.quadratic import Tuning, fit_quadratic
from surrogateshap.estimate.trees import fit_trees, leaves, predict, tree_interactions, tree_shapley
from surrogateshap.games import coalition_shares

FEW = TreeSettings(trees=60)


def rough(masks):
    """A game with interactions of all orders."""
    return np.sin(masks @ np.arange(1, masks.shape[1] + 1)) + masks[:, 0] * masks[:, -1]


def by_definition(values, n):
    found = np.zeros((n, n))
    for i, j in combinations(range(n), 2):
        for s in range(2**n):
            if s >> i & 1 or s >> j & 1:
                continue
            size = s.bit_count()
            both = values[s | 1 << i | 1 << j] - values[s | 1 << i] - values[s | 1 << j] + values[s]
            found[i, j] += factorial(size) * factorial(n - size - 2) / factorial(n - 1) * both
    return found + found.T


@given(n=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_exact_interactions_follow_the_definition(n, seed):
    values = np.random.default_rng(seed).normal(size=2**n)
    np.testing.assert_allclose(exact_interactions(values, n), by_definition(values, n), atol=1e-12)


def test_exact_interactions_of_known_games():
    n = 5
    masks = all_masks(n)
    together = masks[:, [0, 2, 3]].all(axis=1) * 6.0  # 6/(3 − 1) for each pair of the three
    pairs = np.ix_([0, 2, 3], [0, 2, 3])
    expected = np.zeros((n, n))
    expected[pairs] = 3.0
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(exact_interactions(together, n), expected, atol=1e-12)
    np.testing.assert_allclose(exact_interactions(masks @ np.arange(5.0), n), 0, atol=1e-12)
    one_of_two = masks[:, :2].any(axis=1).astype(float)
    assert exact_interactions(one_of_two, n)[0, 1] == pytest.approx(-1)
    assert fit_exact(one_of_two, n, interactions=True).interactions[1, 0] == pytest.approx(-1)
    assert fit_exact(one_of_two, n).interactions is None


def test_exact_interactions_refuse_a_wrong_number_of_values():
    with pytest.raises(ValueError, match="8 coalitions, not 7"):
        exact_interactions(np.zeros(7), 3)


@settings(deadline=None)
@given(n=st.integers(1, 7), seed=st.integers(0, 2**32))
def test_shares_and_their_products_equal_enumeration(n, seed):
    rng = np.random.default_rng(seed)
    rows, linear, products = rng.integers(1, 3_000, size=n), rng.normal(size=n), rng.normal(size=(n, n))
    products += products.T
    shares = coalition_shares(all_masks(n), rows)
    values = shares @ linear + ((shares @ products) * shares).sum(axis=1)
    np.testing.assert_allclose(mixture_shapley(linear, products, rows), exact_shapley(values, n), atol=1e-9)
    np.testing.assert_allclose(mixture_interactions(linear, products, rows), by_definition(values, n), atol=1e-9)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_interactions_of_trees_equal_enumeration_of_their_own_game(n):
    masks = draw_pairs(n, 100, seed=n)
    trees = fit_trees(masks, rough(masks), FEW, seed=0)
    expected = by_definition(predict(trees, all_masks(n)), n)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(tree_interactions(trees, n), expected, atol=1e-9)


def test_leaves_give_the_same_shapley_values_as_treeshap():
    n = 8
    masks = draw_pairs(n, 100, seed=1)
    trees = fit_trees(masks, rough(masks), FEW, seed=0)
    found = np.zeros(n)
    for inside, outside, leaf in leaves(trees):
        a, b = len(inside), len(outside)
        for i in inside:
            found[i] += leaf * factorial(a - 1) * factorial(b) / factorial(a + b)
        for j in outside:
            found[j] -= leaf * factorial(a) * factorial(b - 1) / factorial(a + b)
    np.testing.assert_allclose(found, tree_shapley(trees, n), atol=1e-5)


def test_leaves_are_the_trees():
    n = 6
    every = all_masks(n)
    trees = fit_trees(every, rough(every), FEW, seed=0)
    found = np.zeros(2**n)
    for inside, outside, leaf in leaves(trees):
        assert not set(inside) & set(outside)
        found += leaf * (every[:, list(inside)].all(axis=1) & ~every[:, list(outside)].any(axis=1))
    np.testing.assert_allclose(found, predict(trees, every), atol=1e-9)


def test_no_trees_no_interactions():
    assert list(leaves(None)) == []
    assert not tree_interactions(None, 3).any()


def test_shap_has_no_interactions_of_interventional_trees_and_these_are_not_zero():
    """Why `tree_interactions` exists: shap answers with zeros and without an error."""
    import shap

    n = 5
    masks = draw_pairs(n, 200, seed=0)
    trees = fit_trees(masks, masks[:, 0] * masks[:, 1] * 4.0 + masks[:, 2], FEW, seed=0)
    explainer = shap.TreeExplainer(trees.booster, data=np.zeros((1, n)), feature_perturbation="interventional")
    assert not np.any(explainer.shap_interaction_values(np.ones((1, n))))
    ours = tree_interactions(trees, n)
    assert ours[0, 1] > 2
    np.testing.assert_allclose(ours, by_definition(predict(trees, all_masks(n)), n), atol=1e-9)


def test_a_quadratic_in_shares_is_recovered():
    rng = np.random.default_rng(0)
    n, rows = 8, rng.integers(5, 200, size=8)
    shares = coalition_shares(all_masks(n), rows)
    statistics = rng.normal(size=(n, 2))
    values = -(((shares @ statistics) - 1) ** 2).sum(axis=1)
    masks = draw_pairs(n, 100, seed=0)
    seen = values[masks @ (1 << np.arange(n))]
    fitted = fit_quadratic(np.vstack([masks, np.ones((1, n), dtype=bool)]), np.append(seen, values[-1]), rows)
    np.testing.assert_allclose(fitted.predict(all_masks(n))[1:], values[1:], atol=1e-3)
    again = fit_quadratic(masks, seen, rows, Tuning(0.0, 0.03, 1e-4))
    assert not again.products.any()
    assert np.abs(again.predict(masks) - seen).max() > 0.01


def test_interactions_of_the_surrogate_hold_the_jump_at_the_empty_coalition():
    n = 7
    rows = np.arange(3, 3 + n) ** 2
    shares = coalition_shares(all_masks(n), rows)
    values = np.square(shares @ np.linspace(-1, 1, n)) + shares @ np.cos(np.arange(n))
    values[0] = -0.8
    masks = draw_pairs(n, 45, seed=2)
    seen = values[masks @ (1 << np.arange(n))]
    fit = fit_surrogate(masks, seen, -0.8, values[-1], FEW, 0, rows, cross_validate=False, interactions=True)
    assert fit.estimator == "surrogate"
    truth = by_definition(values, n)
    np.testing.assert_allclose(fit.interactions, truth, atol=0.02 * np.abs(truth).max())
    np.testing.assert_array_equal(fit.interactions, fit.interactions.T)
