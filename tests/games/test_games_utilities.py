"""Every utility against its definition, written out on explicitly weighted images."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from surrogateshap.games import Encoded, make_utility
from surrogateshap.spec.utilities import UtilitySection

LABELS = ("cat", "dog", "bird", "fish")
SECTION = TypeAdapter(UtilitySection)


def encoded(seed: int, images: int = 40, d: int = 3) -> Encoded:
    rng = np.random.default_rng(seed)
    return Encoded(
        features=rng.normal(size=(images, d)) * [1.0, 2.0, 0.5][:d] + 3,
        probabilities=rng.dirichlet(np.full(len(LABELS), 0.4), size=images),
        conditions=rng.integers(-1, len(LABELS), size=images),
        labels=LABELS,
    )


REFERENCE = encoded(99, images=60)


def scores(e, score):
    if score == "confidence":
        return [max(p) for p in e.probabilities]
    if score == "condition":
        return [p[c] if c >= 0 else 0.25 for p, c in zip(e.probabilities, e.conditions, strict=True)]
    return [p[LABELS.index(score["class"])] for p in e.probabilities]


def mean(e, w, score="confidence"):
    return sum(a * b for a, b in zip(w, scores(e, score), strict=True))


def quantile(e, w, q, score="confidence"):
    held = 0.0
    for s, a in sorted(zip(scores(e, score), w, strict=True)):
        held += a
        if held >= q - 1e-12:
            return s
    raise AssertionError("weights don't sum to 1")


def above(e, w, threshold):
    return sum(a for a, s in zip(w, scores(e, "confidence"), strict=True) if s >= threshold)


def rate(e, w, wanted):
    return sum(a for a, p in zip(w, e.probabilities, strict=True) if list(p).index(max(p)) == wanted)


def frechet(e, w, reference=REFERENCE):
    mu, sigma = w @ e.features, np.cov(e.features.T, aweights=w, ddof=0)
    mu_r, sigma_r = reference.features.mean(axis=0), np.cov(reference.features.T, ddof=0)
    root = scipy.linalg.sqrtm(np.atleast_2d(sigma @ sigma_r))
    return -(((mu - mu_r) ** 2).sum() + np.trace(np.atleast_2d(sigma + sigma_r - 2 * root.real)))


def inception(e, w):
    mean_p = w @ e.probabilities
    return np.exp(sum(a * (p * np.log(p / mean_p)).sum() for a, p in zip(w, e.probabilities, strict=True)))


def pairwise(e, w, distance):
    weighted = list(zip(w, e.features, strict=True))
    return sum(a * b * distance(x, y) for a, x in weighted for b, y in weighted)


def cosine(x, y):
    return 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def kernel_of(x, y):
    return (x @ y / len(x) + 1) ** 3


def kernel(e, w, reference=REFERENCE):
    """With the pool's images paired with themselves, the reference's not."""
    pool, target = list(zip(w, e.features, strict=True)), reference.features
    inside = sum(a * b * kernel_of(x, y) for a, x in pool for b, y in pool)
    across = sum(a * np.mean([kernel_of(x, r) for r in target]) for a, x in pool)
    apart = np.mean([kernel_of(r, s) for i, r in enumerate(target) for j, s in enumerate(target) if i != j])
    return -(inside - 2 * across + apart)


CASES = {
    "mean": ({"kind": "score"}, mean),
    "condition": ({"kind": "score", "score": "condition"}, lambda e, w: mean(e, w, "condition")),
    "class": ({"kind": "score", "score": {"class": "bird"}}, lambda e, w: mean(e, w, {"class": "bird"})),
    "quantile": ({"kind": "score", "statistic": {"quantile": 0.9}}, lambda e, w: quantile(e, w, 0.9)),
    "median": (
        {"kind": "score", "score": "condition", "statistic": {"quantile": 0.5}},
        lambda e, w: quantile(e, w, 0.5, "condition"),
    ),
    "above": ({"kind": "score", "statistic": {"above": 0.6}}, lambda e, w: above(e, w, 0.6)),
    "rate by name": ({"kind": "rate", "class": "dog"}, lambda e, w: rate(e, w, 1)),
    "rate by index": ({"kind": "rate", "class": 3}, lambda e, w: rate(e, w, 3)),
    "frechet": ({"kind": "frechet"}, frechet),
    "kernel": ({"kind": "kernel"}, kernel),
    "inception": ({"kind": "inception"}, inception),
    "squared": ({"kind": "pairwise"}, lambda e, w: pairwise(e, w, lambda x, y: ((x - y) ** 2).sum())),
    "cosine": ({"kind": "pairwise", "metric": "cosine"}, lambda e, w: pairwise(e, w, cosine)),
}


def make(case, e, reference=REFERENCE):
    section, definition = CASES[case]
    return make_utility(SECTION.validate_python({"name": "u", **section}), e, reference), definition


def weightings(seed, images=40, rows=3):
    rng = np.random.default_rng(seed)
    w = rng.dirichlet(np.full(images, 0.5), size=rows)
    w[0, ::3] = 0
    return w / w.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_utility_equals_its_definition(case, seed):
    e, w = encoded(seed), weightings(seed)
    utility, definition = make(case, e)
    expected = [definition(e, row) for row in w]
    np.testing.assert_allclose(utility.value(utility.summarise(w)), expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(utility.value(utility.summarise(sp.csr_array(w))), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
def test_summaries_are_linear_in_the_weights(case, seed, share):
    w = weightings(seed, rows=2)
    utility = make(case, encoded(seed % 5))[0].around(sp.csr_array(w))
    mixed = utility.summarise((share * w[0] + (1 - share) * w[1])[None])
    parts = utility.summarise(w)
    np.testing.assert_allclose(mixed, share * parts[:1] + (1 - share) * parts[1:], atol=1e-10)


def test_kernel_distance_near_known_weightings_is_right_to_first_order():
    e, w = encoded(0), weightings(0)
    utility = make("kernel", e)[0]
    toward = np.random.default_rng(1).dirichlet(np.ones(40)) - w[0]
    step = 1e-5
    toward *= w[0] > 0
    toward -= w[0] * toward.sum()
    for known in (utility.around(sp.csr_array(w)), utility.around(sp.csr_array(w[:1]), apart=True)):
        slope = np.diff(known.value(known.summarise(w[0] + np.array([[0], [step]]) * toward)))[0] / step
        exact = np.diff(utility.value(np.vstack([utility.summarise((w[0] + t * toward)[None]) for t in (0, step)])))[0]
        assert slope == pytest.approx(exact / step, rel=1e-3)


def test_kernel_distance_takes_blocks_and_a_reference_of_one_image(monkeypatch):
    whole = make("kernel", encoded(0))[0]
    w, groups = sp.csr_array(weightings(0)), np.arange(40) % 7
    one = Encoded(REFERENCE.features[:1], REFERENCE.probabilities[:1], REFERENCE.conditions[:1], LABELS)
    single = make("kernel", encoded(0), one)[0]
    assert np.isfinite(single.value(single.summarise(w))).all()
    monkeypatch.setattr("surrogateshap.games.utilities.base.BLOCK", 130)
    blocks = make("kernel", encoded(0))[0]
    np.testing.assert_allclose(blocks.value(blocks.summarise(w)), whole.value(whole.summarise(w)), rtol=1e-10)
    np.testing.assert_allclose(blocks.own_pairs(groups), whole.own_pairs(groups), rtol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_order_of_images_does_not_matter(case):
    e, w = encoded(3), weightings(3)
    order = np.random.default_rng(0).permutation(40)
    shuffled = Encoded(e.features[order], e.probabilities[order], e.conditions[order], LABELS)
    one, _ = make(case, e)
    other, _ = make(case, shuffled)
    np.testing.assert_allclose(
        one.value(one.summarise(w)), other.value(other.summarise(w[:, order])), rtol=1e-9, atol=1e-12
    )


def test_frechet_distance_to_itself_is_zero_and_survives_few_reference_images():
    same, _ = make("frechet", REFERENCE)
    assert same.value(same.summarise(np.full((1, 60), 1 / 60)))[0] == pytest.approx(0, abs=1e-9)
    few = Encoded(REFERENCE.features[:2], REFERENCE.probabilities[:2], REFERENCE.conditions[:2], LABELS)
    singular, _ = make("frechet", encoded(0), few)
    w = weightings(0)[:1]
    # scipy's root of a singular product is only good to the square root of precision.
    assert singular.value(singular.summarise(w))[0] == pytest.approx(frechet(encoded(0), w[0], few), abs=1e-5)


def test_quantile_is_the_smallest_score_that_reaches_q():
    p = np.array([[0.9, 0.1, 0, 0], [0.5, 0.5, 0, 0], [0.7, 0.3, 0, 0], [0.5, 0.25, 0.25, 0]])
    e = Encoded(np.zeros((4, 1)), p, np.zeros(4, dtype=np.int64), LABELS)
    utility, _ = make("median", e)
    value = utility.value(utility.summarise(np.array([[0.1, 0.25, 0.4, 0.25], [0.1, 0.2, 0.4, 0.3], [0, 0, 1, 0]])))
    assert value.tolist() == [0.5, 0.5, 0.7]


def test_inception_score_lies_between_one_and_the_number_of_classes():
    sure = Encoded(np.zeros((4, 1)), np.eye(4), np.arange(4), LABELS)
    utility, _ = make("inception", sure)
    value = utility.value(utility.summarise(np.array([[0.25] * 4, [1, 0, 0, 0]])))
    np.testing.assert_allclose(value, [4, 1], rtol=1e-12)


def test_cosine_of_a_zero_feature_is_finite():
    e = Encoded(np.array([[0.0, 0.0], [1.0, 0.0]]), np.full((2, 4), 0.25), np.zeros(2, dtype=np.int64), LABELS)
    utility, _ = make("cosine", e)
    assert np.isfinite(utility.value(utility.summarise(np.array([[0.5, 0.5]])))).all()


@pytest.mark.parametrize(
    ("wanted", "told"), [("dgo", "did you mean 'dog'"), ("zebra", "it has 'cat'"), (4, "classes 0 to 3")]
)
def test_unknown_class_says_which_there_are(wanted, told):
    with pytest.raises(ValueError, match=told):
        make_utility(SECTION.validate_python({"name": "u", "kind": "rate", "class": wanted}), encoded(0), None)


@pytest.mark.parametrize("case", ["frechet", "kernel"])
def test_a_distance_needs_a_reference(case):
    with pytest.raises(ValueError, match="needs reference"):
        make(case, encoded(0), None)


@pytest.mark.parametrize("change", ["features", "probabilities", "conditions", "range"])
def test_encoded_refuses_arrays_that_disagree(change):
    e = encoded(0)
    arrays = {"features": e.features, "probabilities": e.probabilities, "conditions": e.conditions}
    if change == "range":
        arrays["conditions"] = e.conditions + 4
    else:
        arrays[change] = arrays[change][:0] if change == "features" else arrays[change][1:]
    with pytest.raises(ValueError, match="must be"):
        Encoded(**arrays, labels=LABELS)
