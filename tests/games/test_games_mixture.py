"""Mixture and fresh games, and the memberships behind them."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from surrogateshap.games import Encoded, FreshGame, Membership, MixtureGame, coalition_shares, make_utility
from surrogateshap.games.finite import leave_out
from surrogateshap.spec.utilities import UtilitySection

KINDS = {
    "mean": {"kind": "score"},
    "quantile": {"kind": "score", "statistic": {"quantile": 0.8}},
    "rate": {"kind": "rate", "class": 1},
    "frechet": {"kind": "frechet"},
    "kernel": {"kind": "kernel"},
    "inception": {"kind": "inception"},
    "pairwise": {"kind": "pairwise"},
    "cosine": {"kind": "pairwise", "metric": "cosine"},
}
N_IMAGES, CELLS, N = 60, 6, 5


def encoded(images=N_IMAGES):
    rng = np.random.default_rng(4)
    probabilities = rng.dirichlet(np.ones(3), size=images)
    return Encoded(rng.normal(size=(images, 4)), probabilities, rng.integers(-1, 3, size=images), ("a", "b", "c"))


def utility(kind, e=None):
    e = e or encoded()
    return make_utility(TypeAdapter(UtilitySection).validate_python({"name": "u", **KINDS[kind]}), e, e)


def membership(seed=0):
    rng = np.random.default_rng(seed)
    shares = np.hstack([rng.dirichlet(np.full(CELLS - 1, 0.5), size=N), np.zeros((N, 1))])
    shares[3] = shares[1]
    cells = np.concatenate([np.arange(CELLS), rng.integers(CELLS, size=N_IMAGES - CELLS)])
    rows = np.array([7, 20, 3, 20, 100])
    return Membership(tuple("vwxyz"), rows, sp.csr_array(shares), cells, CELLS - 1)


def even(game):
    """The same game with no finite pool's bias taken off."""
    return game.resampled(np.ones(N_IMAGES))


def every(n):
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


@pytest.mark.parametrize("kind", KINDS)
def test_value_is_the_utility_of_the_coalitions_weighted_images(kind):
    m, u = membership(), utility(kind)
    game = even(MixtureGame(u, m))
    by_hand = []
    for mask in every(N)[1:]:
        w = np.zeros(N_IMAGES)
        for i in np.flatnonzero(mask):
            for c in range(CELLS):
                inside = m.cell_of_image == c
                w[inside] += m.rows[i] / m.rows[mask].sum() * m.shares[[i], [c]][0] / inside.sum()
        by_hand.append(u.value(u.summarise(w[None]))[0])
    np.testing.assert_allclose(game(every(N))[1:], by_hand, rtol=1e-9, atol=1e-12)
    assert game.v_full == pytest.approx(by_hand[-1], rel=1e-9, abs=1e-12)
    unconditional = m.cell_of_image == CELLS - 1
    expected = u.value(u.summarise((unconditional / unconditional.sum())[None]))[0]
    assert game.v_empty == game(np.zeros((1, N), dtype=bool))[0] == pytest.approx(expected, abs=1e-12)


def test_empty_value_replaces_unconditional_images():
    m = membership()
    without = Membership(m.names, m.rows, m.shares, m.cell_of_image, None)
    game = MixtureGame(utility("mean"), without, empty_value=0.25)
    assert game(np.zeros((2, N), dtype=bool)).tolist() == [0.25, 0.25]
    assert game.resampled(game.resample(np.random.default_rng(0))).v_empty == 0.25
    with pytest.raises(ValueError, match="empty coalition needs"):
        MixtureGame(utility("mean"), without)


def test_equal_contributors_are_bit_equal():
    m = membership()
    counts = m.resample(np.random.default_rng(2))
    for weights in (m.weights(), m.weights(counts)):
        dense = weights.toarray()
        assert (dense[1] == dense[3]).all()
    swapped = every(N)[:, [0, 3, 2, 1, 4]]
    for kind in KINDS:
        game = MixtureGame(utility(kind), m)
        np.testing.assert_allclose(game(every(N)), game(swapped), rtol=1e-12, atol=1e-13)


