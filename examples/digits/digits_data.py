"""Contributors made of scikit-learn's handwritten digits: who has which rows, and what is wrong with some of them."""

import io
from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

CLASSES = 10
LEVELS = 16  # the data set's grey levels run from 0 to 16
ROWS = 100  # of every contributor but `tiny`
TINY_ROWS = 10
COPIED_ROWS = 90  # of a near-duplicate's rows; the rest are its own
REFERENCE_PER_CLASS = 36
REPLACED_PIXELS = 0.6  # share of the pixels of a `noisy` image that are drawn anew
LABEL_SHIFT = 3  # a `mislabelled` digit d is given as (d + 3) mod 10
PAIR_CONCENTRATION = 3.0  # the bad contributors' mixes are flatter, so that no class is mostly theirs

ORDINARY = ("ash", "birch", "cedar", "elm", "fir", "hazel", "larch")
# Two names: the first half of the rows is in the first collection, the other half in the second.
COLLECTIONS = {
    "ash": ("north",),
    "ash-copy": ("online",),
    "birch": ("north",),
    "birch-copy": ("online",),
    "cedar": ("south",),
    "elm": ("south", "east"),
    "fir": ("east",),
    "hazel": ("east",),
    "larch": ("west", "online"),
    "mislabelled": ("east",),
    "mislabelled-twin": ("north",),
    "noisy": ("south",),
    "noisy-twin": ("west",),
    "tiny": ("west",),
}

Images = NDArray[np.uint8]  # (n, 8, 8), grey values 0..255
Labels = NDArray[np.int64]  # (n,), digits 0..9


def encode_images(images: Images) -> list[bytes]:
    """Encode (n, 8, 8) grey values as n PNG files."""
    files = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="PNG")
        files.append(buffer.getvalue())
    return files


def decode_images(files: Iterable[bytes]) -> Images:
    """Decode PNG files to (n, 8, 8) grey values 0..255."""
    return np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in files])


def grey_values(levels: NDArray[np.int64]) -> Images:
    """Map levels 0..16 to grey values 0..255."""
    return np.round(levels * (255 / LEVELS)).astype(np.uint8)


class Pool:
    """The real digits, handed out without overlap."""

    def __init__(self, rng: np.random.Generator) -> None:
        from sklearn.datasets import load_digits  # here: whoever trains on rows that are there needs no scikit-learn

        digits = load_digits()
        self.levels: NDArray[np.int64] = digits.images.astype(np.int64)
        self.labels: Labels = digits.target.astype(np.int64)
        self._left = [rng.permutation(np.flatnonzero(self.labels == k)) for k in range(CLASSES)]

    def left(self) -> NDArray[np.int64]:
        """(10,) rows of each class not handed out yet."""
        return np.array([len(rows) for rows in self._left])

    def rows(self) -> NDArray[np.int64]:
        """Indices of the rows not handed out yet, ordered by class."""
        return np.concatenate(self._left)

    def take(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Hand out `counts[k]` rows of each class k, ordered by class; returns their indices."""
        taken = [rows[:count] for rows, count in zip(self._left, counts, strict=True)]
        self._left = [rows[count:] for rows, count in zip(self._left, counts, strict=True)]
        return np.concatenate(taken)


def class_mix(
    rng: np.random.Generator, rows: int, capacity: NDArray[np.int64], concentration: float = 1.0
) -> NDArray[np.int64]:
    """Counts (10,) that sum to `rows`, drawn with a Dirichlet mix of the classes, none above its class's capacity."""
    mix = rng.dirichlet(np.full(CLASSES, concentration))
    counts = np.zeros(CLASSES, dtype=np.int64)
    for _ in range(rows):
        weights = np.where(counts < capacity, mix, 0.0)
        counts[rng.choice(CLASSES, p=weights / weights.sum())] += 1
    return counts


def make_data(seed: int) -> tuple[pl.DataFrame, pl.DataFrame, tuple[Images, Labels]]:
    """
    Split the 1,797 digits.

    Returns the contributors' rows (`contributor`, `collection`, `label`, `image`), the reference (`label`, `image`:
    clean images no contributor has) and clean images and labels to train the classifier on. Those are in neither the
    reference nor any of the four rows of `noisy`, `mislabelled` and their twins, so that the classifier has seen none
    of the images on which a bad contributor is compared with its twin.
    """
    rng = np.random.default_rng(seed)
    pool = Pool(rng)
    reference = pool.take(np.full(CLASSES, REFERENCE_PER_CLASS))
    levels: dict[str, NDArray[np.int64]] = {}
    labels: dict[str, Labels] = {}

    def add(name: str, rows: NDArray[np.int64]) -> None:
        rows = rng.permutation(rows)
        levels[name], labels[name] = pool.levels[rows], pool.labels[rows]

    # The pairs come first: they need twice the images of one mix.
    counts = class_mix(rng, ROWS, pool.left() // 2, PAIR_CONCENTRATION)
    add("noisy", pool.take(counts))
    add("noisy-twin", pool.take(counts))
    replaced = rng.random(levels["noisy"].shape) < REPLACED_PIXELS
    levels["noisy"] = np.where(replaced, rng.integers(0, LEVELS + 1, replaced.shape), levels["noisy"])

    counts = class_mix(rng, ROWS, np.full(CLASSES, pool.left().min() // 2), PAIR_CONCENTRATION)
    add("mislabelled", pool.take(np.roll(counts, -LABEL_SHIFT)))
    add("mislabelled-twin", pool.take(counts))
    labels["mislabelled"] = (labels["mislabelled"] + LABEL_SHIFT) % CLASSES

    unpaired = pool.rows()
    for name in ORDINARY:
        add(name, pool.take(class_mix(rng, ROWS, pool.left())))
    add("tiny", pool.take(class_mix(rng, TINY_ROWS, pool.left())))
    for original in ("ash", "birch"):
        name = f"{original}-copy"
        add(name, pool.take(class_mix(rng, ROWS - COPIED_ROWS, pool.left())))
        copied = rng.choice(ROWS, COPIED_ROWS, replace=False)
        perturbed = levels[original][copied] + rng.integers(-1, 2, (COPIED_ROWS, 8, 8))
        levels[name] = np.concatenate([np.clip(perturbed, 0, LEVELS), levels[name]])
        labels[name] = np.concatenate([labels[original][copied], labels[name]])

    contributors = pl.concat(
        pl.DataFrame(
            {
                "contributor": [name] * len(labels[name]),
                "collection": [homes[i * len(homes) // len(labels[name])] for i in range(len(labels[name]))],
                "label": labels[name],
                "image": encode_images(grey_values(levels[name])),
            }
        )
        for name, homes in COLLECTIONS.items()
    )
    reference_frame = pl.DataFrame(
        {"label": pool.labels[reference], "image": encode_images(grey_values(pool.levels[reference]))}
    )
    return contributors, reference_frame, (grey_values(pool.levels[unpaired]), pool.labels[unpaired])
