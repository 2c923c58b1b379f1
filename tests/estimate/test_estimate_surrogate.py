"""The surrogate: its two parts, its settings, and the smallest games."""

import subprocess
import sys
from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogateshap.estimate import (
    TreeSettings,
    all_masks,
    coalition_draws,
    draw_pairs,
    exact_shapley,
    fit_exact,
    fit_surrogate,
    quadratic,
    share_shapley,
    surrogate,
)
from surrogateshap.estimate.shares import ridge, share_features
from surrogateshap.estimate.trees import fit_trees, predict, tree_shapley
from surrogateshap.games import coalition_shares

FEW = TreeSettings(trees=60)


def rough(masks):
    """A game with interactions of all orders."""
    return np.sin(masks @ np.arange(1, masks.shape[1] + 1)) + masks[:, 0] * masks[:, -1]


@pytest.mark.parametrize("n", [3, 6, 8])
def test_tree_shapley_is_the_exact_shapley_value_of_the_trees_own_game(n):
    masks = draw_pairs(n, 100, seed=n)
    trees = fit_trees(masks, rough(masks), FEW, seed=0)
    expected = exact_shapley(predict(trees, all_masks(n)), n)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(tree_shapley(trees, n), expected, atol=1e-5)


def leaf_values(node, ones=(), zeros=()):
    """Every leaf with the features that must be 1 and those that must be 0 to reach it."""
    if "leaf_value" in node:
        yield set(ones), set(zeros), node["leaf_value"]
        return
    feature = node["split_feature"]
    yield from leaf_values(node["left_child"], ones, (*zeros, feature))
    yield from leaf_values(node["right_child"], (*ones, feature), zeros)


def test_tree_shapley_is_the_sum_over_leaves_in_closed_form():
    n = 7
    masks = draw_pairs(n, 80, seed=1)
    trees = fit_trees(masks, rough(masks), FEW, seed=0)
    expected = np.zeros(n)
    for tree in trees.booster.dump_model()["tree_info"]:
        for ones, zeros, leaf in leaf_values(tree["tree_structure"]):
            a, b = len(ones), len(zeros)
            if ones & zeros:
                continue
            for i in ones:
                expected[i] += leaf * factorial(a - 1) * factorial(b) / factorial(a + b)
            for j in zeros:
                expected[j] -= leaf * factorial(a) * factorial(b - 1) / factorial(a + b)
    np.testing.assert_allclose(tree_shapley(trees, n), expected * trees.scale, atol=1e-5)


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=9))
def test_shapley_values_of_share_games_equal_enumeration(rows):
    rows = np.array(rows)
    n = len(rows)
    shares = coalition_shares(all_masks(n), rows)
    np.testing.assert_allclose(share_shapley(rows), exact_shapley(shares.T, n).T, atol=1e-11)


def test_shapley_values_of_many_share_games_are_efficient():
    rows = np.random.default_rng(0).integers(1, 3_000, size=200)
    shapley = share_shapley(rows)
    np.testing.assert_allclose(shapley.sum(axis=0), rows / rows.sum(), rtol=1e-9)
    np.testing.assert_allclose(shapley.sum(axis=1), 1 / 200, rtol=1e-9)


def test_a_mean_over_a_mixture_needs_no_trees():
    rng = np.random.default_rng(3)
    rows, worth = rng.integers(5, 200, size=12), rng.normal(size=12)
    masks, every = draw_pairs(12, 60, seed=0), all_masks(12)
    values = coalition_shares(every, rows) @ worth
    values[0] = 0.4
    seen = coalition_shares(masks, rows) @ worth
    fit = fit_surrogate(masks, seen, 0.4, values[-1], FEW, seed=0, rows=rows)
    np.testing.assert_allclose(fit.values, exact_shapley(values, 12), atol=1e-4)
    assert fit.cv_r2 == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("targets", [1, 3])
