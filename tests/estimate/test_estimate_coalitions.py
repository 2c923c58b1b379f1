"""The drawing of coalitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogateshap.estimate import all_masks, draw_pairs
from surrogateshap.estimate.coalitions import coalition_values, pair_groups


def test_all_masks_are_bitmasks():
    masks = all_masks(4)
    assert masks.shape == (16, 4)
    assert (masks @ (1 << np.arange(4))).tolist() == list(range(16))
    for n in (0, 25):
        with pytest.raises(ValueError, match="1 to 24"):
            all_masks(n)


@given(n=st.integers(2, 30), pairs=st.integers(1, 50), fewer=st.integers(0, 50), seed=st.integers(0, 2**63 - 1))
def test_pairs_are_complementary_proper_and_a_seeded_prefix(n, pairs, fewer, seed):
    masks = draw_pairs(n, pairs, seed)
    assert masks.shape == (2 * pairs, n)
    assert masks.dtype == np.bool_
    assert (masks[0::2] == ~masks[1::2]).all()
    assert masks.any(axis=1).all()
    assert not masks.all(axis=1).any()
    fewer = min(fewer, pairs)
    assert (draw_pairs(n, fewer, seed) == masks[: 2 * fewer]).all()


def test_sizes_follow_the_shapley_kernel():
    n, pairs = 6, 40_000
    masks = draw_pairs(n, pairs, seed=0)
    sizes = np.arange(1, n)
    expected = 1 / (sizes * (n - sizes))
    found = np.bincount(masks.sum(axis=1), minlength=n)[1:] / (2 * pairs)
    np.testing.assert_allclose(found, expected / expected.sum(), atol=0.01)
    two = masks[masks.sum(axis=1) == 2]
    np.testing.assert_allclose(two.mean(axis=0), 2 / n, atol=0.02)


def test_one_contributor_has_no_proper_coalition():
    with pytest.raises(ValueError, match="two contributors"):
        draw_pairs(1, 3, 0)


def test_groups_keep_pairs_together_and_leave_other_tables_alone():
    masks = draw_pairs(5, 3, 0)
    assert pair_groups(masks).tolist() == [0, 0, 1, 1, 2, 2]
    assert pair_groups(masks[1:5]).tolist() == [0, 1, 2, 3]


def test_complete_tables_are_recognised_and_repeats_averaged():
    masks = np.array([[1, 0], [0, 1], [1, 0]], dtype=bool)
    assert coalition_values(masks, np.array([1.0, 5, 3]), -1.0, 9.0).tolist() == [-1, 2, 5, 9]
    assert coalition_values(masks[[0, 2]], np.zeros(2), 0.0, 0.0) is None
