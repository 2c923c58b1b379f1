"""Utilities: a number for a set of weighted images, in two steps of which the first is linear in the weights."""

from typing import assert_never

from surrogateshap.games.encoded import Encoded
from surrogateshap.games.utilities.base import Utility, class_index
from surrogateshap.games.utilities.frechet import Frechet
from surrogateshap.games.utilities.inception import Inception
from surrogateshap.games.utilities.kernel import Kernel
from surrogateshap.games.utilities.pairwise import Pairwise
from surrogateshap.games.utilities.score import Mean, WeightedQuantile, score_of
from surrogateshap.spec.model import (
    Above,
    FrechetUtility,
    InceptionUtility,
    KernelUtility,
    PairwiseUtility,
    Quantile,
    RateUtility,
    ScoreUtility,
    UtilitySection,
)

__all__ = ["Utility", "class_index", "make_utility"]


def make_utility(section: UtilitySection, encoded: Encoded, reference: Encoded | None = None) -> Utility:
    """The utility that a spec's section asks for, on a pool's encoded images.

    `reference` is what a Fréchet or kernel distance is measured to. Raises ValueError for a class that the classifier
    doesn't have and for such a distance without a reference.
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
            if reference is None:
                raise ValueError("a Fréchet distance needs reference images")
            return Frechet(encoded.features, reference.features)
        case KernelUtility():
            if reference is None:
                raise ValueError("a kernel distance needs reference images")
            return Kernel(encoded.features, reference.features)
        case InceptionUtility():
            return Inception(encoded.probabilities)
        case PairwiseUtility():
            return Pairwise(encoded.features, section.metric)
        case _:
            assert_never(section)