def test_ridge_leaves_out_one_at_a_time(targets):
    rng = np.random.default_rng(targets)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, targets))
    y += x[:, :1] * 3
    intercept, coefficients = ridge(x, y)
    standard = (x - x.mean(axis=0)) / x.std(axis=0)

    def solve(design, target, penalty):
        full = np.hstack([np.ones((len(design), 1)), design])
        return np.linalg.solve(full.T @ full + np.diag([0.0] + [penalty] * 4), full.T @ target)

    errors = {}
    for penalty in np.logspace(-7, 2, 19) * 30:
        misses = []
        for i in range(30):
            kept = np.arange(30) != i
            b = solve(standard[kept], y[kept], penalty)
            misses.append(y[i] - b[0] - standard[i] @ b[1:])
        errors[penalty] = np.square(misses).mean()
    b = solve(standard, y, min(errors, key=errors.get))
    np.testing.assert_allclose(coefficients, b[1:] / x.std(axis=0)[:, None], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(intercept, b[0] - x.mean(axis=0) @ coefficients, rtol=1e-6, atol=1e-9)


def test_ridge_survives_constant_and_repeated_columns():
    x = np.column_stack([np.arange(5.0), np.arange(5.0), np.ones(5)])
    intercept, coefficients = ridge(x, 2 * x[:, :1] + 1)
    np.testing.assert_allclose(intercept + x @ coefficients, 2 * x[:, :1] + 1, atol=1e-4)


def test_features_are_shares_then_membership():
    features = share_features(np.array([[1, 0, 1]], dtype=bool), np.array([1, 5, 3]))
    assert features.tolist() == [[0.25, 0, 0.75, 1, 0, 1]]


def test_gap_is_reported_and_shared_equally():
    masks = draw_pairs(9, 100, seed=0)
    values = rough(masks)
    near = fit_surrogate(masks, values, 0.0, 2.0, FEW, seed=0, cross_validate=False)
    far = fit_surrogate(masks, values, -9.0, 2.0, FEW, seed=0, cross_validate=False)
    np.testing.assert_allclose(far.values - near.values, 1.0, atol=1e-9)
    assert far.efficiency_gap - near.efficiency_gap == pytest.approx(9)
    assert far.values.sum() == pytest.approx(11, rel=1e-9)


def test_fits_repeat_and_the_seed_counts():
    masks = draw_pairs(9, 60, seed=0)
    one, again, other = (fit_surrogate(masks, rough(masks), 0.0, 1.0, FEW, seed=s) for s in (1, 1, 2))
    assert one.values.tolist() == again.values.tolist()
    assert one.cv_r2 == again.cv_r2
    assert one.values.tolist() != other.values.tolist()


def test_cv_r2_is_high_for_a_learnable_game_and_not_for_noise():
    masks = draw_pairs(10, 150, seed=0)
    learnable = masks[:, 0] * 3.0 + masks[:, 1] * masks[:, 2]
    noise = np.random.default_rng(0).normal(size=300)
    assert fit_surrogate(masks, learnable, 0.0, 4.0, FEW, 0).cv_r2 > 0.95
    assert fit_surrogate(masks, noise, 0.0, 0.0, FEW, 0).cv_r2 < 0.1


@pytest.mark.parametrize("n", [1, 2, 3])
def test_smallest_games_are_exact(n):
    every = all_masks(n)
    values = np.random.default_rng(n).normal(size=2**n)
    fit = fit_surrogate(every[1:-1], values[1:-1], values[0], values[-1], FEW, seed=0)
    np.testing.assert_allclose(fit.values, fit_exact(values, n).values, atol=1e-12)
    assert (fit.estimator, fit.cv_r2) == ("exact", None)
    if n == 1:
        assert fit.values.tolist() == [values[1] - values[0]]
    assert not coalition_draws(every[1:-1], values[1:-1], values[0], values[-1], FEW, 0, 3).any()


@pytest.mark.parametrize("pairs", [1, 2, 5, 30])
def test_constant_games_and_few_coalitions_do_not_crash(pairs):
    masks = draw_pairs(8, pairs, seed=0)
    flat = fit_surrogate(masks, np.full(2 * pairs, 3.0), 1.0, 3.0, FEW, seed=0)
    np.testing.assert_allclose(flat.values, 0.25, atol=1e-9)
    assert flat.cv_r2 is None
    some = fit_surrogate(masks, rough(masks), 0.0, 1.0, FEW, seed=0)
    assert some.values.sum() == pytest.approx(1, rel=1e-9)
    draws = coalition_draws(masks, rough(masks), 0.0, 1.0, FEW, seed=0, refits=3)
    np.testing.assert_allclose(draws.sum(axis=1), 1, rtol=1e-9)


def test_shapes_that_disagree_are_refused():
    masks = draw_pairs(4, 3, seed=0)
    with pytest.raises(ValueError, match="6 coalitions of 4"):
        fit_surrogate(masks, np.zeros(5), 0.0, 1.0, FEW, seed=0)
    with pytest.raises(ValueError, match="6 coalitions of 4"):
        fit_surrogate(masks, np.zeros(6), 0.0, 1.0, FEW, seed=0, rows=np.ones(3, dtype=np.int64))


def test_fitting_prints_nothing(capfd):
    masks = draw_pairs(6, 10, seed=0)
    fit_surrogate(masks, rough(masks), 0.0, 1.0, FEW, seed=0)
    assert capfd.readouterr() == ("", "")


def test_importing_the_package_imports_neither_lightgbm_nor_shap():
    heavy = "lightgbm", "shap", "torch", "polars"
    code = f"import sys, surrogateshap.estimate; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_more_coalitions_than_the_regression_takes(monkeypatch):
    monkeypatch.setattr(quadratic, "MOST_ROWS", 100)
    monkeypatch.setattr(surrogate, "MOST_ROWS", 100)
    rows, masks = np.arange(2, 11), draw_pairs(9, 100, seed=0)
    shares = coalition_shares(all_masks(9), rows)
    values = shares @ np.cos(np.arange(9)) - np.square(shares @ np.sin(np.arange(9)))
    ordered = masks[np.argsort(masks.sum(axis=1))]
    for some in (masks, ordered):
        seen = values[some @ (1 << np.arange(9))]
        fit = fit_surrogate(some, seen, 0.3, values[-1], FEW, 0, rows)
        assert fit.cv_r2 > 0.99
        truth = exact_shapley(np.append(0.3, values[1:]), 9)
        np.testing.assert_allclose(fit.values, truth, atol=0.02)
