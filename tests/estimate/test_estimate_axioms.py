"""Estimators on games whose Shapley values are known: values, efficiency, symmetry, null player, linearity."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogateshap.estimate import (
    TreeSettings,
    all_masks,
    draw_pairs,
    exact_shapley,
    fit_exact,
    fit_surrogate,
    kernel_shapley,
)

N = 10
WORTH = np.array([5.0, -3, 2, 2, 0, 1, 8, -1, 0, 4])
COSTS = np.array([1.0, 2, 2, 3, 5, 5, 7, 8, 9, 12])


def additive(masks):
    return 1.5 + masks @ WORTH


def unanimity(masks):
    return masks[:, [1, 4, 7]].all(axis=1) * 6.0


def glove(masks):
    return np.minimum(masks[:, 0], masks[:, 1:].sum(axis=1)).astype(float)


def airport(masks):
    return np.where(masks, COSTS, 0.0).max(axis=1)


def voting(masks):
    return (masks @ np.array([N - 2] + [1] * (N - 1)) >= N - 1).astype(float)


def airport_shapley():
    steps = np.diff(COSTS, prepend=0) / (N - np.arange(N))
    return np.cumsum(steps)


KNOWN = {
    "additive": (additive, WORTH),
    "unanimity": (unanimity, np.isin(np.arange(N), [1, 4, 7]) * 2.0),
    "glove": (glove, np.array([(N - 1) / N] + [1 / (N * (N - 1))] * (N - 1))),
    "airport": (airport, airport_shapley()),
    "voting": (voting, np.array([(N - 2) / N] + [2 / (N * (N - 1))] * (N - 1))),
}
SYMMETRIC = {"additive": (2, 3), "unanimity": (1, 7), "glove": (3, 8), "airport": (4, 5), "voting": (1, 9)}
NULL = {"additive": 4, "unanimity": 0}


def by_exact(game):
    return fit_exact(game(all_masks(N)), N).values


def ends(game):
    return float(game(np.zeros((1, N), dtype=bool))[0]), float(game(np.ones((1, N), dtype=bool))[0])


def by_surrogate(game):
    masks = draw_pairs(N, 200, seed=3)
    fit = fit_surrogate(masks, game(masks), *ends(game), TreeSettings(), seed=0, cross_validate=False)
    assert fit.estimator == "surrogate"
    return fit.values


def by_kernel(game):
    masks = draw_pairs(N, 400, seed=3)
    return kernel_shapley(masks, game(masks), *ends(game))


# Tolerances are shares of v(N) − v(∅), or of the spread of the values where that is larger.
ESTIMATORS = {"exact": (by_exact, 1e-9), "surrogate": (by_surrogate, 0.05), "kernel": (by_kernel, 0.1)}


@pytest.fixture(scope="module")
def estimate():
    found = {}

    def once(estimator, name):
        if (estimator, name) not in found:
            found[estimator, name] = ESTIMATORS[estimator][0](KNOWN[name][0])
        return found[estimator, name]

    return once


def tolerance(estimator, name):
    v_empty, v_full = ends(KNOWN[name][0])
    return ESTIMATORS[estimator][1] * max(abs(v_full - v_empty), np.ptp(KNOWN[name][1]))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", KNOWN)
class TestAxioms:
    def test_values(self, estimate, estimator, name):
        np.testing.assert_allclose(estimate(estimator, name), KNOWN[name][1], atol=tolerance(estimator, name))

    def test_efficiency(self, estimate, estimator, name):
        v_empty, v_full = ends(KNOWN[name][0])
        assert estimate(estimator, name).sum() == pytest.approx(v_full - v_empty, rel=1e-9)

    def test_symmetry(self, estimate, estimator, name):
        i, j = SYMMETRIC[name]
        values = estimate(estimator, name)
        assert values[i] == pytest.approx(values[j], abs=tolerance(estimator, name))

    def test_null_player(self, estimate, estimator, name):
        if name in NULL:
            assert estimate(estimator, name)[NULL[name]] == pytest.approx(0, abs=tolerance(estimator, name))
        else:
            assert np.abs(estimate(estimator, name)).min() > 0


@pytest.mark.parametrize("estimator", ["exact", "kernel"])
def test_linearity(estimator):
    of, _ = ESTIMATORS[estimator]
    combined = of(lambda masks: 2 * glove(masks) - 0.5 * airport(masks))
    np.testing.assert_allclose(combined, 2 * of(glove) - 0.5 * of(airport), atol=1e-9)


def test_the_linear_part_is_exact():
    np.testing.assert_allclose(by_kernel(additive), WORTH, atol=1e-9)
    np.testing.assert_allclose(by_surrogate(additive), WORTH, atol=1e-3)


@given(n=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_exact_equals_the_definition_over_orderings(n, seed):
    values = np.random.default_rng(seed).normal(size=2**n)
    orders = list(permutations(range(n)))
    expected = np.zeros(n)
    for order in orders:
        seen = 0
        for i in order:
            expected[i] += values[seen | 1 << i] - values[seen]
            seen |= 1 << i
    np.testing.assert_allclose(exact_shapley(values, n), expected / len(orders), atol=1e-12)
    stacked = exact_shapley(np.stack([values, 2 * values[::-1]]), n)
    np.testing.assert_allclose(stacked[0], exact_shapley(values, n), atol=1e-12)


@given(seed=st.integers(0, 2**32), offset=st.floats(-1e6, 1e6))
def test_exact_is_efficient_at_every_scale(seed, offset):
    values = offset + np.random.default_rng(seed).normal(size=2**7)
    fit = fit_exact(values, 7)
    assert fit.values.sum() == pytest.approx(values[-1] - values[0], abs=1e-9 * max(1, abs(offset)))
    assert abs(fit.efficiency_gap) <= 1e-9 * max(1, abs(offset))


def test_exact_refuses_a_wrong_number_of_values():
    with pytest.raises(ValueError, match="8 coalitions, not 7"):
        exact_shapley(np.zeros(7), 3)


def test_stacked_kernel_equals_one_at_a_time():
    masks = draw_pairs(6, 40, seed=1)
    values = np.random.default_rng(0).normal(size=(3, 80))
    v_empty, v_full = np.array([0.0, 1, 2]), np.array([3.0, 3, 3])
    stacked = kernel_shapley(masks, values, v_empty, v_full)
    for r in range(3):
        np.testing.assert_allclose(stacked[r], kernel_shapley(masks, values[r], v_empty[r], v_full[r]), atol=1e-12)


def test_kernel_equals_weighted_least_squares_with_a_constraint():
    rng = np.random.default_rng(2)
    masks, values = draw_pairs(5, 30, seed=4), rng.normal(size=60)
    z = masks.astype(float)
    system = np.block([[2 * z.T @ z, np.ones((5, 1))], [np.ones((1, 5)), np.zeros((1, 1))]])
    solution = np.linalg.solve(system, np.append(2 * z.T @ (values - 0.5), 2.0 - 0.5))
    np.testing.assert_allclose(kernel_shapley(masks, values, 0.5, 2.0), solution[:5], atol=1e-9)


def test_kernel_without_coalitions_shares_equally():
    none = np.zeros((0, 4), dtype=bool)
    assert kernel_shapley(none, np.zeros(0), 1.0, 3.0).tolist() == [0.5] * 4
