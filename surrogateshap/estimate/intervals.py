"""Intervals for Shapley values and for ranks."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from surrogateshap.games.encoded import Floats, Ints

_PAIRINGS = 2_000
"""Combined draws that ranks are taken from."""
_DIGITS = 9
"""Of the largest value, that tell two values apart."""


@dataclass(frozen=True)
class Intervals:
    """How sure n Shapley values are; every array is (n,)."""

    low: Floats
    high: Floats
    sd_images: Floats
    """Standard error that comes from the pool's images."""
    sd_coalitions: Floats
    """Standard error that comes from sampling coalitions; 0 where all were evaluated."""
    rank_low: Ints
    rank_high: Ints
    in_top: Floats | None
    """Probability of being among the k highest; None where no k was given. They add up to k."""


def ranks(values: Floats) -> Ints:
    """Ranks along the last axis: 1 for the highest value; equal values share the smallest rank.

    Equal up to rounding: contributors that no coalition tells apart differ in the last digits of their sums.
    """
    scale = np.abs(values).max(axis=-1, keepdims=True)
    rounded = np.round(np.divide(values, scale, out=np.zeros_like(values), where=scale > 0), _DIGITS)
    ordered = np.sort(-rounded, axis=-1)
    flat, keys = ordered.reshape(-1, values.shape[-1]), -rounded.reshape(-1, values.shape[-1])
    found = np.stack([np.searchsorted(row, key, side="left") for row, key in zip(flat, keys, strict=True)])
    return np.asarray(found.reshape(values.shape) + 1, dtype=np.int64)


def top_probabilities(drawn: Ints, k: int) -> Floats:
    """(n,): how often each one's rank is among the first k, given drawn ranks (R, n) whose ties share the smallest.

    Those that tie for the last places share them equally, so that the probabilities add up to min(k, n).
    """
    n = drawn.shape[1]
    tied = np.stack([np.bincount(row, minlength=n + 1)[row] for row in drawn])
    return np.asarray(np.clip((k + 1 - drawn) / tied, 0, 1).mean(axis=0))


def intervals(
    values: Floats, image_draws: Floats, coalition_draws: Floats | None, level: float, top: int | None = None
) -> Intervals:
    """Intervals of coverage `level` for values (n,), from draws (R, n) and (Q, n), whose means don't matter.

    Values: normal, from the two sources' variances added up. Ranks, and who is among the `top` highest: over values
    plus an image and a coalition deviation paired at random; rank intervals always hold the rank itself.
    """
    images = image_draws - image_draws.mean(axis=0)
    sd_images = image_draws.std(axis=0, ddof=1)
    deviations = images
    sd_coalitions = np.zeros_like(values)
    if coalition_draws is not None:
        sd_coalitions = coalition_draws.std(axis=0, ddof=1)
        coalitions = coalition_draws - coalition_draws.mean(axis=0)
        rng = np.random.default_rng(0)
        pairing = rng.integers(len(images), size=_PAIRINGS), rng.integers(len(coalitions), size=_PAIRINGS)
        deviations = images[pairing[0]] + coalitions[pairing[1]]
    half = NormalDist().inv_cdf((1 + level) / 2) * np.hypot(sd_images, sd_coalitions)
    tail = (1 - level) / 2
    rank, drawn = ranks(values), ranks(values + deviations)
    rank_low = np.quantile(drawn, tail, axis=0, method="lower").astype(np.int64)
    rank_high = np.quantile(drawn, 1 - tail, axis=0, method="higher").astype(np.int64)
    return Intervals(
        low=values - half,
        high=values + half,
        sd_images=sd_images,
        sd_coalitions=sd_coalitions,
        rank_low=np.minimum(rank_low, rank),
        rank_high=np.maximum(rank_high, rank),
        in_top=None if top is None else top_probabilities(drawn, top),
    )
