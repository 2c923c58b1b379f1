"""Uncertainty: bootstrap over images and coalitions, intervals and ranks."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from surrogateshap.estimate import (
    TreeSettings,
    all_masks,
    coalition_draws,
    draw_pairs,
    exact_shapley,
    fit_surrogate,
    image_draws,
    intervals,
    resampling,
)
from surrogateshap.estimate.intervals import ranks
from surrogateshap.games import FreshGame, Membership, MixtureGame
from surrogateshap.games.utilities.pairwise import Pairwise
from surrogateshap.games.utilities.score import Mean, WeightedQuantile


def pool(n=9, images=160, cells=8, seed=0):
    rng = np.random.default_rng(seed)
    shares = np.hstack([rng.dirichlet(np.full(cells - 1, 0.5), size=n), np.zeros((n, 1))])
    of_image = np.arange(images) % cells
    rows = rng.integers(5, 60, size=n)
    names = tuple(map(str, range(n)))
    return Membership(names, rows, sp.csr_array(shares), of_image, cells - 1), rng.normal(size=images) + of_image / 4


def enumerated(game, resamples, seed):
    rng, every = np.random.default_rng(seed), all_masks(game.n)
    even = np.ones(len(game.resample(np.random.default_rng(0))))
    before = exact_shapley(game.resampled(even)(every), game.n)
    moved = [even + game.step * (game.resample(rng) - even) for _ in range(resamples)]
    return (np.array([exact_shapley(game.resampled(w)(every), game.n) for w in moved]) - before) / game.step


@pytest.mark.parametrize("kind", ["mean", "quantile", "pairwise"])
def test_image_draws_are_close_to_full_enumeration(kind):
    membership, scores = pool()
    features = np.column_stack([scores, np.sin(scores * 5)])
    utility = {
        "mean": Mean(scores),
        "quantile": WeightedQuantile(scores, 0.7),
        "pairwise": Pairwise(features, "squared_euclidean"),
    }[kind]
    game = MixtureGame(utility, membership)
    draws, truth = image_draws(game, 40, seed=2, pairs=64), enumerated(game, 40, seed=2)
    bound = {"mean": 1e-4, "quantile": 0.3, "pairwise": 0.1}[kind]
    assert np.linalg.norm(draws - truth) < bound * np.linalg.norm(truth)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_image_draws_of_few_contributors_are_exact(n):
    membership, scores = pool(n=n)
    game = MixtureGame(WeightedQuantile(scores, 0.6), membership)
    np.testing.assert_allclose(image_draws(game, 10, seed=4), enumerated(game, 10, seed=4), atol=1e-12)


def test_image_draws_match_the_error_of_a_mean():
    """One contributor per cell and no mixing: a lone contributor's value varies as a mean of m images does."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=50)
    alone = Membership(("only",), np.array([3]), sp.csr_array(np.ones((1, 1))), np.zeros(50, dtype=np.int64))
    draws = image_draws(MixtureGame(Mean(scores), alone, empty_value=0.0), 2_000, seed=0)
    assert draws.std() == pytest.approx(scores.std() / np.sqrt(50), rel=0.1)


def test_image_draws_of_a_smooth_utility_have_the_linearised_variance():
    """A lone contributor's diversity 2 (E|x|² − |E x|²): each image counts by its squared distance from the mean."""
    x = np.random.default_rng(0).normal(size=(12, 2))
    alone = Membership(("only",), np.array([3]), sp.csr_array(np.ones((1, 1))), np.zeros(12, dtype=np.int64))
    game = MixtureGame(Pairwise(x, "squared_euclidean"), alone, empty_value=0.0)
    draws = image_draws(game, 1_000, seed=0)
    influence = 2 * ((x - x.mean(axis=0)) ** 2).sum(axis=1)
    assert draws.std() == pytest.approx(influence.std(ddof=1) / np.sqrt(12), rel=0.08)


def test_equal_contributors_have_equal_draws_where_all_coalitions_count():
    membership, scores = pool(n=4)
    shares = membership.shares.toarray()
    shares[2] = shares[0]
    rows = np.array([9, 4, 9, 30])
    twins = Membership(membership.names, rows, sp.csr_array(shares), membership.cell_of_image, membership.empty_cell)
    draws = image_draws(MixtureGame(Mean(scores), twins), 20, seed=0)
    np.testing.assert_allclose(draws[:, 0], draws[:, 2], atol=1e-12)


def test_image_draws_of_a_fresh_game_stay_on_its_coalitions():
    n, each = 9, 12
    masks = np.vstack([np.zeros((1, n), dtype=bool), np.ones((1, n), dtype=bool), draw_pairs(n, 40, seed=0)])
    scores = np.random.default_rng(1).normal(size=each * len(masks))
    of_image = np.repeat(np.arange(len(masks)), each)
    game = FreshGame(Mean(scores), masks, of_image, rows=np.arange(1, n + 1))
    draws = image_draws(game, 30, seed=0)
    assert draws.shape == (30, n)
    assert (draws.std(axis=0) > 0).all()
    ends = game.resampled(game.resample(np.random.default_rng(0)))
    total = (ends.v_full - ends.v_empty) - (game.v_full - game.v_empty)
    assert draws[0].sum() == pytest.approx(total, abs=1e-9)


