"""What denoising losses say of contributors: who stands out from the others by more than chance explains.

The rule is ours. Three things are looked at, each with a one-sided test whose level is shared out among the n
contributors of a grouping (Bonferroni). In simulations of contributors without fault (`bench/flags.py`) 0 to 8 % of the
groupings had a flag, and at worst 12 % (six contributors of very different images):

1. *images*: the loss without a condition (under its own, where the model knows none without) is at least `FAR` times
   the median of the others' and lies above that median, in logarithms, by more than the others' spread (their median
   absolute deviation) and the contributor's own sampling error explain together (Welch).
2. *conditions*: the loss under its own conditions is higher than without any, by more than its sampling error explains;
   paired, since both losses of an image see the same noise.
3. *conditions*, weaker: they lower the loss by less than half of the median of what the others' do, beyond spread and
   sampling error as in 1. Left out where 1 holds: no condition explains an image that is mostly noise.

Fewer than `ENOUGH` images give no flag and are nobody's measure; 1 and 3 need `OTHERS` others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

ENOUGH = 20
"""Images below which the mean of such skewed numbers is too uncertain for a test."""
OTHERS = 4
"""Contributors, with enough images, that one is compared with at least."""
FAR = 1.25
"""Times the others' median: less is told apart by a test where images are many, and means little."""
EFFICIENCY = 0.37
"""Of the median absolute deviation, beside the standard deviation of normal numbers (Rousseeuw & Croux 1993)."""
LEVEL = 0.05
"""Of each of the three tests, for all contributors of a grouping together."""


@dataclass(frozen=True)
class Losses:
    """Mean squared errors of one contributor's m images."""

    conditional: np.ndarray
    """(m,): under the images' own conditions."""
    unconditional: np.ndarray | None
    """(m,): without a condition; None where the model knows no such thing."""


@dataclass(frozen=True)
class Verdict:
    """What stands out of one contributor, in words."""

    flags: tuple[str, ...]
    note: str
    """Why nothing can be said, where that is so; else empty."""


@dataclass(frozen=True)
class _Means:
    """Means of n contributors' images, with their standard errors."""

    mean: np.ndarray
    error: np.ndarray
    images: np.ndarray

    @classmethod
    def of(cls, columns: Sequence[np.ndarray]) -> "_Means":
        images = np.array([len(column) for column in columns])
        spread = np.array([column.std(ddof=1) if len(column) > 1 else 0.0 for column in columns])
        return cls(np.array([column.mean() for column in columns]), spread / np.sqrt(images), images)

    def logarithms(self) -> "_Means":
        """Of positive means, by the delta method: contributors' losses differ by factors."""
        floored = np.maximum(self.mean, np.finfo(float).tiny)
        return _Means(np.log(floored), self.error / floored, self.images)


def judge(losses: Sequence[Losses]) -> list[Verdict]:
    """One verdict for each of a grouping's contributors, in their order, by the rule above."""
    enough = [i for i, one in enumerate(losses) if len(one.conditional) >= ENOUGH]
    verdicts = [Verdict((), f"too few images to tell: {len(one.conditional)} of {ENOUGH}") for one in losses]
    if not enough:
        return verdicts
    told = [losses[i] for i in enough]
    alone = _Means.of(
        [one.conditional if one.unconditional is None else one.unconditional for one in told]
    ).logarithms()
    paired = [one.conditional - one.unconditional for one in told if one.unconditional is not None]
    gap = _Means.of(paired) if len(paired) == len(told) else None
    for at, i in enumerate(enough):
        verdicts[i] = Verdict(tuple(_words(at, alone, gap)), "")
    return verdicts


def _alone(one: Losses) -> np.ndarray:
    """The losses that say most of the images and least of their conditions."""
    return one.conditional if one.unconditional is None else one.unconditional


def _words(at: int, alone: _Means, gap: _Means | None) -> list[str]:
    flags = []
    median, beyond = _compared(alone, at)
    ratio = float(np.exp(alone.mean[at] - median))
    if beyond and ratio >= FAR:
        flags.append(f"loss {ratio:.1f} times the others': unlike their images, or corrupted?")
    if gap is None:
        return flags
    if gap.mean[at] > _quantile(gap.images[at] - 1, len(gap.mean)) * gap.error[at]:
        return [*flags, "loss higher with its conditions than without: wrong ones?"]
    median, beyond = _compared(gap, at)
    if beyond and not flags and gap.mean[at] > median / 2:
        flags.append("its conditions explain less than half of what the others' do: some wrong?")
    return flags


def _compared(means: _Means, at: int) -> tuple[float, bool]:
    """The others' median, and whether one mean lies above it by more than spread and sampling error explain."""
    others = np.delete(means.mean, at)
    if len(others) < OTHERS:
        return 0.0, False
    median = float(np.median(others))
    spread = _consistent(len(others)) * float(np.median(np.abs(others - median)))
    own = float(means.error[at])
    variance = spread**2 + own**2
    if variance == 0:
        return median, bool(means.mean[at] > median)
    # Welch & Satterthwaite: freedom from the others' number where their spread counts, else from the images'.
    freedom = variance**2 / (spread**4 / (EFFICIENCY * (len(others) - 1)) + own**4 / (means.images[at] - 1))
    return median, bool(means.mean[at] - median > _quantile(freedom, len(means.mean)) * variance**0.5)


def _consistent(number: int) -> float:
    """What makes the median absolute deviation of that many normal numbers their standard deviation on average."""
    return 1.4826 * _SMALL.get(number, number / (number - 0.8))


_SMALL = {4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}
"""Croux & Rousseeuw 1992."""


def _quantile(freedom: float, contributors: int) -> float:
    """Of Student's t, for one of that many tests."""
    return float(stdtrit(freedom, 1 - LEVEL / contributors))
