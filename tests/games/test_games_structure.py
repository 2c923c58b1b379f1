"""MS-SSIM against torchmetrics, and the diversity of weighted images against all their pairs."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sklearn.datasets import load_digits
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from surrogateshap.games import Encoded, FreshGame, Membership, MixtureGame, make_utility
from surrogateshap.games.utilities import strata, structure
from surrogateshap.games.utilities.similarity import StructuralSimilarity
from surrogateshap.games.utilities.strata import Strata, proportional
from surrogateshap.games.utilities.structure import Structure
from surrogateshap.spec.utilities import UtilitySection

EXPONENTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
SECTION = TypeAdapter(UtilitySection).validate_python({"name": "u", "kind": "ms_ssim"})
N = 30


def digits(images, size, channels=1):
    """(N, size, size, channels) in [0, 1]."""
    small = load_digits().images[:images] / 16
    grey = scipy.ndimage.zoom(small, (1, size / 8, size / 8), order=1)[..., None]
    colours = np.random.default_rng(0).uniform(0.3, 1, size=(images, 1, 1, channels))
    return np.clip(grey * colours, 0, 1) if channels > 1 else np.clip(grey, 0, 1)


def theirs(x, y, scales):
    """(P,) by torchmetrics, of grey images (P, size, size)."""
    kept = EXPONENTS[:scales] / EXPONENTS[:scales].sum()
    found = multiscale_structural_similarity_index_measure(
        torch.tensor(x)[:, None].double(),
        torch.tensor(y)[:, None].double(),
        reduction="none",
        data_range=1.0,
        betas=tuple(kept),
        normalize="relu",
    )
    return found.numpy()


@pytest.mark.parametrize(("size", "scales"), [(11, 1), (21, 1), (22, 2), (43, 2), (64, 3), (100, 4), (180, 5)])
def test_similarity_is_torchmetrics_own(size, scales):
    images = digits(8, size)[..., 0]
    similarity = StructuralSimilarity(images.reshape(8, -1))
    first, second = np.array([0, 1, 2, 3, 5, 7]), np.array([1, 4, 2, 6, 5, 0])
    assert similarity.scales == scales
    np.testing.assert_allclose(similarity(first, second), theirs(images[first], images[second], scales), atol=2e-5)


def test_colours_are_compared_by_luminance():
    images = digits(6, 32, channels=3)
    grey = images @ [0.299, 0.587, 0.114]
    similarity = StructuralSimilarity(images.reshape(6, -1))
    first, second = np.triu_indices(6, 1)
    np.testing.assert_allclose(similarity(first, second), theirs(grey[first], grey[second], 2), atol=2e-5)


def test_many_pairs_are_compared_in_parts(monkeypatch):
    pixels = digits(6, 16).reshape(6, -1)
    first, second = np.triu_indices(6, 1)
    whole = StructuralSimilarity(pixels)(first, second)
    monkeypatch.setattr("surrogateshap.games.utilities.similarity.BLOCK", 3 * 4 * 16**2)
    np.testing.assert_allclose(StructuralSimilarity(pixels)(first, second), whole, rtol=1e-6)


@pytest.mark.parametrize("d", [100, 10 * 10 * 3, 11 * 12, 16 * 16 * 2])
def test_other_features_are_no_pixels(d):
    with pytest.raises(ValueError, match=f"not {d} features: use an encoder of kind `pixels`"):
        StructuralSimilarity(np.zeros((3, d)))


def encoded(images=N):
    pixels = digits(images, 16).reshape(images, -1)
    nobody = np.full(images, -1, dtype=np.int64)
    return Encoded(pixels, np.ones((images, 1)), nobody, ("a",))


def matrix(e):
    """(N, N) similarities of every two images."""
    x = e.features.reshape(len(e.features), 16, 16)
    first, second = np.triu_indices(len(x), 1)
    found = np.eye(len(x))
    found[first, second] = found[second, first] = theirs(x[first], x[second], 1)
    return found


def weightings(seed, rows=3, images=N):
    w = np.random.default_rng(seed).dirichlet(np.full(images, 0.5), size=rows)
    w[0, ::3] = 0
    return w / w.sum(axis=1, keepdims=True)


def test_diversity_is_what_all_pairs_give():
    e, w = encoded(), weightings(0)
    k = matrix(e)
    utility = make_utility(SECTION, e)
    expected = [1 - row @ k @ row for row in w]
    np.testing.assert_allclose(utility.value(utility.summarise(w)), expected, atol=1e-5)
    known = utility.around(sp.csr_array(w))
    np.testing.assert_allclose(known.value(known.summarise(w)), expected, atol=1e-5)
    half = (w[:1] + w[1:2]) / 2
    np.testing.assert_allclose(known.value(known.summarise(half)), 1 - half[0] @ k @ half[0], atol=1e-5)


@given(seed=st.integers(0, 1_000), share=st.floats(0, 1))
def test_a_mixture_has_the_mixture_of_summaries(seed, share):
    w = weightings(seed, rows=2)
    utility = UTILITY.around(sp.csr_array(w))
    mixed = utility.summarise((share * w[0] + (1 - share) * w[1])[None])
    parts = utility.summarise(w)
    np.testing.assert_allclose(mixed, share * parts[:1] + (1 - share) * parts[1:], atol=1e-10)


UTILITY = Structure(encoded().features)


def membership(images=N, alone=False):
    """Contributors with images of their own, or that share four conditions; the last cell is nobody's."""
    rng = np.random.default_rng(0)
    shares = np.eye(5)[:4] if alone else np.hstack([rng.dirichlet(np.full(4, 0.6), size=4), np.zeros((4, 1))])
    cells = np.concatenate([np.arange(5), np.arange(5), rng.integers(5, size=images - 10)])
    return Membership(tuple("abcd"), np.array([5, 9, 2, 30]), sp.csr_array(shares), cells, 4)


