"""Every estimator on games of shapiq's own collection, against shapiq's own exact values."""

import numpy as np
import pytest
from shapiq import ExactComputer
from shapiq_games.synthetic import SOUM, DummyGame, UnanimityGame

from surrogateshap.estimate import Options, all_masks, estimate_game, exact_interactions, exact_shapley

N = 8
GAMES = {
    "dummy": DummyGame(n=N, interaction=(1, 4)),
    "unanimity": UnanimityGame(np.array([0, 1, 0, 1, 0, 0, 1, 0])),
    "sums of unanimity games": SOUM(n=N, n_basis_games=20, random_state=3),
}


def exact(name: str, index: str, order: int) -> np.ndarray:
    found = ExactComputer(GAMES[name], n_players=N)(index, order)
    return np.asarray(found.get_n_order_values(order))


@pytest.mark.parametrize("name", GAMES)
def test_exact_values_and_interactions_are_shapiqs(name: str) -> None:
    values = np.asarray(GAMES[name](all_masks(N)), dtype=np.float64)
    np.testing.assert_allclose(exact_shapley(values, N), exact(name, "SV", 1), atol=1e-9)
    pairs = exact(name, "SII", 2)
    np.testing.assert_allclose(exact_interactions(values, N), pairs, atol=1e-9)


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize(
    ("estimator", "miss"), [("exact", 1e-9), ("surrogate", 0.05), ("kernel", 0.1), ("permutation", 0.2)]
)
def test_estimates_are_near_shapiqs(name: str, estimator: str, miss: float) -> None:
    game = GAMES[name]
    fit = estimate_game(estimator, lambda masks: np.asarray(game(masks), dtype=np.float64), N, 2_000, Options(seed=1))
    known = exact(name, "SV", 1)
    assert np.linalg.norm(fit.values - known) <= miss * np.linalg.norm(known)
