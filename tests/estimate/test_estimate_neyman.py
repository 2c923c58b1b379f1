"""Where images go: the known optimum of a mean game, and what must hold of any allocation."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from surrogateshap.estimate import image_draws, share_shapley
from surrogateshap.estimate.neyman import Need, combined, spreads, top_probability, unit_draws, units_of
from surrogateshap.games import Membership, MixtureGame, make_utility
from surrogateshap.games.encoded import Encoded, Floats, Ints
from surrogateshap.plan.allocation import extend
from surrogateshap.spec.utilities import UtilitySection

ROWS = np.array([30, 10, 20], dtype=np.int64)
SHARES = np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0.2, 0, 0.8, 0]])
SD = np.array([0.02, 0.1, 0.05, 0.2, 0.1])
"""Of the score in each cell; the last is that of no condition."""


def mean_game(counts: Ints, seed: int = 0) -> MixtureGame:
    rng = np.random.default_rng(seed)
    cells = np.repeat(np.arange(5), counts)
    score = np.clip(np.array([0.3, 0.4, 0.5, 0.6, 0.1])[cells] + SD[cells] * rng.normal(size=len(cells)), 0, 1)
    encoded = Encoded(np.zeros((len(cells), 1)), np.column_stack([score, 1 - score]), np.zeros_like(cells), ("a", "b"))
    section: dict[str, Any] = {"name": "m", "kind": "score", "score": {"class": 0}}
    adapter: TypeAdapter[UtilitySection] = TypeAdapter(UtilitySection)
    utility = make_utility(adapter.validate_python(section), encoded)
    return MixtureGame(utility, Membership(("a", "b", "c"), ROWS, sp.csr_array(SHARES), cells, 4))


def gradients() -> Floats:
    """(3, 5): derivative of each Shapley value by each cell's mean."""
    found = share_shapley(ROWS) @ SHARES
    found[:, 4] = -1 / 3
    return found


def variance(counts: Ints) -> Floats:
    """Of the three Shapley values, by the delta method, which is exact here."""
    return np.asarray((gradients() ** 2 * SD**2 / counts).sum(axis=1))


counts_and_spreads = st.lists(st.tuples(st.integers(0, 40), st.floats(0, 5)), min_size=1, max_size=12).map(
    lambda pairs: (np.array([n for n, _ in pairs]), np.array([spread for _, spread in pairs]))
)


@given(counts_and_spreads, st.integers(0, 200))
def test_no_image_is_taken_back_and_all_are_given(pair: tuple[Ints, Floats], images: int) -> None:
    counts, weights = pair
    after = extend(counts, weights, images)
    growing = (counts > 0) & (weights > 0)
    assert (after >= counts).all()
    assert (after[~growing] == counts[~growing]).all()
    assert after.sum() - counts.sum() == (images if growing.any() else 0)
    assert (extend(counts, weights, images + 1) >= after).all()


@given(st.lists(st.floats(0.1, 5), min_size=2, max_size=4).map(np.array), st.integers(0, 12))
def test_no_other_allocation_is_better(weights: Floats, images: int) -> None:
    def loss(counts: Ints) -> float:
        return float((weights**2 / counts).sum())

    found = extend(np.ones(len(weights), np.int64), weights, images)
    for giver in range(len(weights)):
        for taker in range(len(weights)):
            if found[giver] > 1 and giver != taker:
                other = found.copy()
                other[giver] -= 1
                other[taker] += 1
                assert loss(found) <= loss(other) * (1 + 1e-12)


def test_unit_by_unit_draws_are_the_parts_of_all_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surrogateshap.estimate.neyman.RESAMPLES", 1_000)
    counts = np.array([320, 240, 400, 160, 240])
    game = mean_game(counts)
    draws = unit_draws(game, np.repeat(np.arange(5), counts), 5, seed=1)
    assert draws.shape == (5, 200, 3)
    parts = (draws**2).mean(axis=1)
    np.testing.assert_allclose(parts.T, gradients() ** 2 * SD**2 / counts, rtol=0.5, atol=1e-7)
    whole = image_draws(game, 400, seed=2).var(axis=0)
    np.testing.assert_allclose(parts.sum(axis=0), whole, rtol=0.35)
    np.testing.assert_array_equal(draws, unit_draws(game, np.repeat(np.arange(5), counts), 5, seed=1))


