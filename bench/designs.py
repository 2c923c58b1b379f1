"""Three ways to split real digits over contributors, with harm of different kinds, for measurements against retraining.

Each design is a table of rows (`contributor`, `label`, `image`) and the coalitions of it that are retrained.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from scipy.ndimage import gaussian_filter

TABLES = Path(__file__).with_name("retrained")
EXAMPLE = Path(__file__).parents[1] / "examples" / "digits"
sys.path.insert(0, str(EXAMPLE))

from digits_data import CLASSES, REFERENCE_PER_CLASS, ROWS, Pool, class_mix, encode_images, grey_values  # noqa: E402

from surrogateshap.games.coalitions import draw_pairs  # noqa: E402
from surrogateshap.games.encoded import Bools  # noqa: E402

DESIGNS = ("overlapping", "classes", "harms")
BAD = {
    "overlapping": {"noisy": "noisy-twin", "mislabelled": "mislabelled-twin"},
    "classes": {},
    "harms": {"blurred": "blurred-twin", "half-mislabelled": "half-mislabelled-twin", "repeated": "repeated-twin"},
}
"""Contributors that harm, and the clean ones with the same label counts."""
UTILITIES = {
    "quality": 'kind = "frechet"\nreference = "example:digits/reference.parquet"',
    "recognisable": 'kind = "score"\nscore = "condition"',
    "confident-tail": 'kind = "score"\nstatistic = { quantile = 0.1 }',
    "variety": 'kind = "inception"',
    "diversity": 'kind = "pairwise"',
    "threes": 'kind = "rate"\nclass = 3',
}
"""As in specs/digits.toml."""
BLUR, REPEATS = 1.2, 10
PAIRS = {"anchor": 40, "half": 15, "kernel": 10}
"""Pairs of coalitions: half-size ones to learn from; half-size and Shapley-kernel-size ones to test on."""


@dataclass(frozen=True)
class Coalitions:
    """Coalitions (M, n), what each is for, and nothing twice."""

    masks: Bools
    uses: tuple[str, ...]


def make_design(name: str) -> pl.DataFrame:
    """Rows of a design: `contributor`, `label`, `image`."""
    if name == "overlapping":
        return pl.read_parquet(EXAMPLE / "contributors.parquet", columns=["contributor", "label", "image"])
    rng = np.random.default_rng(0)
    pool = Pool(rng)
    pool.take(np.full(CLASSES, REFERENCE_PER_CLASS))  # the example's reference: the same seed, the same images
    if name == "classes":
        rows = pool.rows()
        digit = pool.labels[rows]
        return pl.DataFrame(
            {
                "contributor": [f"digit-{k}" for k in digit],
                "label": digit,
                "image": encode_images(grey_values(pool.levels[rows])),
            }
        )
    parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for bad, twin in BAD[name].items():
        counts = class_mix(rng, ROWS, pool.left() // 2, 3.0)
        for who in (bad, twin):
            rows = rng.permutation(pool.take(counts))
            parts[who] = pool.levels[rows].astype(np.float64), pool.labels[rows]
    levels, labels = parts["blurred"]
    parts["blurred"] = np.stack([gaussian_filter(image, BLUR) for image in levels]), labels
    levels, labels = parts["half-mislabelled"]
    wrong = rng.permutation(ROWS) < ROWS // 2
    parts["half-mislabelled"] = levels, np.where(wrong, rng.permutation(labels), labels)
    levels, labels = parts["repeated"]
    first = np.array(
        [np.flatnonzero(labels == label)[: -(-np.sum(labels == label) // REPEATS)] for label in labels], dtype=object
    )
    turn = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])
    parts["repeated"] = levels[[int(f[t % len(f)]) for f, t in zip(first, turn, strict=True)]], labels
    for who in ("ash", "birch", "cedar", "elm", "fir", "hazel"):
        rows = rng.permutation(pool.take(class_mix(rng, ROWS, pool.left())))
        parts[who] = pool.levels[rows].astype(np.float64), pool.labels[rows]
    return pl.concat(
        pl.DataFrame(
            {
                "contributor": [who] * len(labels),
                "label": labels,
                "image": encode_images(grey_values(np.clip(np.round(levels), 0, 16).astype(np.int64))),
            }
        )
        for who, (levels, labels) in sorted(parts.items())
    )


def coalitions(n: int) -> Coalitions:
    """Which coalitions of a design are retrained, test ones first; complements follow each other."""
    rng = np.random.default_rng(2)
    seen: set[bytes] = set()
    masks: list[Bools] = []
    uses: list[str] = []
    kernel = draw_pairs(n, 1_000, 3)[::2]
    for use in ("half", "kernel", "anchor"):
        left = PAIRS[use]
        at = 0
        while left:
            if use == "kernel":
                mask = kernel[at]
                at += 1
            else:
                mask = rng.permutation(n) < n // 2
            if mask.tobytes() in seen:
                continue
            seen |= {mask.tobytes(), (~mask).tobytes()}
            masks += [mask, ~mask]
            uses += [use, use]
            left -= 1
    return Coalitions(np.array(masks), tuple(uses))
