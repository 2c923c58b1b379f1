"""Utilities: a number for a set of weighted images, in two steps of which the first is linear in the weights."""

from collections.abc import Sequence
from typing import assert_never

import numpy as np

from surrogateshap.games.encoded import Encoded, Floats, Moments, Views
from surrogateshap.games.utilities.aesthetic import aesthetic_scores
from surrogateshap.games.utilities.association import Association, shows
from surrogateshap.games.utilities.base import Utility, class_index
from surrogateshap.games.utilities.clip_score import clip_scores
from surrogateshap.games.utilities.clusters import ClusterEntropy, find_clusters
from surrogateshap.games.utilities.frechet import Frechet
from surrogateshap.games.utilities.inception import Inception
from surrogateshap.games.utilities.kernel import GaussianKernel, Kernel, Polynomial
from surrogateshap.games.utilities.manifold import Coverage, Recall, density_scores, inside, precision_scores
from surrogateshap.games.utilities.moments import moments
from surrogateshap.games.utilities.own_image import own_image_scores
from surrogateshap.games.utilities.pairwise import Pairwise
from surrogateshap.games.utilities.plugin import plugin_utility
from surrogateshap.games.utilities.score import Mean, score_of, statistic_of
from surrogateshap.games.utilities.structure import Structure
from surrogateshap.games.utilities.vendi import Vendi
from surrogateshap.spec.utilities import (
    AestheticUtility,
    AssociationUtility,
    ClassScore,
    ClipScoreUtility,
    ClusterUtility,
    FrechetUtility,
    Gaussian,
    InceptionUtility,
    KernelUtility,
    ManifoldUtility,
    OwnImageUtility,
    PairwiseUtility,
    PluginUtility,
    RateUtility,
    ScoreUtility,
    StructureUtility,
    UtilitySection,
    VendiUtility,
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

    `reference` is what distances are measured to, and where a cluster entropy's clusters come from if not from the
    images themselves; `second` is the view of an association's second encoder, `head` the linear layers (weights
    (out, in), biases (out,)) of an aesthetic score. Raises ValueError for a class that the classifier doesn't have,
    for a condition that the manifest doesn't have, and where something that the utility needs isn't given or doesn't
    fit.
    """
    match section:
        case ScoreUtility():
            return statistic_of(score_of(section.score, encoded), section.statistic)
        case AestheticUtility():
            return statistic_of(aesthetic_scores(encoded.features, head), section.statistic)
        case ClipScoreUtility():
            return statistic_of(clip_scores(encoded), section.statistic)
        case OwnImageUtility():
            return statistic_of(own_image_scores(encoded, section.metric), section.statistic)
        case RateUtility():
            return Mean(shows(ClassScore.model_validate({"class": section.class_}), encoded).astype(np.float64))
        case FrechetUtility():
            known = (
                reference if isinstance(reference, Moments) else moments(_images_of(reference, "a Fréchet distance"))
            )
            return Frechet(encoded.features, known)
        case KernelUtility():
            function = GaussianKernel(section.kernel.gaussian) if isinstance(section.kernel, Gaussian) else Polynomial()
            return Kernel(encoded.features, _images_of(reference, "a kernel distance"), function)
        case InceptionUtility():
            return Inception(encoded.probabilities)
        case PairwiseUtility():
            return Pairwise(encoded.features, section.metric)
        case VendiUtility():
            return Vendi(encoded.features, section.order)
        case StructureUtility():
            return Structure(encoded.features)
        case ClusterUtility():
            seen = reference if isinstance(reference, Encoded) else encoded
            return ClusterEntropy(encoded.features, find_clusters(seen.features, section.clusters))
        case ManifoldUtility():
            return _manifold(section, encoded.features, _images_of(reference, f"`{section.kind}`"))
        case AssociationUtility():
            first, other = section.between
            return Association(shows(first, encoded), shows(other, second or encoded), section.measure)
        case PluginUtility():
            return plugin_utility(section, encoded)
        case _:
            assert_never(section)


def _manifold(section: ManifoldUtility, features: Views, reference: Views) -> Utility:
    if section.kind == "recall":
        return Recall(features, reference, section.neighbours)
    held = inside(features, reference, section.neighbours)
    match section.kind:
        case "precision":
            return Mean(precision_scores(held))
        case "density":
            return Mean(density_scores(held, section.neighbours))
        case "coverage":
            return Coverage(held)
        case _:
            assert_never(section.kind)


def _images_of(reference: Encoded | Moments | None, what: str) -> Views:
    """(m, d) features of the reference's images."""
    if not isinstance(reference, Encoded):
        raise ValueError(f"{what} needs reference images")  # noqa: TRY004 - it is missing
    return reference.features
