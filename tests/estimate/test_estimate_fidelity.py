"""Agreement of a proxy game with anchors, against scipy and against games whose answer is known."""

import numpy as np
import pytest
from scipy.stats import linregress, spearmanr

from surrogateshap.estimate import all_masks, draw_pairs, exact_shapley
from surrogateshap.estimate.fidelity import UndefinedError, agreement, complements, resample_anchors, spearman

RNG = np.random.default_rng(5)
MASKS = np.unique(RNG.random((80, 7)) < 0.5, axis=0)
MASKS = MASKS[MASKS.any(axis=1)]
WORTH = RNG.normal(size=7)
PROXY = MASKS @ WORTH + 0.3 * (MASKS.sum(axis=1) > 3)
TRUTH = 2.0 * PROXY - 1.0 + RNG.normal(scale=0.8, size=len(MASKS))


def test_rank_correlations_are_scipys_with_ties_and_repeats() -> None:
    a, b = RNG.normal(size=40).round(1), RNG.normal(size=40).round(1)
    times = RNG.integers(0, 3, size=(25, 40))
    found = spearman(a, b, times)
    for row, repeats in zip(found, times, strict=True):
        rows = np.repeat(np.arange(40), repeats)
        assert row == pytest.approx(spearmanr(a[rows], b[rows]).statistic, abs=1e-12)
    assert np.isnan(spearman(a, b, np.eye(40, dtype=np.int64)[:2])).all()


def test_agreement_is_what_scipy_says() -> None:
    found = agreement(MASKS, PROXY, TRUTH, WORTH, 0.9)
    assert found.spearman.value == pytest.approx(spearmanr(PROXY, TRUTH).statistic)
    assert found.lds.value == pytest.approx(spearmanr((MASKS @ WORTH).round(9), TRUTH).statistic)
    assert found.lds.value != found.spearman.value
    line = linregress(PROXY, TRUTH)
    assert (found.slope, found.intercept) == (pytest.approx(line.slope), pytest.approx(line.intercept))
    assert sum(size for size, _, _ in found.bins) == len(MASKS)
    assert len(found.bins) == 5
    assert [proxy for _, proxy, _ in found.bins] == sorted(proxy for _, proxy, _ in found.bins)
    assert np.average([y for _, _, y in found.bins], weights=[m for m, _, _ in found.bins]) == pytest.approx(
        TRUTH.mean()
    )
    for one in (found.spearman, found.lds):
        assert one.low < one.value < one.high


def test_lds_punishes_a_game_that_is_not_additive_and_v_does_not() -> None:
    masks = all_masks(6)
    game = ((masks.sum(axis=1) - 3.0) ** 2) + masks[:, 0]
    some = masks[1:]
    found = agreement(some, game[1:], game[1:], exact_shapley(game, 6), 0.9)
    assert found.spearman.value == 1.0
    assert found.lds.value < 0.6


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rho, held = 0.7, 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        proxy = rng.normal(size=60)
        truth = rho * proxy + np.sqrt(1 - rho**2) * rng.normal(size=60)
        masks = rng.random((60, 20)) < 0.5
        one = agreement(masks, proxy, truth, rng.normal(size=20), 0.9, seed).spearman
        held += one.low <= 6 / np.pi * np.arcsin(rho / 2) <= one.high  # of normal pairs (Kruskal 1958)
    assert 0.82 <= held / 120 <= 0.97


def test_complements_are_drawn_together() -> None:
    pairs = draw_pairs(9, 6, seed=1)
    order = np.random.default_rng(0).permutation(12)
    groups = complements(pairs[order])
    for group in np.unique(groups):
        first, second = pairs[order][groups == group]
        assert (first == ~second).all()
    times = resample_anchors(pairs, 50, seed=0)
    assert (times[:, 0::2] == times[:, 1::2]).all()
    assert (times.sum(axis=1) == 12).all()
    alone = resample_anchors(pairs[0::2], 50, seed=0)
    assert (alone.min(axis=1) == 0).any()


@pytest.mark.parametrize(
    ("proxy", "truth", "worth", "said"),
    [
        (PROXY, np.full(len(MASKS), 0.1), WORTH, "retrained values are the same"),
        (np.full(len(MASKS), 0.1), TRUTH, WORTH, "proxy's values are the same"),
        (PROXY, TRUTH, np.zeros(7), "sums of the proxy's Shapley values are the same"),
    ],
)
def test_what_is_constant_is_told(proxy: np.ndarray, truth: np.ndarray, worth: np.ndarray, said: str) -> None:
    with pytest.raises(UndefinedError, match=said):
        agreement(MASKS, proxy, truth, worth, 0.9)
    with pytest.raises(UndefinedError, match="2 anchors are too few"):
        agreement(MASKS[:2], PROXY[:2], TRUTH[:2], WORTH, 0.9)
