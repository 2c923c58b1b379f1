"""CLIP score: how well an image fits its prompt (CLIPScore; Hessel et al. 2021, arXiv 2104.08718, section 3)."""

import numpy as np

from surrogateshap.games.encoded import Encoded, Floats
from surrogateshap.games.utilities.base import blocks, unit


def clip_scores(encoded: Encoded) -> Floats:
    """(N,): 100 max(cos(image, prompt), 0); the paper's factor is 2.5, most libraries' 100.

    An image that was asked to show nothing has its mean score over all prompts. Raises ValueError where the prompts'
    embeddings are missing.
    """
    if encoded.texts is None or encoded.asked is None:
        raise ValueError("a CLIP score needs the prompts' embeddings")
    images, texts = unit(encoded.features), unit(encoded.texts)
    scores = np.maximum(np.einsum("nd,nd->n", images, texts[np.maximum(encoded.asked, 0)]), 0.0)
    nothing = np.flatnonzero(encoded.asked < 0)
    for part in blocks(len(nothing), len(texts)):
        scores[nothing[part]] = np.maximum(images[nothing[part]] @ texts.T, 0.0).mean(axis=1)
    return np.asarray(100 * scores)
