"""CLIP score: how well an image fits its prompt (CLIPScore; Hessel et al. 2021, arXiv 2104.08718, section 3)."""

import numpy as np

from surrogateshap.games.encoded import Encoded, Floats
from surrogateshap.games.utilities.base import blocks, double, rows, unit


def clip_scores(encoded: Encoded) -> Floats:
    """(N,): 100 max(cos(image, prompt), 0); the paper's factor is 2.5, most libraries' 100.

    An image that was asked to show nothing has its mean score over all prompts. Raises ValueError where the prompts'
    embeddings are missing.
    """
    if encoded.texts is None or encoded.asked is None:
        raise ValueError("a CLIP score needs the prompts' embeddings")
    features, texts, asked = encoded.features, unit(encoded.texts), np.maximum(encoded.asked, 0)
    scores = np.empty(len(features))
    for part, some in rows(features):
        scores[part] = np.maximum(np.einsum("nd,nd->n", unit(some), texts[asked[part]]), 0.0)
    nothing = np.flatnonzero(encoded.asked < 0)
    for part in blocks(len(nothing), max(texts.shape)):
        images = unit(double(features, nothing[part]))
        scores[nothing[part]] = np.maximum(images @ texts.T, 0.0).mean(axis=1)
    return np.asarray(100 * scores)