def every(n):
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def coalitions(m, masks, image_weights=None):
    return (masks * m.rows / (masks * m.rows).sum(axis=1, keepdims=True)) @ m.weights(image_weights).toarray()


@pytest.mark.parametrize("alone", [True, False])
def test_mixture_games_pair_distinct_images(alone):
    e, m, masks = encoded(), membership(alone=alone), every(4)[1:]
    k, game = matrix(e), MixtureGame(UTILITY, m)
    w = coalitions(m, masks)
    np.testing.assert_allclose(game.resampled(np.ones(N))(masks), [1 - row @ k @ row for row in w], atol=1e-5)
    # Of one cell's images, a pair of different ones; of two cells', any.
    mix = (masks * m.rows / (masks * m.rows).sum(axis=1, keepdims=True)) @ m.shares
    cells = [np.flatnonzero(m.cell_of_image == c) for c in range(5)]
    means = np.array([[k[np.ix_(a, b)].mean() for b in cells] for a in cells])
    for c, images in enumerate(cells):
        means[c, c] = (k[np.ix_(images, images)].sum() - len(images)) / (len(images) * (len(images) - 1))
    np.testing.assert_allclose(game(masks), 1 - ((mix @ means) * mix).sum(axis=1), atol=1e-5)


@pytest.mark.parametrize("alone", [True, False])
def test_resampled_games_are_right_to_first_order(alone):
    e, m, masks = encoded(), membership(alone=alone), every(4)[1:]
    k, game = matrix(e), MixtureGame(UTILITY, m)
    w, step = coalitions(m, masks), 1e-4
    near = 1 + step * (game.resample(np.random.default_rng(1)) - 1)
    moved = coalitions(m, masks, near) - w
    slope = (game.resampled(near)(masks) - game.resampled(np.ones(N))(masks)) / step
    np.testing.assert_allclose(slope, -2 * ((w @ k) * moved).sum(axis=1) / step, atol=1e-5)


