"""Estimators on games whose Shapley values are known: values, efficiency, symmetry, null player, linearity."""

import sys
from itertools import permutations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from surrogateshap.errors import MissingExtraError
from surrogateshap.estimate import (
    ESTIMATORS,
    CoalitionsError,
    Options,
    Sample,
    all_masks,
    draw_pairs,
    estimate_game,
    exact_shapley,
    fit_exact,
    kernel_shapley,
)
from surrogateshap.estimate.leave_one_out import loss_draws
from surrogateshap.estimate.permutation import marginal_gains
from surrogateshap.games import Membership, MixtureGame
from surrogateshap.games.coalitions import all_but_one, draw_orderings
from surrogateshap.games.utilities.score import Mean

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


UNANIMITIES = {(0, 1): 3.0, (0, 1, 5): -2.0, (2,): 1.0, (3, 6, 7, 8): 4.0, (4, 5): 2.0}


def sum_of_unanimities(masks):
    return sum(worth * masks[:, list(members)].all(axis=1) for members, worth in UNANIMITIES.items())


def sum_of_unanimities_shapley():
    return sum(worth / len(members) * np.isin(np.arange(N), members) for members, worth in UNANIMITIES.items())


KNOWN["sum of unanimities"] = (sum_of_unanimities, sum_of_unanimities_shapley())
SYMMETRIC["sum of unanimities"] = (7, 8)
NULL["sum of unanimities"] = 9

# Coalitions; tolerance as a share of v(N) − v(∅), or of the spread of the values where that is larger.
DRAWN = {
    "exact": (0, 1e-9),
    "surrogate": (400, 0.05),
    "kernel": (800, 0.1),
    "permutation": (9_000, 0.05),
    "surrogateshap_paper": (800, 0.2),
}
SHAPLEY = [name for name in ESTIMATORS if name in DRAWN]


def test_every_estimator_of_shapley_values_is_tested():
    assert {*DRAWN, "leave_one_out"} == set(ESTIMATORS)


def ends(game):
    return float(game(np.zeros((1, N), dtype=bool))[0]), float(game(np.ones((1, N), dtype=bool))[0])


def by(estimator, game):
    fit = estimate_game(estimator, game, N, DRAWN[estimator][0], Options(seed=3, cross_validate=False))
    assert fit.estimator == estimator
    return fit.values


@pytest.fixture(scope="module")
def estimate():
    found = {}

    def once(estimator, name):
        if (estimator, name) not in found:
            found[estimator, name] = by(estimator, KNOWN[name][0])
        return found[estimator, name]

    return once


def tolerance(estimator, name):
    v_empty, v_full = ends(KNOWN[name][0])
    return DRAWN[estimator][1] * max(abs(v_full - v_empty), np.ptp(KNOWN[name][1]))


@pytest.mark.parametrize("estimator", SHAPLEY)
@pytest.mark.parametrize("name", KNOWN)
class TestAxioms:
    def test_values(self, estimate, estimator, name):
        np.testing.assert_allclose(estimate(estimator, name), KNOWN[name][1], atol=tolerance(estimator, name))

    def test_efficiency(self, estimate, estimator, name):
        v_empty, v_full = ends(KNOWN[name][0])
        rel = 0.1 if estimator == "surrogateshap_paper" else 1e-9
        assert estimate(estimator, name).sum() == pytest.approx(v_full - v_empty, rel=rel)

    def test_symmetry(self, estimate, estimator, name):
        i, j = SYMMETRIC[name]
        values = estimate(estimator, name)
        assert values[i] == pytest.approx(values[j], abs=tolerance(estimator, name))

    def test_null_player(self, estimate, estimator, name):
        if name in NULL:
            assert estimate(estimator, name)[NULL[name]] == pytest.approx(0, abs=tolerance(estimator, name))
        elif estimator != "surrogateshap_paper":
            assert np.abs(estimate(estimator, name)).min() > 0


@pytest.mark.parametrize("estimator", ["exact", "kernel", "permutation"])
def test_linearity(estimator):
    combined = by(estimator, lambda masks: 2 * glove(masks) - 0.5 * airport(masks))
    np.testing.assert_allclose(combined, 2 * by(estimator, glove) - 0.5 * by(estimator, airport), atol=1e-9)


def test_the_linear_part_is_exact():
    np.testing.assert_allclose(by("kernel", additive), WORTH, atol=1e-9)
    np.testing.assert_allclose(by("surrogate", additive), WORTH, atol=1e-3)


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


def test_leave_one_out_says_what_is_lost_and_how_far_that_is_from_efficient():
    fit = estimate_game("leave_one_out", additive, N, 0)
    np.testing.assert_allclose(fit.values, WORTH, atol=1e-12)
    assert fit.efficiency_gap == pytest.approx(0, abs=1e-9)
    fit = estimate_game("leave_one_out", unanimity, N, 0)
    assert fit.values.tolist() == [0, 6, 0, 0, 6, 0, 0, 6, 0, 0]
    assert (fit.efficiency_gap, fit.coalitions) == (6 - 18, N)


