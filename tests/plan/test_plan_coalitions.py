"""Which estimator, and how many coalitions: by what the spec says, else by what an evaluation costs."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from surrogateshap import api
from surrogateshap.errors import SpecError
from surrogateshap.games import Encoded, make_utility
from surrogateshap.games.coalitions import coalitions_drawn, draw_coalitions
from surrogateshap.plan import check, check_encoders
from surrogateshap.plan.coalitions import Evaluation, bootstrap_seconds, choose, evaluation
from surrogateshap.spec.model import EstimatorSection, Spec
from surrogateshap.spec.utilities import FrechetUtility, ScoreUtility, UtilitySection
from tests.tiny import SPEC, Project, rows

NAMES = ["surrogate", "exact", "kernel", "permutation", "leave_one_out", "surrogateshap_paper"]
FAST = Evaluation(1e-6)


def spec_of(mode: str = "pool", coalitions: int | None = None, **estimator: Any) -> Spec:
    whole = Spec.model_construct(
        sampling=SPEC_MODEL.sampling.model_copy(update={"mode": mode}),
        budget=SPEC_MODEL.budget.model_copy(update={"coalitions": coalitions}),
        estimator=EstimatorSection(**estimator),
    )
    return whole


SPEC_MODEL = Spec.model_validate(
    SPEC
    | {
        "proxy": {"kind": "prompt"},
        "contributors": SPEC["contributors"] | {"grouping": ({"name": "owner", "by": ("owner",)},)},
        "encoder": ({"name": "eye", "source": "eye"},),
        "utility": ({"name": "right", "kind": "score"},),
    }
)


@given(name=st.sampled_from(NAMES), n=st.integers(1, 9), coalitions=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_as_many_are_drawn_as_was_said_and_fewer_are_the_first_of_more(
    name: Any, n: int, coalitions: int, seed: int
) -> None:
    drawn = draw_coalitions(name, n, coalitions, seed)
    assert drawn.shape == (coalitions_drawn(name, n, coalitions), n)
    assert drawn.any(axis=1).all()
    assert not drawn.all(axis=1).any()
    more = draw_coalitions(name, n, coalitions + 17, seed)
    assert (more[: len(drawn)] == drawn).all()


@given(name=st.sampled_from([*NAMES, "auto"]), n=st.integers(1, 14), asked=st.none() | st.integers(4, 300))
def test_a_choice_is_what_its_estimator_draws(name: str, n: int, asked: int | None) -> None:
    found = choose(spec_of(coalitions=asked, kind=name), n, FAST)
    assert name in ("auto", found.estimator)
    assert found.because
    drawn = draw_coalitions(found.estimator, n, found.coalitions - 1, 0)
    assert len(drawn) + (2 if found.estimator == "exact" else 1) == found.coalitions


@pytest.mark.parametrize(
    ("n", "seconds", "expected"),
    [
        (14, 1e-6, ("exact", 2**14, "all there are")),
        (14, 1.0, ("surrogate", 1_001, "the fewest that make sense; about 17 min")),
        (9, 1.0, ("exact", 2**9, "all there are; about 9 min")),
        (15, 1e-6, ("surrogate", 4_001, "enough for 15 contributors")),
        (40, 1e-6, ("surrogate", 16_001, "enough for 40 contributors")),
        (100, 1e-6, ("surrogate", 32_001, "enough for 100 contributors")),
        (258, 1e-6, ("surrogate", 16_001, "enough for 258 contributors")),
        (1_000, 1e-6, ("surrogate", 16_001, "as many as the fit can take")),
        (100, 5e-3, ("surrogate", 8_001, "as many as a minute allows; about 40 s")),
        (258, 0.9, ("surrogate", 1_001, "the fewest that make sense; about 15 min")),
        (1, 1e-6, ("exact", 2, "there is one contributor")),
    ],
)
def test_by_cost(n: int, seconds: float, expected: tuple[str, int, str]) -> None:
    found = choose(spec_of(), n, Evaluation(seconds))
    assert (found.estimator, found.coalitions, found.because) == expected


def test_what_the_spec_says_counts() -> None:
    assert choose(spec_of(coalitions=90), 100, Evaluation(9.0)).coalitions == 91
    assert choose(spec_of(coalitions=90), 100, FAST).because == "as `budget.coalitions` asks"
    assert choose(spec_of(kind="surrogateshap_paper"), 100, FAST).coalitions == 301
    assert choose(spec_of(kind="leave_one_out"), 100, FAST).coalitions == 101
    assert choose(spec_of(kind="permutation", coalitions=150), 40, FAST).coalitions == 2 * 39 + 1
    assert choose(spec_of("fresh"), 5, FAST).coalitions == 301
    assert choose(spec_of("fresh", kind="permutation"), 258, FAST).coalitions == 2 * 257 + 1


def of(**section: Any) -> UtilitySection:
    whole: UtilitySection = TypeAdapter(UtilitySection).validate_python({"name": "u", **section})
    return whole


def test_a_bias_taken_off_costs_an_evaluation_for_each_part_left_out() -> None:
    """Which utilities these are, they say themselves."""
    rng = np.random.default_rng(0)
    seen = Encoded(rng.random((40, 256)), np.full((40, 2), 0.5), np.zeros(40, dtype=np.int64), ("a", "b"))
    seen = replace(seen, asked=seen.conditions, prompts=("a",), texts=seen.features[:1], own=seen.features)
    between = ({"class": 0}, {"class": 1})
    for section in [
        *(
            {"kind": kind}
            for kind in ("score", "frechet", "kernel", "inception", "pairwise", "clip_score", "own_image")
        ),
        *({"kind": kind} for kind in ("vendi", "ms_ssim", "cluster_entropy", "precision", "recall", "density")),
        *({"kind": "association", "between": between, "measure": m} for m in ("phi", "mutual_information")),
        {"kind": "coverage"},
        {"kind": "rate", "class": 1},
        {"kind": "aesthetic", "head": "h"},
    ]:
        utility = of(**section)
        made = make_utility(utility, seen, seen, head=[(np.ones((1, 256)), np.zeros(1))])
        cost = evaluation(utility, 20, 40, 64, 2)
        assert cost.times == (6 if made.curved else 1), section
        assert cost.value_seconds == cost.times * cost.seconds
    assert choose(spec_of(), 100, Evaluation(1e-3, times=6)).coalitions == 8_001


def test_the_cost_model_keeps_to_what_was_measured() -> None:
    """Microseconds on one core, within a factor of three: see `evaluation`."""
    frechet = FrechetUtility(name="f", kind="frechet")
    mean = ScoreUtility(name="m", kind="score")
    tail = ScoreUtility.model_validate({"name": "t", "kind": "score", "statistic": {"quantile": 0.5}})
    for utility, n, images, features, measured in [
        (mean, 20, 400, 64, 0.4),
        (mean, 258, 5_160, 64, 2.1),
        (tail, 20, 2_000, 64, 8.6),
        (tail, 258, 25_800, 64, 376),
        (frechet, 20, 400, 16, 19),
        (frechet, 100, 400, 64, 225),
        (frechet, 258, 400, 256, 4_200),
        (frechet, 20, 400, 512, 24_500),
        (frechet, 20, 400, 2_048, 1_000_000),
        (of(kind="vendi"), 20, 400, 64, 186),
        (of(kind="vendi"), 100, 2_000, 64, 197),
        (of(kind="vendi"), 20, 1_000, 512, 20_700),
        (of(kind="vendi"), 20, 2_000, 768, 55_000),
        (of(kind="vendi"), 20, 400, 512, 21_100),
        (of(kind="vendi", order=2.0), 20, 1_000, 512, 2_550),
        (of(kind="cluster_entropy"), 20, 400, 64, 0.6),
        (of(kind="coverage"), 20, 1_000, 64, 21),
        (of(kind="recall"), 20, 1_000, 16, 1_000),
        (of(kind="ms_ssim"), 258, 2_580, 256, 45),
    ]:
        assert 1 / 3 < evaluation(utility, n, images, features, 10).seconds * 1e6 / measured < 3
    assert evaluation(frechet, 20, 400, None, 10).guessed
    assert not evaluation(mean, 20, 400, None, 10).guessed
    guess = choose(spec_of(), 20, evaluation(frechet, 20, 400, None, 10))
    assert guess.because.endswith("if it has some 1,000 features")
    assert bootstrap_seconds(5, 200, Evaluation(1.0)) == 200 * 32
    assert bootstrap_seconds(100, 200, Evaluation(1.0)) == 200 * 602


def test_the_plan_says_why(tiny: Project) -> None:
    tiny.manifest(rows().with_columns(owner=(pl.int_range(60) % 16).cast(pl.String)))
    plan = tiny.plan({"utility": SPEC["utility"][:3]})
    assert {game.coalitions_because for game in plan.games} == {"enough for 16 contributors", "all there are"}
    text = " ".join(api.explain(plan).split())
    assert "(surrogate, 4,001 coalitions each: enough for 16 contributors): right, tail, quality" in text


def test_a_costly_distance_is_told_before_it_is_measured(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_encoders, "read_feature_size", lambda _: 2_048)
    tiny.manifest(rows().with_columns(owner=(pl.int_range(60) % 12).cast(pl.String)))
    plan = tiny.plan({"utility": SPEC["utility"][:3], "proxy.kind": "prompt", "intervals.resamples": 200})
    chosen = {(game.info.grouping, game.info.utility): (game.estimator, game.coalitions) for game in plan.games}
    assert chosen["owner", "right"] == ("exact", 4_096)
    assert chosen["owner", "quality"] == ("surrogate", 1_001)
    assert chosen["region", "quality"] == ("exact", 8)
    (warning,) = [text for text in plan.warnings if "lower `intervals.resamples`" in text and "owner" in text]
    assert warning.startswith("the intervals of owner / quality / prompt take about ")


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"estimator": {"kind": "kernel", "trees": 9}}, "estimator.trees", "counts only for the surrogate's trees"),
        ({"estimator": {"kind": "exact", "leaves": 9}}, "estimator.leaves", 'estimator.kind is "exact"'),
        (
            {"estimator": {"kind": "permutation", "interactions": True}},
            "estimator.interactions",
            "which knows no interactions",
        ),
        (
            {"estimator": {"kind": "permutation"}, "budget.coalitions": 6},
            "budget.coalitions",
            "`permutation` needs whole orderings, and grouping `owner` has 5 contributors",
        ),
        (
            {"estimator": {"kind": "leave_one_out"}, "budget.coalitions": 6},
            "budget.coalitions",
            'estimator.kind is "leave_one_out"',
        ),
        ({"payout": {"amount": 0.125}}, "payout.amount", "more than two decimals"),
        ({"payout": {"amount": 5.0, "minimum": 6.0}}, "payout.minimum", "is more than `payout.amount`"),
        ({"payout": {"minimum": 1.5}}, "payout.minimum", "is more than 1"),
        ({"sampling.mode": "fresh", "budget": {}, "estimator.kind": "exact"}, "estimator.kind", "fresh images"),
    ],
)
def test_what_can_t_go_together(tiny: Project, changes: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        tiny.plan(changes)
    (problem,) = caught.value.problems
    assert problem.key == key
    assert message in problem.message
    assert problem.line > 0
    assert problem.remedy


def test_the_published_recipe_needs_its_package_before_anything_is_generated(
    tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny.spec({"estimator.kind": "surrogateshap_paper"})
    monkeypatch.setattr(check, "find_spec", lambda name: None if name == "xgboost" else np)
    with pytest.raises(SpecError) as caught:
        api.validate(spec)
    (problem,) = caught.value.problems
    assert (problem.key, problem.remedy) == ("estimator.kind", 'pip install "surrogateshap[bench]"')
