"""Values by coalition size against brute force."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from surrogateshap.estimate import all_masks, draw_pairs, exact_shapley
from surrogateshap.estimate.by_size import value_by_size


def game(masks: np.ndarray) -> np.ndarray:
    """Not additive: members are worth less beside others, and two of them more together."""
    n = masks.shape[1]
    return np.sqrt(masks @ np.arange(1.0, n + 1)) + masks[:, 0] * masks[:, 1] - 0.3 * masks[:, 2]


@pytest.mark.parametrize("contributor", [0, 2, 5])
def test_all_coalitions_give_the_mean_marginal_contributions(contributor: int) -> None:
    n = 6
    masks = all_masks(n)
    values = game(masks)
    found = value_by_size(masks[1:-1], values[1:-1], values[0], values[-1], contributor)
    others = [other for other in range(n) if other != contributor]
    for size, one in enumerate(found):
        gains = []
        for members in combinations(others, size):
            without = np.zeros((1, n), bool)
            without[0, list(members)] = True
            within = without.copy()
            within[0, contributor] = True
            gains.append(float((game(within) - game(without))[0]))
        assert (one.smallest, one.largest) == (size, size)
        assert one.value == pytest.approx(np.mean(gains))
        assert one.error == pytest.approx(0.0, abs=1e-12)
        assert one.spread == (pytest.approx(np.std(gains, ddof=1)) if len(gains) > 1 else None)
    shapley = exact_shapley(values, n)
    assert np.mean([one.value for one in found]) == pytest.approx(shapley[contributor])


def test_drawn_coalitions_come_near_within_their_errors() -> None:
    n, contributor = 10, 3
    masks = draw_pairs(n, 400, 0)
    every = all_masks(n)
    values, all_values = game(masks), game(every)
    ends = all_values[0], all_values[-1]
    truth = value_by_size(every[1:-1], all_values[1:-1], *ends, contributor)
    found = value_by_size(masks, values, *ends, contributor)
    assert [one.smallest for one in found] == [one.smallest for one in truth]
    off = [abs(one.value - true.value) / one.error for one, true in zip(found, truth, strict=True) if one.error]
    assert len(off) >= 6
    assert max(off) < 3.5
    assert sum(one.coalitions for one in found) < sum(one.coalitions for one in truth)


def test_many_sizes_are_taken_together_and_sizes_without_both_sides_left_out() -> None:
    masks = draw_pairs(40, 300, 1)
    found = value_by_size(masks, game(masks), 0.0, float(game(np.ones((1, 40), bool))[0]), 7, most=8)
    assert len(found) <= 8
    assert found[0].smallest == 0
    assert found[-1].largest == 39
    assert all(one.largest < other.smallest for one, other in pairwise(found))
    one = value_by_size(np.zeros((0, 3), bool), np.zeros(0), 1.0, 4.0, 0)
    assert one == ()
