"""Similarity of training images to generated ones, and the utility of a contributor's own images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from surrogateshap.games.encoded import Floats
from surrogateshap.games.utilities.base import unit
from surrogateshap.methods.protocol import Cost, Method, Scores
from surrogateshap.methods.task import Task
from surrogateshap.plan.check_encoders import EncoderInput

_NO_IMAGES = "the manifest has no images"
_PIXELS = 1 << 16
"""Of each image that are held at a time."""
_BASELINE = "a baseline in Zheng et al. 2024 (D-TRAK), arXiv 2311.00500, and Lu et al. 2025, ICLR"


@dataclass(frozen=True)
class Similarity:
    """Mean cosine of a contributor's training images and the frozen model's images, in one space."""

    name: str
    title: str
    encoder: Callable[[Task, str], EncoderInput | None]
    """In whose features, for a utility; None for pixels."""
    missing: str = ""
    """What is said where there is no such encoder; for pixels empty."""
    paper: str = f"Cosine similarity, {_BASELINE}"

    def refuse(self, task: Task) -> str | None:
        """Without training images, or without the encoder."""
        if task.compiled.checked.manifest.image is None:
            return _NO_IMAGES
        if self.missing and any(self.encoder(task, utility) is None for utility in task.utilities):
            return self.missing
        return None

    def cost(self, task: Task) -> Cost:
        """The images to compare with."""
        return Cost(images=task.settings.images)

    def run(self, task: Task) -> Scores:
        """The same for all utilities that look through one encoder, unless images count by their influence."""
        weighted = task.settings.similarity.images == "influence"
        found: dict[str, Floats] = {}
        cosines: dict[str, Floats] = {}
        for utility in task.utilities:
            encoder = self.encoder(task, utility)
            space = "" if encoder is None else encoder.name
            if space not in cosines:
                cosines[space] = self._cosines(task, encoder)
            alike = cosines[space]
            found[utility] = alike @ task.influence(utility) / alike.shape[1] if weighted else alike.mean(axis=1)
        notes = () if weighted else ("The same for every utility: similarity knows none.",)
        return Scores(found, notes=notes)

    def _cosines(self, task: Task, encoder: EncoderInput | None) -> Floats:
        """(n, N): of each contributor to each generated image."""
        most, found = task.settings.similarity.rows == "max", []
        space = "" if encoder is None else f"{encoder.name}.features"
        images = task.generated().images if encoder is None else unit(task.looked()[space].astype(np.float64))
        for contributor in range(task.n):
            task.check()
            if encoder is None:
                alike = _pixel_cosines(task.images_of(task.own_rows(contributor)), images)
            else:
                alike = unit(task.rows_looked(contributor)[1][space].astype(np.float64)) @ images.T
            found.append(alike.max(axis=0) if most else alike.mean(axis=0))
        return np.array(found)


@dataclass(frozen=True)
class OwnUtility:
    """What each utility says of a contributor's own training images, as if a model had made them."""

    name: str = "own_utility"
    title: str = "Utility of own images"
    paper: str = "Mean utility of training images, a baseline in Lu et al. 2025, ICLR"

    def refuse(self, task: Task) -> str | None:
        """Without training images."""
        return _NO_IMAGES if task.compiled.checked.manifest.image is None else None

    def cost(self, task: Task) -> Cost:
        """No images are generated."""
        return Cost()

    def run(self, task: Task) -> Scores:
        """The value function of each contributor alone, on real images."""
        found: dict[str, list[float]] = {name: [] for name in task.utilities}
        for contributor in range(task.n):
            task.check()
            rows, looked = task.rows_looked(contributor)
            pool = task.pool_of_rows(rows)
            for name, game in task.sets.games.items():
                found[name].append(task.sets.value(game, looked, pool, rows))
        return Scores({name: np.array(values) for name, values in found.items()})


def _pixel_cosines(own: np.ndarray, made: np.ndarray) -> Floats:
    """(r, N) of r and N images, some pixels in double precision at a time: whole images may fill the memory."""
    own, made = own.reshape(len(own), -1), made.reshape(len(made), -1)
    dots, a, b = np.zeros((len(own), len(made))), np.zeros(len(own)), np.zeros(len(made))
    for start in range(0, own.shape[1], _PIXELS):
        x, y = (each[:, start : start + _PIXELS].astype(np.float64) for each in (own, made))
        dots, a, b = dots + x @ y.T, a + (x**2).sum(axis=1), b + (y**2).sum(axis=1)
    length = np.sqrt(np.outer(a, b))
    return np.divide(dots, length, out=np.zeros_like(dots), where=length > 0)


def _clip(task: Task, _: str) -> EncoderInput | None:
    return next((one for one in task.encoders.values() if one.kind == "clip"), None)


METHODS: tuple[Method, ...] = (
    Similarity("pixel_similarity", "Pixel similarity", lambda _task, _utility: None),
    Similarity("clip_similarity", "CLIP similarity", _clip, "no utility looks through an encoder of the kind `clip`"),
    Similarity(
        "encoder_similarity",
        "Encoder similarity",
        lambda task, utility: task.encoder_of(utility),
        "there is no encoder",
    ),
    OwnUtility(),
)