def test_leave_one_out_averages_and_names_what_is_missing():
    masks = np.vstack([all_but_one(3), all_but_one(3)[:1], [[True, False, False]]])
    fit = ESTIMATORS["leave_one_out"].fit(Sample(masks, np.array([1.0, 2, 3, 2, 99]), 0.0, 4.0), Options())
    assert fit.values.tolist() == [2.5, 2, 1]
    with pytest.raises(CoalitionsError, match="2 of 3 are not there") as caught:
        ESTIMATORS["leave_one_out"].fit(Sample(masks[:1], np.zeros(1), 0.0, 4.0), Options())
    assert caught.value.contributors == (1, 2)


def test_leave_one_out_moves_with_the_images_as_its_variance_says():
    """v(N) − v(N∖i) of a mean: i's images weigh 1/n, every other contributor's −1/(n(n − 1))."""
    n, m = 4, 12
    scores = np.random.default_rng(5).normal(size=(n, m)) * [[1], [2], [0.1], [5]]
    membership = Membership(
        tuple("abcd"), np.full(n, 7), sp.csr_array(np.eye(n)), np.repeat(np.arange(n, dtype=np.int64), m)
    )
    draws = loss_draws(MixtureGame(Mean(scores.ravel()), membership, 0.0), 4_000, seed=0)
    of_mean = scores.var(axis=1, ddof=1) / m
    weights = np.where(np.eye(n, dtype=bool), 1 / n, -1 / (n * (n - 1)))
    np.testing.assert_allclose(draws.var(axis=0), weights**2 @ of_mean, rtol=0.1)


@given(n=st.integers(2, 7), pairs=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_orderings_are_whole_reversed_in_pairs_and_a_prefix(n, pairs, seed):
    masks = draw_orderings(n, pairs * 2 * (n - 1), seed)
    assert masks.shape == (2 * pairs * (n - 1), n)
    assert (masks.sum(axis=1).reshape(-1, n - 1) == np.arange(1, n)).all()
    chains = masks.reshape(pairs, 2, n - 1, n)
    assert (chains[:, 0] == ~chains[:, 1, ::-1]).all()
    assert (draw_orderings(n, 2 * (n - 1), seed) == masks[: 2 * (n - 1)]).all()
    game = np.random.default_rng(seed).normal(size=2**n)
    gains = marginal_gains(masks, game[masks @ (1 << np.arange(n))], game[0], game[-1])
    np.testing.assert_allclose(gains.sum(axis=1), game[-1] - game[0])


def test_permutation_over_every_ordering_is_exact():
    values = np.random.default_rng(1).normal(size=16)
    place = np.array([np.argsort(order) for order in permutations(range(4))])
    masks = (place[:, None, :] < np.arange(1, 4)[:, None]).reshape(-1, 4)
    sample = Sample(masks, values[masks @ (1 << np.arange(4))], values[0], values[-1])
    np.testing.assert_allclose(
        ESTIMATORS["permutation"].fit(sample, Options()).values, exact_shapley(values, 4), atol=1e-12
    )


@pytest.mark.parametrize("masks", [draw_pairs(4, 3, seed=0), np.zeros((0, 4), dtype=bool), all_masks(4)[1:-2]])
def test_permutation_refuses_coalitions_that_are_no_orderings(masks):
    with pytest.raises(CoalitionsError, match="3 coalitions in a row"):
        ESTIMATORS["permutation"].fit(Sample(masks, np.zeros(len(masks)), 0.0, 1.0), Options())


def test_exact_says_how_many_coalitions_it_needs():
    with pytest.raises(CoalitionsError, match="all 14 coalitions but ∅ and N; 3 are there"):
        ESTIMATORS["exact"].fit(Sample(all_masks(4)[[1, 2, 3, 3]], np.zeros(4), 0.0, 1.0), Options())
    with pytest.raises(CoalitionsError, match="at most 24 contributors; here are 30"):
        ESTIMATORS["exact"].fit(Sample(draw_pairs(30, 3, 0), np.zeros(6), 0.0, 1.0), Options())


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "surrogateshap_paper"])
def test_a_lone_contributor_is_worth_everything(name):
    fit = estimate_game(name, lambda masks: 2.0 + 3 * masks[:, 0], 1, 10)
    assert fit.values.tolist() == [3]


def test_the_published_recipe_names_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(MissingExtraError) as caught:
        estimate_game("surrogateshap_paper", additive, N, 40)
    assert caught.value.remedy == 'pip install "surrogateshap[bench]"'