def test_chunks_do_not_change_values(monkeypatch):
    game = MixtureGame(utility("frechet"), membership())
    whole = game(every(N))
    monkeypatch.setattr("surrogateshap.games.mixture._CHUNK", 50)
    np.testing.assert_allclose(game(every(N)), whole, rtol=1e-12)


def test_bootstrap_counts_equal_repeated_images():
    m, e = membership(), encoded()
    counts = m.resample(np.random.default_rng(5))
    again = np.repeat(np.arange(N_IMAGES), counts.astype(int))
    repeated = Encoded(e.features[again], e.probabilities[again], e.conditions[again], e.labels)
    longer = Membership(m.names, m.rows, m.shares, m.cell_of_image[again], m.empty_cell)
    for kind in ("mean", "quantile", "inception", "pairwise"):
        resampled = MixtureGame(utility(kind), m).resampled(counts)
        explicit = MixtureGame(utility(kind, repeated), longer).resampled(np.ones(len(again)))
        np.testing.assert_allclose(resampled(every(N)), explicit(every(N)), rtol=1e-9)


def squared(x, y):
    return ((x - y) ** 2).sum()


def minus_kernel(x, y):
    return -((x @ y / len(x) + 1) ** 3)


def distinct_pairs(e, m, mask, between):
    """Mean over two independent images of a coalition's mixture, no image being paired with itself."""
    mix = (m.rows * mask / m.rows[mask].sum()) @ m.shares
    of = [np.flatnonzero(m.cell_of_image == c) for c in range(CELLS)]
    return sum(
        mix[a] * mix[b] * np.mean([between(e.features[x], e.features[y]) for x in of[a] for y in of[b] if x != y])
        for a in range(CELLS - 1)
        for b in range(CELLS - 1)
    )


def test_quadratic_utilities_pair_distinct_images():
    m, e = membership(), encoded()
    masks = every(N)[[1, 6, 21, 31]]
    diversity = [distinct_pairs(e, m, mask, squared) for mask in masks]
    np.testing.assert_allclose(MixtureGame(utility("pairwise"), m)(masks), diversity, rtol=1e-10)
    # The reference is the pool itself: its part is the game's, and what is left is the coalition's.
    game = MixtureGame(utility("kernel"), m)
    rest = even(game)(masks) - [whole_pairs(e, m, mask) for mask in masks]
    expected = [distinct_pairs(e, m, mask, minus_kernel) for mask in masks] + rest
    np.testing.assert_allclose(game(masks), expected, rtol=1e-10)


def whole_pairs(e, m, mask):
    w = m.weights().T @ (m.rows * mask / m.rows[mask].sum())
    return sum(
        a * b * minus_kernel(x, y)
        for a, x in zip(w, e.features, strict=True)
        for b, y in zip(w, e.features, strict=True)
    )


@pytest.mark.parametrize("kind", ["frechet", "inception"])
def test_curved_utilities_are_corrected_by_leaving_images_out(kind):
    m = membership()
    game, raw = MixtureGame(utility(kind), m), even(MixtureGame(utility(kind), m))
    others = [raw.resampled(weights)(every(N)) for weights in leave_out(m.groups)]
    np.testing.assert_allclose(game(every(N)), 5 * raw(every(N)) - 4 * np.mean(others, axis=0), rtol=1e-9)
    assert (np.abs(game(every(N)) - raw(every(N))) > 1e-6).all()
    assert game.v_full == pytest.approx(game(every(N))[-1], rel=1e-12)


@pytest.mark.parametrize("images", [1, 2, 3, 4, 5, 10])
def test_leaving_out_shows_the_variance_of_a_mean(images):
    x, groups = np.random.default_rng(images).normal(size=images), np.full(images, 3)
    means = np.array([weights @ x / weights.sum() for weights in leave_out(groups)])
    assert means.mean() == pytest.approx(x.mean(), abs=1e-12)
    expected = 0 if images == 1 else x.var(ddof=1) / images
    if images <= 5:
        assert 4 / 5 * ((means - x.mean()) ** 2).sum() == pytest.approx(expected, abs=1e-12)
    assert all((weights >= 0).all() for weights in leave_out(groups))


