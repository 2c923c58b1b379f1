"""The retraining game from a proxy and a few anchors, on games whose values are known."""

import numpy as np
import pytest

from surrogateshap.estimate import all_masks, exact_shapley
from surrogateshap.estimate.gap import FEWEST, close_gap
from surrogateshap.games.encoded import Bools, Floats
from surrogateshap.games.membership import coalition_shares

N = 8
ROWS = np.array([5, 40, 10, 10, 80, 20, 10, 30])
MASKS = all_masks(N)
EMPTY = -0.3


def curved(seed: int) -> Floats:
    """A game that no linear model is: (2^N,) values, ∅ first."""
    mixed = coalition_shares(MASKS, ROWS) @ np.random.default_rng(seed).normal(size=(N, 3))
    values = np.sin(2 * mixed[:, 0]) - (mixed[:, 1:] ** 2).sum(axis=1)
    values[0] = EMPTY
    return np.asarray(values)


def linear(seed: int) -> Floats:
    """A difference in the model's span, none at ∅."""
    rng = np.random.default_rng(seed)
    values = 0.2 + 0.5 * coalition_shares(MASKS, ROWS) @ rng.normal(size=N) + 0.1 * MASKS @ rng.normal(size=N)
    values[0] = 0.0
    return np.asarray(values)


def half_size(count: int, seed: int = 0) -> Bools:
    """`count` coalitions of half size, complements side by side."""
    rng = np.random.default_rng(seed)
    masks = np.array([rng.permutation(N) < N // 2 for _ in range(count // 2)])
    return np.stack([masks, ~masks], axis=1).reshape(-1, N)


def index(masks: Bools) -> np.ndarray:
    return np.asarray(masks @ (1 << np.arange(N)))


def test_a_difference_in_its_span_is_found() -> None:
    proxy, difference = curved(1), linear(2)
    truth = 1.7 * proxy + difference
    truth[0] = proxy[0]
    anchors = half_size(60)
    at = index(anchors)
    closing = close_gap(anchors, proxy[at], truth[at], exact_shapley(proxy, N), EMPTY, ROWS)
    assert closing is not None
    others = MASKS[1:]
    np.testing.assert_allclose(closing.predict(others, proxy[1:]), truth[1:], atol=0.03 * truth.std())
    np.testing.assert_allclose(closing.values, exact_shapley(truth, N), atol=0.03 * truth.std())
    assert closing.r2 > 0.99
    assert closing.proxy_r2 < 0.9


def test_values_add_up_to_the_corrected_game() -> None:
    proxy = curved(3)
    anchors = half_size(12)
    at = index(anchors)
    truth = proxy[at] + np.random.default_rng(0).normal(size=len(at))
    closing = close_gap(anchors, proxy[at], truth, exact_shapley(proxy, N), EMPTY, ROWS)
    assert closing is not None
    everyone = closing.predict(np.ones((1, N), bool), proxy[-1:])[0]
    assert closing.values.sum() == pytest.approx(everyone - EMPTY, abs=1e-9)
    predicted = closing.predict(MASKS[1:], proxy[1:])
    np.testing.assert_allclose(closing.values, exact_shapley(np.append(EMPTY, predicted), N), atol=1e-9)


def test_a_proxy_that_is_right_is_left_alone() -> None:
    proxy = curved(4)
    anchors = half_size(20)
    at = index(anchors)
    closing = close_gap(anchors, proxy[at], proxy[at], exact_shapley(proxy, N), EMPTY, ROWS)
    assert closing is not None
    np.testing.assert_allclose(closing.values, exact_shapley(proxy, N), atol=1e-9)
    assert (closing.r2, closing.proxy_r2) == (1.0, 1.0)


def test_noise_is_not_taken_for_a_difference() -> None:
    """R² is told from anchors that neither fit nor tuning saw, so noise explains nothing of itself."""
    told = []
    for seed in range(8):
        anchors = half_size(20, seed)
        noise = np.random.default_rng(seed).normal(size=len(anchors))
        closing = close_gap(anchors, np.zeros(len(anchors)), noise, np.zeros(N), 0.0, ROWS)
        assert closing is not None
        told.append(closing.r2)
    assert np.mean(told) < 0.1


def test_intervals_hold() -> None:
    """Of 90 % intervals from the draws most hold the truth: the difference is one that the priors expect."""
    held = []
    for seed in range(20):
        proxy, difference = curved(seed), linear(100 + seed)
        truth = proxy + difference
        anchors = half_size(24, seed)
        at = index(anchors)
        measured = truth[at] + 0.1 * truth.std() * np.random.default_rng(seed).normal(size=len(at))
        closing = close_gap(anchors, proxy[at], measured, exact_shapley(proxy, N), EMPTY, ROWS)
        assert closing is not None
        half = 1.645 * closing.draws.std(axis=0)
        held.append(np.abs(closing.values - exact_shapley(truth, N)) <= half)
    assert 0.75 < np.mean(held) <= 1.0


def test_contributors_in_another_order_get_the_same_values() -> None:
    proxy, order = curved(5), np.random.default_rng(1).permutation(N)
    anchors = half_size(16)
    at = index(anchors)
    truth = proxy[at] + linear(6)[at]
    shapley = exact_shapley(proxy, N)
    one = close_gap(anchors, proxy[at], truth, shapley, EMPTY, ROWS)
    other = close_gap(anchors[:, order], proxy[at], truth, shapley[order], EMPTY, ROWS[order])
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other.values, one.values[order], atol=1e-9)


def test_too_few_anchors() -> None:
    anchors = half_size(FEWEST - 2)
    assert close_gap(anchors, np.zeros(len(anchors)), np.ones(len(anchors)), np.zeros(N), 0.0, ROWS) is None