def test_a_grown_pool_comes_near_the_optimum_of_a_mean_game() -> None:
    """Neyman's optimum for the widest interval, found by brute force on the true variances."""
    pilot, budget = np.array([10, 10, 10, 10, 10]), 400
    game = mean_game(pilot, seed=3)
    sd = np.sqrt(variance(pilot))
    need = Need(unit_draws(game, np.repeat(np.arange(5), pilot), 5, seed=3), sd, np.ones(3))
    sizes = np.append(SHARES.mean(axis=0)[:4], 1 / 3)
    grown = extend(pilot, spreads([need], pilot, sizes, np.arange(5)), budget - 50)
    even = np.full(5, budget // 5)
    assert grown.argmax() == 3  # the noisiest, of the contributor with the widest interval
    assert grown[0] < grown[1] < grown[3]
    assert variance(grown).max() < 0.7 * variance(even).max()


def test_games_that_are_sure_enough_hardly_count() -> None:
    counts, sizes = np.array([10, 10]), np.array([0.5, 0.5])
    rng = np.random.default_rng(0)
    first, second = np.zeros((2, 50, 1)), np.zeros((2, 50, 1))
    first[0], second[1] = rng.normal(size=(50, 1)), rng.normal(size=(50, 1))

    def found(sd_first: float) -> Floats:
        needs = [Need(first, np.array([sd_first]), np.ones(1)), Need(second, np.ones(1), np.ones(1))]
        return spreads(needs, counts, sizes, np.arange(2))

    one, other = found(1.0)
    assert one == pytest.approx(other, rel=0.2)
    one, other = found(0.3)
    assert one < 0.75 * other
    one, other = found(3.0)
    assert one > 1.5 * other


def test_where_nothing_is_unsure_images_go_by_size() -> None:
    sizes = np.array([0.2, 0.3, 0.5])
    none = Need(np.zeros((3, 4, 2)), np.zeros(2), np.ones(2))
    for needs in ([], [none]):
        found = spreads(needs, np.array([4, 0, 2]), sizes, np.arange(3))
        assert found.tolist() == [0.2, 0.0, 0.5]


def test_cells_of_one_unit_differ_by_size_alone() -> None:
    rng = np.random.default_rng(0)
    need = Need(rng.normal(size=(2, 30, 2)) * np.array([3.0, 1.0])[:, None, None], np.ones(2), np.ones(2))
    sizes = np.array([0.1, 0.3, 0.4])
    found = spreads([need], np.array([5, 5, 5]), sizes, np.array([0, 0, 1]))
    assert found[1] / found[0] == pytest.approx(3)
    assert found[1] / sizes[1] > 1.5 * found[2] / sizes[2]


def test_units() -> None:
    assert units_of(np.array([0, 0, 3])).tolist() == [0, 1, 2]
    many = units_of(np.repeat(np.arange(50), 10))
    assert many.max() == 49
    assert (many == np.repeat(np.arange(50), 10)).all()
    assert units_of(np.arange(5_000)).max() < 300


def test_probability_of_the_top() -> None:
    values = np.array([3.0, 1.0, 1.0, 0.0])
    still = np.zeros((10, 4))
    assert top_probability(values, still, 1).tolist() == [1, 0, 0, 0]
    assert top_probability(values, still, 2).tolist() == [1, 1, 1, 0]  # ties share a rank
    rng = np.random.default_rng(0)
    sure = top_probability(np.array([1.0, 0.0]), rng.normal(size=(20_000, 2)), 1)
    assert sure[0] == pytest.approx(0.760, abs=0.02)  # Φ(1/√2)
    draws = rng.normal(size=(6, 30, 2)) * np.array([1.0, 4.0])
    both = combined(draws, np.array([0.3, 0.0]), np.array([0.4, 2.0]))
    np.testing.assert_allclose(both.std(axis=0), [0.5, 2.0], rtol=0.05)