def test_small_pools_no_longer_bias_a_frechet_distance():
    """One contributor of 20 images: without the correction the distance comes out too large."""
    rng = np.random.default_rng(0)
    far = rng.normal(size=(5_000, 3)) * [1, 2, 3]
    target = Encoded(far, np.ones((5_000, 1)), np.zeros(5_000, dtype=np.int64), ("a",))
    one = Membership(("one",), np.array([1]), sp.csr_array([[1.0]]), np.zeros(20, dtype=np.int64))
    raw, corrected = [], []
    for _ in range(150):
        features = rng.normal(size=(20, 3)) * [1, 2, 3]
        e = Encoded(features, np.ones((20, 1)), np.zeros(20, dtype=np.int64), ("a",))
        game = MixtureGame(make_utility(FRECHET, e, target), one, empty_value=0.0)
        raw.append(game.resampled(np.ones(20)).v_full)
        corrected.append(game.v_full)
    # The same distribution: the truth is nearly 0.
    assert np.mean(raw) < -1
    assert abs(np.mean(corrected)) < 0.2
    assert np.square(corrected).mean() < np.square(raw).mean()


FRECHET = TypeAdapter(UtilitySection).validate_python({"name": "u", "kind": "frechet"})


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8), seed=st.integers(0, 2**32))
def test_resampling_keeps_the_weight_of_every_group(sizes, seed):
    cells = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    shares = sp.csr_array(np.full((1, len(sizes)), 1 / len(sizes)))
    m = Membership(("one",), np.array([1]), shares, cells)
    weights = m.resample(np.random.default_rng(seed))
    np.testing.assert_allclose(np.bincount(m.groups, weights=weights), np.bincount(m.groups))
    b = m.weights(weights).toarray()[0]
    np.testing.assert_allclose(
        np.bincount(m.groups, weights=b), np.bincount(m.groups, weights=m.weights().toarray()[0])
    )
    assert (b >= 0).all()


@pytest.mark.parametrize("images", [2, 3, 6])
def test_the_bootstrap_has_the_unbiased_variance_of_a_mean(images):
    x = np.random.default_rng(0).normal(size=images)
    m = Membership(("one",), np.array([1]), sp.csr_array([[1.0]]), np.zeros(images, dtype=np.int64))
    rng = np.random.default_rng(1)
    means = [(m.weights(m.resample(rng)) @ x)[0] for _ in range(8_000)]
    np.testing.assert_allclose(np.var(means), x.var(ddof=1) / images, rtol=0.06)


def test_cells_of_one_image_are_resampled_with_others_of_their_contributor():
    shares = np.array([[0.5, 0.3, 0.2, 0, 0, 0], [0, 0, 0, 0.6, 0.4, 0]])
    cells = np.array([0, 1, 2, 2, 3, 3, 4, 5])
    m = Membership(("ann", "bob"), np.array([1, 1]), sp.csr_array(shares), cells, 5)
    assert m.groups.tolist() == [0, 0, 2, 2, 4, 4, 4, 5]
    rng = np.random.default_rng(0)
    drawn = np.array([m.weights(m.resample(rng)).toarray() for _ in range(200)])
    np.testing.assert_allclose(drawn.sum(axis=2), 1)
    np.testing.assert_allclose(drawn[:, 0, :2].sum(axis=1), 0.8)
    assert (drawn[:, 0, :2].std(axis=0) > 0.1).all()


def test_every_image_is_drawn_as_often_as_the_others():
    m, rng = membership(), np.random.default_rng(0)
    drawn = np.mean([m.resample(rng) for _ in range(3_000)], axis=0)
    np.testing.assert_allclose(drawn, 1, atol=0.1)


@given(seed=st.integers(0, 2**32), dropped=st.integers(0, 3))
def test_weights_sum_to_one_and_empty_cells_are_dropped(seed, dropped):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(5), size=4)
    cells = rng.integers(5, size=30)
    cells = np.where(cells == dropped, 4, cells)
    b = Membership(tuple("abcd"), np.ones(4, dtype=np.int64), sp.csr_array(shares), cells).weights().toarray()
    np.testing.assert_allclose(b.sum(axis=1), 1, rtol=1e-12)
    present = np.unique(cells)
    for cell in present:
        expected = shares[:, cell] / shares[:, present].sum(axis=1)
        np.testing.assert_allclose(b[:, cells == cell].sum(axis=1), expected, rtol=1e-9)