def test_fresh_games_measure_each_coalition_alone():
    e, masks = encoded(), np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=bool)
    of_image = np.array([0] * 7 + [1] * 8 + [2] * 5 + [3] * 10)[np.random.default_rng(1).permutation(N)]
    k, game = matrix(e), FreshGame(UTILITY, masks, of_image)
    for coalition in range(4):
        images = np.flatnonzero(of_image == coalition)
        inside = k[np.ix_(images, images)]
        m = len(images)
        assert game.values()[coalition] == pytest.approx(1 - (inside.sum() - m) / (m * (m - 1)), abs=1e-5)
        assert game.resampled(np.ones(N)).values()[coalition] == pytest.approx(1 - inside.mean(), abs=1e-5)
    assert np.isfinite(game.resampled(game.resample(np.random.default_rng(0))).values()).all()


def sampled(monkeypatch, pairs):
    monkeypatch.setattr(strata, "PAIRS", pairs)


def test_a_sample_of_pairs_comes_near_all_of_them(monkeypatch):
    e, m, masks = encoded(60), membership(60, alone=True), every(4)[1:]
    whole = MixtureGame(Structure(e.features), m)
    sampled(monkeypatch, 1_500)
    some = MixtureGame(Structure(e.features), m)
    assert 0 < np.abs(some(masks) - whole(masks)).max() < 0.03
    counts = 1 + 0.3 * (whole.resample(np.random.default_rng(0)) - 1)
    moves = [game.resampled(counts)(masks) - game.resampled(np.ones(60))(masks) for game in (some, whole)]
    assert np.corrcoef(*moves)[0, 1] > 0.6
    again = MixtureGame(Structure(e.features), m)
    assert (again(masks) == some(masks)).all()


def test_pairs_are_drawn_by_weight(monkeypatch):
    """Of the images of two strata, and of one; never an image with itself."""
    weights = np.array([[0.5, 0.3, 0.2, 0, 0, 0], [0, 0, 0, 0.6, 0.4, 0]])
    exact = proportional(sp.csr_array(weights)).pairs(within=False)
    assert exact.block.tolist() == [0, 0, 1, 1, 0, 1, 1, 1, 1, 2]
    sampled(monkeypatch, 0)
    monkeypatch.setattr(strata, "PAIRS", 9)
    of = proportional(sp.csr_array(weights))
    assert of.of_image.tolist() == [0, 0, 0, 1, 1, -1]
    assert of.pairs(within=False).block.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    found = np.zeros((2, 6, 6))
    rng = np.random.default_rng
    for seed in range(3_000):
        monkeypatch.setattr(np.random, "default_rng", lambda _, seed=seed: rng(seed))
        drawn = of.pairs(within=False)
        np.add.at(
            found[0], (np.minimum(drawn.first, drawn.second), np.maximum(drawn.first, drawn.second)), drawn.weight
        )
    np.add.at(found[1], (exact.first, exact.second), exact.weight)
    assert (found[0].diagonal() == 0).all()
    np.testing.assert_allclose(found[0] / 3_000, found[1], atol=0.02)


def test_strata_are_images_in_proportion():
    weights = np.array([[0.1, 0.2, 0.3, 0.4, 0], [0.2, 0.4, 0.4, 0, 0]])
    found = proportional(sp.csr_array(weights))
    assert found.of_image.tolist() == [0, 0, 1, 2, -1]
    np.testing.assert_allclose(found.share, [1 / 3, 2 / 3, 1, 1, 0])
    assert found.number == 3
    np.testing.assert_allclose(found.squares, [5 / 9, 1, 1])


def test_too_many_strata_are_refused_before_they_take_days(monkeypatch):
    sampled(monkeypatch, 10)
    monkeypatch.setattr(structure, "PAIRS", 10)
    monkeypatch.setattr(structure, "_STRATA", 3)
    with pytest.raises(ValueError, match="MS-SSIM between images of 30 sets of conditions"):
        UTILITY.around(sp.csr_array(weightings(0)))


def test_images_alone_in_their_group_differ_from_nothing():
    utility = Structure(encoded(4).features)
    assert utility.own_pairs(np.array([0, 0, 1, 2]))[2:].tolist() == [0, 0]
    one = utility.around(sp.csr_array(np.eye(4)))
    assert one.value(one.summarise(np.eye(4))).tolist() == [0, 0, 0, 0]
    assert Strata(np.zeros(1, np.int64), np.ones(1)).pairs(within=True).weight.size == 0
