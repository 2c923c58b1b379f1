"""Which coalitions are chosen for retraining."""

import math

import numpy as np
import pytest

from surrogateshap.games.membership import coalition_shares
from surrogateshap.plan.anchor_choice import choose_coalitions, half_size_coalitions

ROWS = np.array([100] * 13 + [10])


def information(masks: np.ndarray, rows: np.ndarray) -> float:
    """Log determinant of what the coalitions tell about a constant and the shares of the rows, with a little ridge."""
    levels = coalition_shares(masks, rows) * (rows.sum() / rows) - 1
    features = np.hstack([np.ones((len(masks), 1)), levels])
    return float(np.linalg.slogdet(features.T @ features + 0.01 * np.eye(features.shape[1]))[1])


@pytest.mark.parametrize(("n", "count"), [(2, 2), (3, 6), (5, 20), (6, 20), (9, 40), (14, 30), (40, 12)])
def test_distinct_half_size_pairs(n: int, count: int) -> None:
    masks = choose_coalitions(n, count, seed=4)
    assert masks.shape == (count, n)
    assert len(np.unique(masks, axis=0)) == count
    assert set(masks.sum(axis=1).tolist()) == {n // 2, n - n // 2}
    np.testing.assert_array_equal(masks[1::2], ~masks[0::2])
    np.testing.assert_array_equal(masks.sum(axis=0), count // 2)


@pytest.mark.parametrize("n", [5, 6, 13])
def test_all_of_them_can_be_had_and_no_more(n: int) -> None:
    every = half_size_coalitions(n)
    assert every == sum(math.comb(n, size) for size in {n // 2, n - n // 2})
    few = min(every, 500)
    assert len(np.unique(choose_coalitions(n, few, 0), axis=0)) == few
    with pytest.raises(ValueError, match=f"{every} half-size coalitions"):
        choose_coalitions(n, every + 1, 0)


@pytest.mark.parametrize("n", [9, 14, 30])
def test_a_smaller_choice_begins_a_larger_one(n: int) -> None:
    whole = choose_coalitions(n, 24, 7, [(0, 1)])
    for count in (1, 2, 5, 12, 23):
        np.testing.assert_array_equal(choose_coalitions(n, count, 7, [(0, 1)]), whole[:count])
    assert (choose_coalitions(n, 24, 8, [(0, 1)]) != whole).any()


@pytest.mark.parametrize("count", [20, 40])
def test_better_balanced_than_random_pairs(count: int) -> None:
    rng = np.random.default_rng(1)
    random = []
    for _ in range(100):
        half = np.array([rng.permutation(14) < 7 for _ in range(count // 2)])
        random.append(information(np.vstack([half, ~half]), ROWS))
    assert information(choose_coalitions(14, count, 0), ROWS) > max(random)


def test_contributors_that_look_alike_are_parted_first() -> None:
    alike = [(2, 3), (5, 6), (8, 9, 10)]
    parted = {count: choose_coalitions(14, count, 0, alike) for count in (8, 60)}
    for a, b in ((2, 3), (5, 6)):
        few, many = ((masks[:, a] != masks[:, b]).mean() for masks in parted.values())
        assert few == 1
        assert 0.45 < many < 0.75  # for good, they would never be seen together
    three = parted[8][:, [8, 9, 10]].sum(axis=1)
    assert set(three.tolist()) == {1, 2}
    plain = choose_coalitions(14, 8, 0)
    assert any((plain[:, a] == plain[:, b]).any() for a, b in ((2, 3), (5, 6)))