def test_coalition_draws_spread_about_as_much_as_new_coalitions_do():
    def game(masks):
        return np.sqrt(masks @ np.arange(1.0, 10)) + masks[:, 0] * masks[:, 1]

    settings = TreeSettings(trees=60)
    full = float(game(np.ones((1, 9), dtype=bool))[0])
    truth = exact_shapley(game(all_masks(9)), 9)
    errors = []
    for seed in range(6):
        masks = draw_pairs(9, 60, seed)
        fit = fit_surrogate(masks, game(masks), 0.0, full, settings, seed, cross_validate=False)
        errors.append(fit.values - truth)
    draws = coalition_draws(masks, game(masks), 0.0, full, settings, 0, refits=12)
    spread = np.sqrt(draws.var(axis=0, ddof=1).mean())
    assert 0.4 < spread / np.sqrt(np.square(errors).mean()) < 4


def test_refits_on_fewer_coalitions_spread_about_as_much(monkeypatch):
    def game(masks):
        return np.sqrt(masks @ np.arange(1.0, 10)) + masks[:, 0] * masks[:, 1]

    masks, settings = draw_pairs(9, 120, seed=1), TreeSettings(trees=60)
    full = float(game(np.ones((1, 9), dtype=bool))[0])
    spreads = []
    for most in (240, 80):
        monkeypatch.setattr(resampling, "MOST_RESAMPLED", most)
        draws = coalition_draws(masks, game(masks), 0.0, full, settings, 0, refits=12)
        spreads.append(np.sqrt(draws.var(axis=0, ddof=1).mean()))
    assert 0.5 < spreads[1] / spreads[0] < 3  # slower than √m where the fit gets better faster


def test_intervals_add_variances_and_are_symmetric_around_values():
    rng = np.random.default_rng(0)
    values = np.array([3.0, 1.0, 2.0])
    images, coalitions = rng.normal(size=(500, 3)) * 0.3 + 7, rng.normal(size=(30, 3)) * 0.4
    found = intervals(values, images, coalitions, 0.9)
    np.testing.assert_allclose(found.sd_images, images.std(axis=0, ddof=1))
    np.testing.assert_allclose(found.sd_coalitions, coalitions.std(axis=0, ddof=1))
    np.testing.assert_allclose((found.low + found.high) / 2, values)
    half = 1.6448536269514722 * np.sqrt(found.sd_images**2 + found.sd_coalitions**2)
    np.testing.assert_allclose(found.high - values, half)
    alone = intervals(values, images, None, 0.9)
    assert alone.sd_coalitions.tolist() == [0, 0, 0]
    assert (alone.high < found.high).all()


def test_ranks_are_certain_when_values_lie_far_apart_and_open_when_they_do_not():
    draws = np.random.default_rng(0).normal(size=(400, 3)) * 0.1
    far = intervals(np.array([0.0, 10.0, 5.0]), draws, None, 0.9)
    assert far.rank_low.tolist() == far.rank_high.tolist() == [3, 1, 2]
    near = intervals(np.array([0.0, 0.001, 5.0]), draws, draws[:30], 0.9)
    assert near.rank_low.tolist() == [2, 2, 1]
    assert near.rank_high.tolist() == [3, 3, 1]


def test_probability_of_the_top_follows_the_draws():
    draws = np.random.default_rng(0).normal(size=(4_000, 4)) * 0.1
    assert intervals(np.zeros(4), draws, None, 0.9).in_top is None
    found = intervals(np.array([0.0, 9.0, 9.0, 5.0]), draws, None, 0.9, top=2).in_top
    assert found.tolist() == [0, 1, 1, 0]
    close = intervals(np.array([0.0, 0.1, 5.0, -5.0]), draws, draws[:40], 0.9, top=2).in_top
    # The difference of two deviations from two sources has a standard deviation of 0.2.
    np.testing.assert_allclose(close, [0.31, 0.69, 1, 0], atol=0.05)


def test_ties_share_the_last_places_of_the_top():
    sure = np.zeros((2, 5))
    values = np.array([3.0, 1.0, 1.0, 1.0, 0.0])
    for top, expected in ((1, [1, 0, 0, 0, 0]), (2, [1, 1 / 3, 1 / 3, 1 / 3, 0]), (4, [1, 1, 1, 1, 0]), (5, [1] * 5)):
        np.testing.assert_allclose(intervals(values, sure, None, 0.9, top).in_top, expected)


@given(n=st.integers(1, 9), seed=st.integers(0, 2**32), top=st.integers(1, 9))
def test_probabilities_of_the_top_add_up(n, seed, top):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=n), 1)
    found = intervals(values, np.round(rng.normal(size=(30, n)), 1), None, 0.9, min(top, n)).in_top
    assert found.sum() == pytest.approx(min(top, n))
    assert ((found >= 0) & (found <= 1)).all()


def test_equal_values_share_the_smallest_rank():
    assert ranks(np.array([2.0, 5.0, 2.0, 1.0])).tolist() == [2, 1, 2, 4]
    assert ranks(np.array([[1.0, 2.0], [2.0, 1.0]])).tolist() == [[2, 1], [1, 2]]


@given(n=st.integers(1, 12), seed=st.integers(0, 2**32), level=st.floats(0.1, 0.99))
def test_rank_intervals_hold_the_rank(n, seed, level):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=n), 1)
    found = intervals(values, rng.normal(size=(30, n)), rng.normal(size=(5, n)), level)
    assert (found.low <= values).all()
    assert (found.rank_low >= 1).all()
    assert (found.rank_low <= ranks(values)).all()
    assert (ranks(values) <= found.rank_high).all()
    assert (found.rank_high <= n).all()
