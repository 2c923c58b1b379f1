"""Utilities beyond a classifier's scores, each against its definition or a library on explicitly weighted images."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.spatial.distance import cdist
from torchmetrics.image.kid import maximum_mean_discrepancy

from surrogateshap.games import Encoded, FreshGame, Membership, MixtureGame, make_utility
from surrogateshap.games.encoded import Moments
from surrogateshap.spec.utilities import UtilitySection

SECTION = TypeAdapter(UtilitySection)
N, D = 40, 4
PROMPTS = ("a red shoe", "a blue hat", "a green bag")
HEAD = [
    (np.random.default_rng(7).normal(size=(3, D)), np.array([0.1, 0.2, -0.3])),
    (np.array([[1.0, -2.0, 0.5]]), np.array([5.0])),
]


def encoded(seed, images=N, d=D):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(images, d)) + 4 * np.eye(d)[rng.integers(3, size=images)]
    features[:3] += 9  # far from all others
    probabilities = np.hstack([rng.dirichlet(np.ones(2), size=images), rng.dirichlet(np.ones(3), size=images)])
    own = features + rng.normal(size=(images, d))
    asked = rng.integers(-1, len(PROMPTS), size=images)
    own[asked < 0] = np.nan
    labels = ("male", "female", "young", "adult", "old")
    nobody = np.full(images, -1, dtype=np.int64)
    texts = rng.normal(size=(len(PROMPTS), d)) + 1
    return Encoded(features, probabilities, nobody, labels, (0, 0, 1, 1, 1), asked, PROMPTS, texts, own)


REFERENCE = encoded(99, images=30)


def cos(x, y):
    return x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def aesthetic(e, w):
    scores = []
    for x in e.features:
        for weights, biases in HEAD:
            x = weights @ (x / np.linalg.norm(x) if len(biases) == 3 else x) + biases
        scores.append(x[0])
    return w @ scores


def clip_scores(e):
    """By torchmetrics' formula: 100 max(cos, 0)."""
    images, texts = torch.tensor(e.features), torch.tensor(e.texts)
    cosine = torch.nn.functional.cosine_similarity(images[:, None], texts[None], dim=2)
    scores = 100 * torch.clamp(cosine, min=0)
    return [float(s.mean() if a < 0 else s[a]) for s, a in zip(scores, e.asked, strict=True)]


def own_scores(e, distance):
    with_row = np.flatnonzero(e.asked >= 0)
    return [
        -distance(x, o) if a >= 0 else -np.mean([distance(x, e.own[j]) for j in with_row])
        for x, o, a in zip(e.features, e.own, e.asked, strict=True)
    ]


def squared(x, y):
    return ((x - y) ** 2).sum()


def quantile(scores, w, q):
    held = 0.0
    for s, a in sorted(zip(scores, w, strict=True)):
        held += a
        if held >= q - 1e-12:
            return s
    raise AssertionError("weights don't sum to 1")


def vendi(e, w, q=1.0):
    x = e.features / np.linalg.norm(e.features, axis=1, keepdims=True)
    spectrum = np.linalg.eigvalsh(np.sqrt(w)[:, None] * (x @ x.T) * np.sqrt(w))
    spectrum = spectrum[spectrum > 1e-12]
    if q == 1:
        return np.exp(-(spectrum * np.log(spectrum)).sum())
    return np.exp(np.log((spectrum**q).sum()) / (1 - q))


def cmmd(e, w, sigma=2.0):
    """With the pool's images paired with themselves, the reference's not."""
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (e.features, REFERENCE.features))
    xx, xy, yy = (np.exp(-cdist(a, b, "sqeuclidean") / (2 * sigma**2)) for a, b in ((x, x), (x, y), (y, y)))
    m = len(y)
    return -(w @ xx @ w - 2 * (w @ xy).mean() + (yy.sum() - m) / (m * (m - 1)))


def radii(features, k):
    return np.sort(cdist(features, features), axis=1)[:, k]


def precision(e, w, k=3):
    near = cdist(e.features, REFERENCE.features) <= radii(REFERENCE.features, k)
    return w @ near.any(axis=1)


def density(e, w, k=3):
    near = cdist(e.features, REFERENCE.features) <= radii(REFERENCE.features, k)
    return w @ near.sum(axis=1) / k


