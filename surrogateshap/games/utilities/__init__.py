"""Utilities: a number for a set of weighted images, in two steps of which the first is linear in the weights."""

from collections.abc import Sequence
from typing import assert_never

from surrogateshap.games.encoded import Encoded, Floats, Moments
from surrogateshap.games.utilities.base import Utility, class_index
from surrogateshap.games.utilities.frechet import Frechet
from surrogateshap.games.utilities.inception import Inception
from surrogateshap.games.utilities.kernel import Kernel
from surrogateshap.games.utilities.pairwise import Pairwise
from surrogateshap.games.utilities.plugin import plugin_utility
from surrogateshap.games.utilities.score import Mean, WeightedQuantile, score_of
from surrogateshap.spec.utilities import (
    Above,
    FrechetUtility,
    InceptionUtility,
    KernelUtility,
    PairwiseUtility,
    PluginUtility,
    Quantile,
    RateUtility,
    ScoreUtility,
    UtilitySection,
)

__all__ = ["Utility", "class_index", "make_utility"]


def make_utility(
    section: UtilitySection,
    encoded: Encoded,
    reference: Encoded | Moments | None = None,
    second: Encoded | None = None,
    head: Sequence[tuple[Floats, Floats]] = (),
) -> Utility:
    """The utility that a spec's section asks for, on a pool's encoded images.

    `reference` is what distances are measured to, `second` the view of an association's second encoder, `head` the
    linear layers (weights (out, in), biases (out,)) of an aesthetic score. Raises ValueError for a class that the
    classifier doesn't have, and where something that the utility needs isn't given.
    """
    match section:
        case ScoreUtility():
            scores = score_of(section.score, encoded)
            match section.statistic:
                case Quantile(quantile=q):
                    return WeightedQuantile(scores, q)
                case Above(above=threshold):
                    return Mean((scores >= threshold).astype("float64"))
                case "mean":
                    return Mean(scores)
                case _:
                    assert_never(section.statistic)
        case RateUtility():
            wanted = class_index(section.class_, encoded.labels)
            return Mean((encoded.probabilities.argmax(axis=1) == wanted).astype("float64"))
        case FrechetUtility():
            if not isinstance(reference, Encoded):
                raise ValueError("a Fréchet distance needs reference images")  # noqa: TRY004 - it is missing
            return Frechet(encoded.features, reference.features)
        case KernelUtility():
            if not isinstance(reference, Encoded):
                raise ValueError("a kernel distance needs reference images")  # noqa: TRY004 - it is missing
            return Kernel(encoded.features, reference.features)
        case InceptionUtility():
            return Inception(encoded.probabilities)
        case PairwiseUtility():
            return Pairwise(encoded.features, section.metric)
        case PluginUtility():
            return plugin_utility(section, encoded)
        case _:
            raise NotImplementedError
