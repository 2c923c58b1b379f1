"""The rule of the flags on made-up losses: finds what is there, and stays silent about chance."""

from typing import Any

import numpy as np
import pytest

from surrogateshap.estimate.flags import ENOUGH, Losses, Verdict, judge

ABOVE, LESS = "loss higher with its conditions", "its conditions explain less"


def crowd(
    rng: np.random.Generator, n: int = 12, m: int = 60, spread: float = 0.1, skew: float = 0.3, gap: float = -0.06
) -> list[Losses]:
    """Contributors without fault: means differ by factors, images' losses are skewed, conditions lower them."""
    made = []
    for _ in range(n):
        alone = 0.3 * np.exp(spread * rng.normal() + skew * rng.normal(size=m))
        made.append(Losses(alone + gap + 0.005 * rng.normal() + 0.03 * rng.standard_t(4, size=m), alone))
    return made


def changed(one: Losses, factor: float = 1.0, gap: float = 0.0) -> Losses:
    assert one.unconditional is not None
    return Losses(one.conditional * factor + gap, one.unconditional * factor)


def flagged(verdicts: list[Verdict]) -> dict[int, str]:
    return {i: " | ".join(verdict.flags) for i, verdict in enumerate(verdicts) if verdict.flags}


@pytest.mark.parametrize("seed", range(5))
def test_each_fault_gets_its_own_flag_and_nobody_else_one(seed: int) -> None:
    losses = crowd(np.random.default_rng(seed), m=100)
    losses[2] = changed(losses[2], factor=2.5)
    losses[5] = changed(losses[5], gap=0.1)
    losses[9] = changed(losses[9], gap=0.05)
    found = flagged(judge(losses))
    assert set(found) == {2, 5, 9}
    assert found[2].startswith(("loss 2.", "loss 3."))
    assert found[5].startswith(ABOVE)
    assert found[9].startswith(LESS)


@pytest.mark.parametrize(
    "kind",
    [
        {"n": 5, "spread": 0.05},
        {"n": 6, "m": 20, "spread": 0.1},
        {"n": 14, "m": 20, "skew": 1.0},
        {"n": 14, "m": 100, "spread": 0.25},
        {"n": 25, "m": 40, "spread": 0.1, "skew": 1.0},
    ],
    ids=str,
)
def test_chance_seldom_raises_a_flag(kind: dict[str, Any]) -> None:
    rng = np.random.default_rng(7)
    assert sum(bool(flagged(judge(crowd(rng, **kind)))) for _ in range(60)) <= 6


def test_conditions_without_effect_seldom_raise_a_flag() -> None:
    rng = np.random.default_rng(8)
    many = 0
    for _ in range(100):
        many += bool(flagged(judge([Losses(0.3 + 0.03 * rng.normal(size=60), np.full(60, 0.3)) for _ in range(14)])))
    assert many <= 10


def test_few_images_are_told_and_never_flagged_nor_compared_with() -> None:
    losses = crowd(np.random.default_rng(0))
    few = losses[4].conditional[: ENOUGH - 1] * 10
    expected = judge([*losses[:4], *losses[5:]])
    losses[4] = Losses(few, few)
    verdicts = judge(losses)
    assert verdicts.pop(4) == Verdict((), f"too few images to tell: {ENOUGH - 1} of {ENOUGH}")
    assert verdicts == expected
    (alone,) = judge([Losses(np.ones(1), np.ones(1))])
    assert alone.note.startswith("too few images")


def test_order_and_scale_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    losses = crowd(rng)
    losses[0], losses[7] = changed(losses[0], factor=3.0), changed(losses[7], gap=0.09)
    verdicts = judge(losses)
    order = rng.permutation(len(losses))
    assert judge([losses[i] for i in order]) == [verdicts[i] for i in order]
    assert judge([changed(one, factor=100.0) for one in losses]) == verdicts


def test_two_bad_ones_do_not_hide_each_other() -> None:
    losses = crowd(np.random.default_rng(4), spread=0.03)
    for i in (1, 2, 3):
        losses[i] = changed(losses[i], factor=2.0)
    assert set(flagged(judge(losses))) == {1, 2, 3}


def test_few_contributors_are_not_compared_but_each_has_its_own_pairs() -> None:
    losses = crowd(np.random.default_rng(5), n=4)
    losses[0], losses[1] = changed(losses[0], factor=9.0), changed(losses[1], gap=0.1)
    found = flagged(judge(losses))
    assert set(found) == {1}
    assert found[1].startswith(ABOVE)


def test_a_small_difference_that_is_certain_is_no_flag() -> None:
    rng = np.random.default_rng(6)
    losses = [Losses(0.3 + 1e-4 * rng.normal(size=500) + 1e-5 * i, None) for i in range(10)]
    losses[3] = Losses(losses[3].conditional * 1.2, None)
    assert not flagged(judge(losses))
    losses[3] = Losses(losses[3].conditional * 1.3, None)
    assert set(flagged(judge(losses))) == {3}


def test_losses_that_are_all_alike() -> None:
    same = [Losses(np.full(30, 0.5), np.full(30, 0.6)) for _ in range(8)]
    assert not flagged(judge(same))
    zero = [Losses(np.zeros(30), None) for _ in range(8)]
    assert not flagged(judge(zero))
