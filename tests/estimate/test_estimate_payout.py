"""Shares for payment: what the rule promises, on any values."""

from itertools import combinations
from math import fsum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogateshap.estimate.payout import drawn_values, in_cents, normal_values, payout_shares, share_intervals

VALUES = st.lists(
    st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, -1.0, 0.1, 0.3, 1e-12, 1e300, 5e-324]), min_size=1, max_size=12
)
MINIMUM = st.sampled_from([0.0, 0.0, 0.01, 0.1, 1 / 3, 0.5, 1.0])


def shares_of(values, minimum=0.0, alike=()):
    return payout_shares(np.array(values), minimum, alike)


@given(values=VALUES, minimum=MINIMUM)
def test_shares_add_up_and_are_never_negative(values, minimum):
    shares = shares_of(values, minimum)
    assert (shares >= 0).all()
    paid = shares[shares > 0]
    if max(values) > 0 and minimum == 0:
        assert len(paid)
    assert not len(paid) or fsum(shares) == pytest.approx(1, abs=4e-16 * len(values))
    assert (paid >= minimum * (1 - 1e-9)).all()


@given(values=VALUES, minimum=MINIMUM)
def test_more_never_gets_less_and_nothing_gets_nothing(values, minimum):
    shares = shares_of(values, minimum)
    order = np.argsort(values, kind="stable")
    assert (np.diff(shares[order]) >= 0).all()
    assert (shares[np.array(values) <= 0] == 0).all()


@given(values=VALUES, minimum=MINIMUM, seed=st.integers(0, 2**32))
def test_names_and_places_don_t_matter(values, minimum, seed):
    order = np.random.default_rng(seed).permutation(len(values))
    twice = [*values, *values]
    np.testing.assert_allclose(shares_of(np.array(values)[order], minimum), shares_of(values, minimum)[order])
    both = shares_of(twice, minimum)
    assert (both[: len(values)] == both[len(values) :]).all()


@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12),
    minimum=MINIMUM,
    scale=st.sampled_from([2.0**-40, 0.5, 4.0, 2.0**60]),
)
def test_the_unit_doesn_t_matter(values, minimum, scale):
    values = [round(value, 3) for value in values]
    assert (shares_of(np.array(values) * scale, minimum) == shares_of(values, minimum)).all()


@given(values=VALUES, minimum=MINIMUM)
def test_as_many_are_paid_as_the_minimum_allows(values, minimum):
    """By brute force: the largest beginning of the order, ties whole, in which everyone gets the minimum."""
    values = [round(value, 2) if abs(value) < 1e6 else 0.0 for value in values]
    shares, best = shares_of(values, minimum), 0
    for cut in {value for value in values if value > 0}:
        kept = [value for value in values if value >= cut]
        if cut >= minimum * fsum(kept) * (1 - 1e-12):
            best = max(best, len(kept))
    assert (shares > 0).sum() == best


def test_the_smallest_leave_first_and_their_part_is_given_to_the_others():
    assert shares_of([4, 3, 2, 1, -5]).tolist() == [0.4, 0.3, 0.2, 0.1, 0]
    # 0.1 is too little; without it 2/9 is enough, though 0.2 was not.
    np.testing.assert_allclose(shares_of([4, 3, 2, 1, -5], 0.21), [4 / 9, 3 / 9, 2 / 9, 0, 0])
    assert shares_of([1, 1, 1, 1], 0.25).tolist() == [0.25] * 4
    assert shares_of([1, 1, 1, 1], 0.26).tolist() == [0] * 4
    assert shares_of([3, 1, 1, 1], 0.4).tolist() == [1, 0, 0, 0]
    assert shares_of([0, -1]).tolist() == [0, 0]


def test_equal_but_for_rounding_is_equal():
    shares = shares_of([0.1 + 0.2, 0.3, 0.3 + 1e-15, 0.2, 1e-17])
    assert shares[0] == shares[1] == shares[2] > shares[3]
    assert shares[4] == 0
    assert shares_of([0.3, 0.2, 0.4], alike=[(0, 1)]).tolist() == pytest.approx([0.25 / 0.9, 0.25 / 0.9, 0.4 / 0.9])


@given(values=VALUES, minimum=MINIMUM, cents=st.integers(1, 10**14))
def test_cents_add_up_to_the_amount(values, minimum, cents):
    shares = shares_of(values, minimum)
    paid = in_cents(shares, cents)
    assert paid.sum() == (cents if shares.any() else 0)
    assert (paid >= 0).all()
    assert (paid[shares == 0] == 0).all()
    np.testing.assert_allclose(paid, shares * cents, atol=1.0 + 1e-15 * cents * len(values))
    for i, j in combinations(range(len(values)), 2):
        if shares[i] == shares[j]:
            assert abs(paid[i] - paid[j]) <= 1


def test_left_over_cents_go_to_the_largest_remainders():
    assert in_cents(np.array([0.5, 0.3, 0.2]), 9).tolist() == [4, 3, 2]  # 4.5, 2.7, 1.8
    assert in_cents(np.full(3, 1 / 3), 10_000).tolist() == [3334, 3333, 3333]


def test_intervals_follow_the_draws_and_hold_the_share():
    values = np.array([2.0, 1.0, -1.0])
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(300, 3)) * [0.2, 0.2, 0.1]
    moved = drawn_values(values, draws, draws[:20] + 7, seed=1)
    np.testing.assert_allclose(moved.mean(axis=0), values, atol=0.05)
    expected = np.hypot(draws.std(axis=0), draws[:20].std(axis=0))
    np.testing.assert_allclose(moved.std(axis=0), expected, rtol=0.1)
    shares = shares_of(values)
    low, high = share_intervals(shares, np.array([payout_shares(row) for row in moved]), 0.9)
    assert (low <= shares).all()
    assert (shares <= high).all()
    assert high[0] - low[0] == pytest.approx(high[1] - low[1], rel=1e-9)  # two shares of 1
    assert (low[2], high[2]) == (0, 0)
    np.testing.assert_allclose(normal_values(values, np.array([0.5, 0, 1]), 3).std(axis=0), [0.5, 0, 1], atol=0.05)
    assert (drawn_values(values, None, None, 0) == values).all()
