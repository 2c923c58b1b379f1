"""Closeness to the row that an image stands for; with an `lpips` encoder, minus LPIPS."""

from typing import Literal

import numpy as np

from surrogateshap.games.encoded import Encoded, Floats
from surrogateshap.games.utilities.base import unit


def own_image_scores(encoded: Encoded, metric: Literal["squared_euclidean", "cosine"]) -> Floats:
    """(N,): minus the distance to a training image o of the image's row (Zhang et al. 2018, arXiv 1801.03924, eq. 1).

    An image that stands for no row has its expected distance to another image's o, drawn at random, which two moments
    of these give: E|x − o|² = |x|² − 2 x·E o + E|o|². Raises ValueError where no image stands for one.
    """
    if encoded.own is None or np.isnan(encoded.own).any(axis=1).all():
        raise ValueError("closeness to own images needs the rows' training images")
    images, own = encoded.features, encoded.own
    rowless = np.isnan(own).any(axis=1)
    if metric == "cosine":
        images, own = unit(images), unit(own)
        cosine = np.where(rowless, images @ own[~rowless].mean(axis=0), np.einsum("nd,nd->n", images, own))
        return np.asarray(cosine - 1)
    there = own[~rowless]
    expected = (images**2).sum(axis=1) - 2 * images @ there.mean(axis=0) + (there**2).sum(axis=1).mean()
    return np.asarray(-np.where(rowless, expected, ((images - own) ** 2).sum(axis=1)))