def test_a_contributor_without_images_is_named():
    m = Membership(("ann", "bob"), np.array([1, 1]), sp.csr_array(np.eye(3)[:2]), np.array([0, 0, 2]))
    with pytest.raises(ValueError, match="'bob'"):
        m.weights()


@pytest.mark.parametrize(
    "change", [{"names": ("a",)}, {"rows": np.array([0, 1])}, {"cell_of_image": np.array([0, 9])}, {"empty_cell": 7}]
)
def test_membership_refuses_what_does_not_fit(change):
    fields = {"names": ("a", "b"), "rows": np.array([1, 1]), "shares": sp.csr_array(np.eye(2)), "empty_cell": None}
    with pytest.raises(ValueError, match=r"rows?|cells"):
        Membership(**{**fields, "cell_of_image": np.array([0, 1]), **change})


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=10), st.integers(0, 1023))
def test_coalition_shares_follow_row_counts(rows, bits):
    mask = np.array([[bits >> i & 1 for i in range(len(rows))]], dtype=bool)
    shares = coalition_shares(mask, np.array(rows))[0]
    held = sum(r for r, inside in zip(rows, mask[0], strict=True) if inside)
    assert shares.tolist() == pytest.approx(
        [r / held if inside else 0 for r, inside in zip(rows, mask[0], strict=True)]
    )


def fresh(empty_value=None):
    masks = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1]], dtype=bool)
    of_image = np.repeat(np.arange(4), 15)[np.random.default_rng(1).permutation(60)]
    return FreshGame(utility("quantile"), masks, of_image, empty_value), masks, of_image


def test_fresh_game_measures_each_coalition_on_its_own_images():
    game, masks, of_image = fresh()
    u = utility("quantile")
    for k, value in enumerate(game.values()):
        assert value == u.value(u.summarise((of_image == k)[None] / 15))[0]
    assert game.v_empty == game.values()[0]
    assert game.v_full == game.values()[3]
    assert game(masks[[2, 1]]).tolist() == game.values()[[2, 1]].tolist()
    counts = game.resample(np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(of_image, weights=counts), 15)
    expected = u.value(u.summarise(((of_image == 1) * counts / 15)[None]))[0]
    np.testing.assert_allclose(game.resampled(counts).values()[1], expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["pairwise", "kernel", "inception"])
def test_fresh_game_corrects_each_coalition_by_its_own_images(kind):
    _, masks, of_image = fresh()
    game, e = FreshGame(utility(kind), masks, of_image), encoded()
    raw = game.resampled(np.ones(N_IMAGES)).values()
    if kind == "inception":
        others = [game.resampled(weights).values() for weights in leave_out(of_image)]
        expected = 5 * raw - 4 * np.mean(others, axis=0)
    else:
        between = squared if kind == "pairwise" else minus_kernel
        own = [e.features[of_image == k] for k in range(4)]
        pairs = [[between(x, y) for i, x in enumerate(f) for j, y in enumerate(f) if i != j] for f in own]
        whole = [[between(x, y) for x in f for y in f] for f in own]
        expected = raw + np.mean(pairs, axis=1) - np.mean(whole, axis=1)
    np.testing.assert_allclose(game.values(), expected, rtol=1e-9)
    assert game.v_full == game.values()[3]
    u = utility(kind)
    np.testing.assert_allclose(raw[1], u.value(u.summarise((of_image == 1)[None] / 15))[0], rtol=1e-9)


def test_fresh_game_takes_an_empty_value_and_knows_no_other_coalitions():
    game, _, _ = fresh(empty_value=-3.0)
    assert game.v_empty == game.resampled(np.ones(60)).v_empty == -3.0
    with pytest.raises(ValueError, match="no images were generated"):
        game(np.array([[0, 0, 1]], dtype=bool))


def test_fresh_game_refuses_a_coalition_without_images():
    with pytest.raises(ValueError, match="coalition 1 has no images"):
        FreshGame(utility("mean"), np.array([[0, 0], [1, 1]], dtype=bool), np.zeros(60, dtype=np.int64))