def coverage(e, w, k=3):
    near = cdist(e.features, REFERENCE.features) <= radii(REFERENCE.features, k)
    return np.mean([1 - (1 - min(1, w[hit].sum())) ** len(REFERENCE.features) for hit in near.T])


def recall(e, w, k=3):
    apart, to_reference = cdist(e.features, e.features), cdist(e.features, REFERENCE.features)
    found = np.zeros(len(REFERENCE.features), dtype=bool)
    for x in np.flatnonzero(w):
        held = radius = 0.0
        for y in np.argsort(apart[x]):
            if y != x and w[y] > 0 and held < min(k / len(REFERENCE.features), 1 - w[x]) - 1e-12:
                held, radius = held + w[y], apart[x, y]
        found |= to_reference[x] <= radius
    return found.mean()


def table(e, w, first, second):
    a, b = first(e), second(e)
    return np.array([[w[a & b].sum(), w[a & ~b].sum()], [w[~a & b].sum(), w[~a & ~b].sum()]])


def male(e):
    return e.probabilities[:, 0] > e.probabilities[:, 1]


def adult(e):
    return np.array([p[3] > max(p[2], p[4]) for p in e.probabilities])


def wearing(e):
    return np.isin(e.asked, [0, 1])


def difference(e, w):
    p = table(e, w, male, wearing)
    return p[0, 0] / p[:, 0].sum() - p[0, 1] / p[:, 1].sum()


def phi(e, w):
    """Pearson's correlation of the two indicators."""
    a, b = male(e).astype(float), adult(e).astype(float)
    covariance = np.cov(a, b, aweights=w, ddof=0)
    return covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])


def information(e, w):
    p = table(e, w, adult, wearing)
    return sum(p[i, j] * np.log(p[i, j] / p[i].sum() / p[:, j].sum()) for i in (0, 1) for j in (0, 1) if p[i, j] > 0)


MALE, ADULT, WEARING = {"class": "male"}, {"class": 3}, {"conditions": ["a blue hat", "a red shoe"]}
CASES = {
    "aesthetic": ({"kind": "aesthetic", "head": "h"}, aesthetic),
    "clip": ({"kind": "clip_score"}, lambda e, w: w @ clip_scores(e)),
    "clip tail": (
        {"kind": "clip_score", "statistic": {"quantile": 0.2}},
        lambda e, w: quantile(clip_scores(e), w, 0.2),
    ),
    "clip above": (
        {"kind": "clip_score", "statistic": {"above": 40}},
        lambda e, w: w @ [score >= 40 for score in clip_scores(e)],
    ),
    "own": ({"kind": "own_image"}, lambda e, w: w @ own_scores(e, squared)),
    "own cosine": (
        {"kind": "own_image", "metric": "cosine"},
        lambda e, w: w @ own_scores(e, lambda x, y: 1 - cos(x, y)),
    ),
    "own median": (
        {"kind": "own_image", "statistic": {"quantile": 0.5}},
        lambda e, w: quantile(own_scores(e, squared), w, 0.5),
    ),
    "cmmd": ({"kind": "kernel", "kernel": {"gaussian": 2.0}}, cmmd),
    "vendi": ({"kind": "vendi"}, vendi),
    "vendi of order 2": ({"kind": "vendi", "order": 2.0}, lambda e, w: vendi(e, w, 2.0)),
    "vendi of order 0.5": ({"kind": "vendi", "order": 0.5}, lambda e, w: vendi(e, w, 0.5)),
    "precision": ({"kind": "precision", "neighbours": 3}, precision),
    "recall": ({"kind": "recall", "neighbours": 3}, recall),
    "density": ({"kind": "density", "neighbours": 3}, density),
    "coverage": ({"kind": "coverage", "neighbours": 3}, coverage),
    "difference": ({"kind": "association", "between": [MALE, WEARING], "measure": "difference"}, difference),
    "phi": ({"kind": "association", "between": [MALE, ADULT]}, phi),
    "information": (
        {"kind": "association", "between": [ADULT, WEARING], "measure": "mutual_information"},
        information,
    ),
}
KINDS = {name: section for name, (section, _) in CASES.items()} | {"clusters": {"kind": "cluster_entropy"}}


