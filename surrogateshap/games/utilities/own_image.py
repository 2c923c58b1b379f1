"""Closeness to the row that an image stands for; with an `lpips` encoder, minus LPIPS."""

from typing import Literal

import numpy as np

from surrogateshap.games.encoded import Encoded, Floats
from surrogateshap.games.utilities.base import double, rows, unit


def own_image_scores(encoded: Encoded, metric: Literal["squared_euclidean", "cosine"]) -> Floats:
    """(N,): minus the distance to a training image o of the image's row (Zhang et al. 2018, arXiv 1801.03924, eq. 1).

    An image that stands for no row has its expected distance to another image's o, drawn at random, which two moments
    of these give: E|x − o|² = |x|² − 2 x·E o + E|o|². Raises ValueError where no image stands for one.
    """
    missing = "closeness to own images needs the rows' training images"
    if encoded.own is None:
        raise ValueError(missing)
    scaled = unit if metric == "cosine" else np.asarray
    rowless, total, squares = np.zeros(len(encoded.own), np.bool_), np.zeros(encoded.own.shape[1]), 0.0
    for part, some in rows(encoded.own):
        rowless[part] = np.isnan(some).any(axis=1)
        there = scaled(some[~rowless[part]])
        total, squares = total + there.sum(axis=0), squares + float((there**2).sum())
    if rowless.all():
        raise ValueError(missing)
    there_are = int((~rowless).sum())
    mean, length = total / there_are, squares / there_are
    scores = np.empty(len(rowless))
    for part, some in rows(encoded.features):
        images, own = scaled(some), scaled(double(encoded.own, part))
        if metric == "cosine":
            scores[part] = np.where(rowless[part], images @ mean, np.einsum("nd,nd->n", images, own)) - 1
        else:
            expected = (images**2).sum(axis=1) - 2 * images @ mean + length
            scores[part] = -np.where(rowless[part], expected, ((images - own) ** 2).sum(axis=1))
    return scores
