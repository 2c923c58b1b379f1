import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surrogateshap.plan.allocation import allocate

shares = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(np.array)


@given(shares, st.integers(0, 300), st.integers(0, 4))
def test_they_sum_to_the_total_and_go_only_where_there_is_a_share(shares: np.ndarray, images: int, least: int) -> None:
    counts = allocate(shares, images, least)
    assert counts.sum() == (images if (shares > 0).any() else 0)
    assert (counts[shares == 0] == 0).all()
    if images >= least * (shares > 0).sum():
        assert (counts[shares > 0] >= least).all()


@given(shares, st.integers(0, 200), st.integers(0, 3))
def test_no_cell_loses_an_image_when_the_total_grows(shares: np.ndarray, images: int, least: int) -> None:
    assert (allocate(shares, images + 1, least) >= allocate(shares, images, least)).all()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=10).map(np.array), st.integers(1, 5))
def test_whole_multiples_are_met_exactly(rows: np.ndarray, times: int) -> None:
    assert allocate(rows.astype(float), times * int(rows.sum())).tolist() == (times * rows).tolist()


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=10).map(np.array), st.integers(1, 300))
def test_highest_averages(shares: np.ndarray, images: int) -> None:
    """Sainte-Laguë's own condition: nobody's last seat has a smaller quotient than anybody's next one."""
    counts = allocate(shares, images)
    last = shares / np.maximum(2 * counts - 1, 1)
    following = shares / (2 * counts + 1)
    assert last[counts > 0].min() >= following.max() * (1 - 1e-12)


def test_a_known_election() -> None:
    """Three parties and seven seats: https://en.wikipedia.org/wiki/Sainte-Lagu%C3%AB_method."""
    assert allocate(np.array([53_000.0, 24_000.0, 23_000.0]), 7).tolist() == [3, 2, 2]


def test_the_largest_come_first_where_there_is_too_little() -> None:
    assert allocate(np.array([0.2, 0.5, 0.3]), 2, least=2).tolist() == [0, 1, 1]


def test_nothing_to_give_and_nobody_to_give_it_to() -> None:
    assert allocate(np.array([0.5, 0.5]), 0).tolist() == [0, 0]
    assert allocate(np.zeros(2), 5, least=1).tolist() == [0, 0]