def section(of):
    given = {"name": "u", **KINDS[of]}
    if "between" in given:
        given["between"] = tuple(
            {key: tuple(value) if isinstance(value, list) else value for key, value in each.items()}
            for each in given["between"]
        )
    return SECTION.validate_python(given)


def make(case, e, reference=REFERENCE):
    return make_utility(section(case), e, reference, head=HEAD)


def weightings(seed, images=N, rows=3):
    rng = np.random.default_rng(seed)
    w = rng.dirichlet(np.full(images, 0.5), size=rows)
    w[0, ::3] = 0
    return w / w.sum(axis=1, keepdims=True)


def value(utility, w):
    return utility.value(utility.summarise(w))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_utility_equals_its_definition(case, seed):
    e, w = encoded(seed), np.vstack([weightings(seed), np.full(N, 1 / N)])
    expected = [CASES[case][1](e, row) for row in w]
    utility = make(case, e)
    np.testing.assert_allclose(value(utility, w), expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(value(utility, sp.csr_array(w)), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("case", KINDS)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
def test_a_mixture_has_the_mixture_of_summaries(case, seed, share):
    w = weightings(seed, rows=2)
    utility = make(case, encoded(seed % 5)).around(sp.csr_array(w))
    mixed = utility.summarise((share * w[0] + (1 - share) * w[1])[None])
    parts = utility.summarise(w)
    np.testing.assert_allclose(mixed, share * parts[:1] + (1 - share) * parts[1:], atol=1e-10)


def chosen(e, images):
    """The view of some of the images, or of some of them several times."""
    parts = {name: getattr(e, name)[images] for name in ("features", "probabilities", "conditions", "asked", "own")}
    return replace(e, **parts)


@pytest.mark.parametrize("case", KINDS)
def test_neither_the_order_nor_copies_of_images_matter(case):
    e, w = encoded(3), weightings(3)
    order = np.random.default_rng(0).permutation(N)
    expected = value(make(case, e), w)
    # Images without a row, and clusters, look at the whole pool.
    copies = {"own", "own cosine", "own median", "clusters", "recall"}
    np.testing.assert_allclose(value(make(case, chosen(e, order)), w[:, order]), expected, rtol=1e-9, atol=1e-12)
    if case not in copies:
        twice = np.concatenate([w / 2, w / 2], axis=1)
        again = make(case, chosen(e, np.concatenate([np.arange(N), np.arange(N)])))
        np.testing.assert_allclose(value(again, twice), expected, rtol=1e-9, atol=1e-12)


def test_copies_with_all_weight_on_the_first_change_no_recall():
    e, w = encoded(3), weightings(3)
    again = make("recall", chosen(e, np.concatenate([np.arange(N), np.arange(N)])))
    np.testing.assert_array_equal(value(again, np.hstack([w, 0 * w])), value(make("recall", e), w))


def membership(empty=True):
    rng = np.random.default_rng(0)
    shares = np.hstack([rng.dirichlet(np.full(4, 0.6), size=4), np.zeros((4, 1))])
    cells = np.concatenate([np.arange(5), np.arange(5), rng.integers(5, size=N - 10)])
    return Membership(tuple("abcd"), np.array([5, 9, 2, 30]), sp.csr_array(shares), cells, 4 if empty else None)


def every(n):
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


@pytest.mark.parametrize("case", KINDS)
def test_mixture_games_measure_weighted_images(case):
    e, m = encoded(0), membership()
    utility, masks = make(case, e), every(4)
    game = MixtureGame(utility, m)
    raw = game.resampled(np.ones(N))
    weights = (masks[1:] * m.rows / (masks[1:] * m.rows).sum(axis=1, keepdims=True)) @ m.weights().toarray()
    np.testing.assert_allclose(raw(masks)[1:], value(utility, weights), rtol=1e-8, atol=1e-10)
    assert np.isfinite(game(masks)).all()
    counts = game.resample(np.random.default_rng(1))
    near = 1 + 1e-5 * (counts - 1)
    moved = (masks[1:] * m.rows / (masks[1:] * m.rows).sum(axis=1, keepdims=True)) @ m.weights(near).toarray()
    np.testing.assert_allclose(game.resampled(near)(masks)[1:], value(utility, moved), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("case", KINDS)
def test_fresh_games_measure_each_coalition_alone(case):
    e, masks = encoded(2), np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=bool)
    of_image = np.repeat(np.arange(4), N // 4)[np.random.default_rng(1).permutation(N)]
    utility = make(case, e)
    game = FreshGame(utility, masks, of_image)
    weights = np.array([(of_image == k) / (N // 4) for k in range(4)])
    np.testing.assert_allclose(game.resampled(np.ones(N)).values(), value(utility, weights), rtol=1e-8, atol=1e-10)
    assert np.isfinite(game.values()).all()
    assert np.isfinite(game.resampled(game.resample(np.random.default_rng(0))).values()).all()


def test_moments_are_a_reference_as_good_as_its_images():
    e, w = encoded(0), weightings(0)
    frechet = SECTION.validate_python({"name": "u", "kind": "frechet"})
    features = REFERENCE.features
    known = Moments(features.mean(axis=0), np.cov(features.T, ddof=0))
    expected = value(make_utility(frechet, e, REFERENCE), w)
    np.testing.assert_allclose(value(make_utility(frechet, e, known), w), expected, rtol=1e-9)
    with pytest.raises(ValueError, match=r"mean and covariance are \(3,\) and \(3, 3\), but the encoder has 4"):
        make_utility(frechet, e, Moments(np.zeros(3), np.eye(3)))
    with pytest.raises(ValueError, match="needs reference images"):
        make_utility(SECTION.validate_python({"name": "u", "kind": "kernel"}), e, known)


def test_kid_is_torchmetrics_own():
    """Its estimate leaves out a pool image's pairs with itself, as a game's does."""
    e, images = encoded(0), np.arange(N)
    game = FreshGame(
        make_utility(SECTION.validate_python({"name": "u", "kind": "kernel"}), e, REFERENCE),
        np.array([[True]]),
        0 * images,
        empty_value=0.0,
    )
    x, y = torch.tensor(e.features), torch.tensor(REFERENCE.features)
    kernels = [(a @ b.T / D + 1) ** 3 for a, b in ((x, x), (x, y), (y, y))]
    n, m = len(x), len(y)
    expected = (kernels[0].sum() - kernels[0].trace()) / (n * (n - 1)) - 2 * kernels[1].mean()
    expected += (kernels[2].sum() - kernels[2].trace()) / (m * (m - 1))
    assert game.v_full == pytest.approx(-float(expected), rel=1e-9)
    half = x[: len(y)]
    theirs = maximum_mean_discrepancy((half @ half.T / D + 1) ** 3, (half @ y.T / D + 1) ** 3, kernels[2])
    few = FreshGame(
        make_utility(SECTION.validate_python({"name": "u", "kind": "kernel"}), chosen(e, images[: len(y)]), REFERENCE),
        np.array([[True]]),
        0 * images[: len(y)],
        empty_value=0.0,
    )
    assert few.v_full == pytest.approx(-float(theirs), rel=1e-9)


def test_vendi_score_counts_different_images():
    x = np.repeat(np.eye(8), 3, axis=0)
    e = Encoded(x, np.ones((24, 1)), np.zeros(24, dtype=np.int64), ("a",))
    for q in (0.3, 1.0, 2.0, 4.0):
        utility = make_utility(SECTION.validate_python({"name": "u", "kind": "vendi", "order": q}), e)
        w = np.zeros((3, 24))
        w[0], w[1, :6], w[2, 0] = 1 / 24, 1 / 6, 1
        np.testing.assert_allclose(value(utility, w), [8, 2, 1], rtol=1e-9)


@pytest.mark.parametrize("d", [3, 70])
def test_vendi_score_with_more_features_than_images_and_with_zero_features(d):
    e = encoded(0, d=d)
    utility = make_utility(section("vendi"), e)
    w = weightings(0)
    np.testing.assert_allclose(value(utility, w), [vendi(e, row) for row in w], rtol=1e-8)
    assert utility.summarise(w).shape[1] == {3: 6, 70: N * (N + 1) // 2}[d]
    blank = np.vstack([e.features[:2], np.zeros((38, d))])
    nothing = make_utility(section("vendi"), replace(e, features=blank))
    assert value(nothing, np.eye(N)[[5]] / 2 + np.eye(N)[[6]] / 2)[0] == pytest.approx(1)
    assert value(nothing, np.eye(N)[[0]] / 2 + np.eye(N)[[6]] / 2)[0] == pytest.approx(2)


def test_cluster_entropy_is_that_of_the_kinds_of_images():
    rng = np.random.default_rng(0)
    kind = rng.integers(4, size=N)
    e = replace(encoded(0), features=10 * np.eye(4)[kind] + rng.normal(size=(N, 4)) / 10)
    utility = make_utility(SECTION.validate_python({"name": "u", "kind": "cluster_entropy", "clusters": 4}), e)
    w = weightings(0)
    shares = np.array([np.bincount(kind, weights=row, minlength=4) for row in w])
    np.testing.assert_allclose(value(utility, w), -(shares * np.log(shares)).sum(axis=1), rtol=1e-9)
    # Of other images' clusters, those of a reference, the images may fill a part.
    some = make_utility(
        SECTION.validate_python({"name": "u", "kind": "cluster_entropy", "clusters": 4}), chosen(e, kind < 2), e
    )
    count = np.bincount(kind[kind < 2])
    even = np.full((1, count.sum()), 1 / count.sum())
    expected = -sum(c / count.sum() * np.log(c / count.sum()) for c in count)
    assert value(some, even)[0] == pytest.approx(expected)
    alike = make("clusters", replace(e, features=np.ones((N, 4))))
    np.testing.assert_allclose(value(alike, w), 0, atol=1e-12)


def test_neighbourhoods_of_equal_weights_are_the_published_ones():
    """The definitions of both papers, on as many images as the reference has."""
    e = chosen(encoded(5), np.arange(30))
    real, fake, k = REFERENCE.features, e.features, 3
    apart, r, f = cdist(real, fake), radii(real, k), radii(fake, k)
    even = np.full((1, 30), 1 / 30)
    found = {kind: value(make(kind, e), even)[0] for kind in ("precision", "recall", "density")}
    assert found["precision"] == pytest.approx((apart <= r[:, None]).any(axis=0).mean())
    assert found["recall"] == pytest.approx((apart <= f).any(axis=1).mean())
    assert found["density"] == pytest.approx((apart <= r[:, None]).sum() / (k * 30))
    assert 0 < found["recall"] < 1
    # Coverage: what drawing as many images as the reference has gives on average.
    rng = np.random.default_rng(0)
    drawn = rng.integers(30, size=(4_000, 30))
    published = (apart <= r[:, None])[:, drawn].any(axis=2).mean()
    assert value(make("coverage", e), even)[0] == pytest.approx(published, abs=0.003)


@pytest.mark.parametrize("images", [1, 2, 12, 60])
def test_recall_of_any_number_of_images(images):
    """It reaches to the ⌈k N / m⌉-th nearest of N images, and of one image nowhere."""
    e, k, m = encoded(4, images=images), 3, 30
    even = np.full((1, images), 1 / images)
    place = min(-(-k * images // m), images - 1)
    inside = cdist(REFERENCE.features, e.features) <= radii(e.features, place)
    assert value(make("recall", e), even)[0] == pytest.approx(inside.any(axis=1).mean())


def test_few_reference_images_have_no_neighbourhoods():
    with pytest.raises(ValueError, match="3 neighbours need more reference images than the 3 there are"):
        make("precision", encoded(0), chosen(REFERENCE, np.arange(3)))
    with pytest.raises(ValueError, match="`coverage` needs reference images"):
        make("coverage", encoded(0), None)


def test_an_attribute_that_never_varies_is_associated_with_nothing():
    e = encoded(0)
    w = np.array([male(e) / male(e).sum(), ~male(e) / (~male(e)).sum()])
    for measure in ("difference", "phi", "mutual_information"):
        of = {"name": "u", "kind": "association", "between": (MALE, ADULT), "measure": measure}
        assert value(make_utility(SECTION.validate_python(of), e), w).tolist() == [0, 0]
        of["between"] = (MALE, MALE)
        same = value(make_utility(SECTION.validate_python(of), e), np.full((1, N), 1 / N))[0]
        rate = male(e).mean()
        entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
        assert same == pytest.approx({"mutual_information": entropy}.get(measure, 1.0))


def test_the_second_attribute_may_be_seen_by_another_encoder():
    e = encoded(0)
    second = Encoded(np.zeros((N, 1)), np.eye(2)[adult(e).astype(int)], e.conditions, ("other", "grown"))
    between = ({"class": "male"}, {"class": "grown"})
    of = SECTION.validate_python({"name": "u", "kind": "association", "between": between})
    w = weightings(0)
    np.testing.assert_allclose(value(make_utility(of, e, second=second), w), [phi(e, row) for row in w])


def test_conditions_are_the_prompts_or_else_the_classes():
    e = replace(encoded(0), asked=None, conditions=encoded(1).asked)
    between = ({"class": "male"}, {"conditions": ("female", "male")})
    of = {"name": "u", "kind": "association", "between": between, "measure": "difference"}
    by_class = value(make_utility(SECTION.validate_python(of), e), weightings(0))
    of["between"] = (MALE, {"conditions": tuple(WEARING["conditions"])})
    by_prompt = make_utility(SECTION.validate_python(of), replace(encoded(0), asked=encoded(1).asked))
    np.testing.assert_allclose(by_class, value(by_prompt, weightings(0)))
    wrong = SECTION.validate_python(of | {"between": (MALE, {"conditions": ("a blu hat",)})})
    with pytest.raises(ValueError, match="asked to show 'a blu hat'; did you mean 'a blue hat'"):
        make_utility(wrong, encoded(0))
    with pytest.raises(ValueError, match="no class 'mal'"):
        make_utility(SECTION.validate_python(of | {"between": ({"class": "mal"}, MALE)}), encoded(0))


@pytest.mark.parametrize(
    ("case", "missing", "message"),
    [
        ("clip", "texts", "prompts' embeddings"),
        ("clip", "asked", "prompts' embeddings"),
        ("own", "own", "training images"),
    ],
)
def test_what_is_missing_is_named(case, missing, message):
    with pytest.raises(ValueError, match=message):
        make(case, replace(encoded(0), **{missing: None}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"asked": np.zeros(3, dtype=np.int64)}, r"asked must be \(40,\), not \(3,\)"),
        ({"asked": np.full(N, 3)}, "an index into the 3 prompts"),
        ({"texts": np.ones((2, D))}, r"texts must be \(3, 4\), not \(2, 4\)"),
        ({"own": np.ones((N, 5))}, r"own must be \(40, 4\), not \(40, 5\)"),
        ({"attributes": (0, 1)}, "2 attributes are given for 5 classes"),
    ],
)
def test_views_refuse_arrays_that_disagree(change, message):
    with pytest.raises(ValueError, match=message):
        replace(encoded(0), **change)


def test_an_own_image_that_no_image_has_is_missing():
    with pytest.raises(ValueError, match="training images"):
        make("own", replace(encoded(0), own=np.full((N, D), np.nan)))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ([], "needs a head"),
        (HEAD[1:], r"layer 0 of the head has weights \(1, 3\) and biases \(1,\), but gets 4 features"),
        (HEAD[:1], "gives 3 numbers"),
        ([HEAD[0], (HEAD[1][0], np.zeros(2))], "layer 1 of the head"),
    ],
)
def test_a_head_that_does_not_fit(head, message):
    with pytest.raises(ValueError, match=message):
        make_utility(section("aesthetic"), encoded(0), head=head)


def test_a_rate_looks_at_its_own_attribute_alone():
    labels, attributes = ("man", "woman", "blond", "dark"), (0, 0, 1, 1)
    probabilities = np.array([[0.6, 0.4, 0.1, 0.9], [0.7, 0.3, 0.8, 0.2], [0.2, 0.8, 0.1, 0.9]])
    nobody = np.full(3, -1)
    e = Encoded(np.ones((3, 2)), probabilities, nobody, labels, attributes=attributes)
    utility = make_utility(SECTION.validate_python({"name": "u", "kind": "rate", "class": "man"}), e)
    even = np.full((1, 3), 1 / 3)
    assert utility.value(utility.summarise(even))[0] == pytest.approx(2 / 3)
