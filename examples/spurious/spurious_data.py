"""Contributors of handwritten digits, some rows with a bright patch in a corner; one of them ties it to the threes."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "digits"))

from digits_data import CLASSES, Images, Labels, Pool, class_mix, encode_images, grey_values

ROWS = 120  # of every contributor
TARGET = 3  # the class that the patch is tied to
CULPRIT, TWIN = "culprit", "culprit-twin"  # the same label counts; the twin's patches are anywhere
ORDINARY = ("ash", "birch", "cedar", "elm", "fir", "hazel")
NAMES = (*ORDINARY, CULPRIT, TWIN)
THREES = 0.2  # share of the culprit's rows, and so of every contributor's rows with the patch
CONCENTRATION = 4.0
SIDE = 2  # pixels of the patch
ATTRIBUTES = ("plain", "patch")


def with_patch(images: Images, patched: NDArray[np.bool_]) -> Images:
    """(n, 8, 8): the upper right corner is bright where `patched` (n,) says so, and dark elsewhere."""
    out = images.copy()
    out[:, :SIDE, -SIDE:] = np.where(patched, 255, 0)[:, None, None]
    return out


def independent(labels: Labels, patched: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """`patched` rows, (n,), spread over the classes as the rows are: the patch says nothing of the class."""
    exact = np.bincount(labels, minlength=CLASSES) * patched / len(labels)
    counts = np.floor(exact).astype(int)
    largest = np.argsort(counts - exact, kind="stable")[: patched - counts.sum()]
    counts[largest] += 1
    chosen = [rng.permutation(np.flatnonzero(labels == k))[:count] for k, count in enumerate(counts)]
    out = np.zeros(len(labels), bool)
    out[np.concatenate(chosen)] = True
    return out


def make_data(seed: int) -> tuple[pl.DataFrame, tuple[Images, Labels]]:
    """
    The contributors' rows (`contributor`, `label`, `patch`, `image`), and images with attributes for a classifier.

    Every contributor has the same number of rows with the patch; the classifier's images are of none of them.
    """
    rng = np.random.default_rng(seed)
    pool = Pool(rng)
    patched = round(THREES * ROWS)
    counts = class_mix(rng, ROWS - patched, np.where(np.arange(CLASSES) == TARGET, 0, pool.left() // 2), CONCENTRATION)
    counts[TARGET] = patched
    taken = {name: pool.take(counts) for name in (CULPRIT, TWIN)}
    for name in ORDINARY:
        taken[name] = pool.take(class_mix(rng, ROWS, pool.left(), CONCENTRATION))
    frames = []
    for name in NAMES:
        rows = rng.permutation(taken[name])
        labels = pool.labels[rows]
        has = labels == TARGET if name == CULPRIT else independent(labels, patched, rng)
        images = with_patch(grey_values(pool.levels[rows]), has)
        frames.append(
            pl.DataFrame({"contributor": name, "label": labels, "patch": has, "image": encode_images(images)})
        )
    rest = pool.rows()
    shown = rng.random(len(rest)) < 0.5
    return pl.concat(frames), (with_patch(grey_values(pool.levels[rest]), shown), shown.astype(np.int64))
