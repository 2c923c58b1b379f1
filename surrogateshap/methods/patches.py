"""NDA, nonparametric data attribution: patches of generated images and of training images, and no model.

Zhao, Du, Zheng, Pang & Lin 2025, "Nonparametric Data Attribution for Diffusion Models", arXiv 2510.14269. An image is
made of training images with the weights that these have in the optimal denoiser of its patches, on two scales. Here a
row is worth the images that it has a part in: the sum over generated images of its weight times the image's influence
on the utility. Places are compared with all places, and what lies outside of an image with nothing inside of one.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from surrogateshap.games.encoded import Floats
from surrogateshap.methods.protocol import Cost, Method, Scores
from surrogateshap.methods.rows import by_contributor
from surrogateshap.methods.task import Generated, Task
from surrogateshap.text import digest
from surrogateshap.units import plural

_AT_ONCE = 8
"""Generated images of one piece."""
_READ = 64
"""Training images whose patches are held at a time."""


@dataclass(frozen=True)
class NonparametricAttribution:
    """It promises nothing to rows that are merely useless; rows that are unlike all that is generated get zero."""

    name: str = "nda"
    title: str = "NDA"
    paper: str = "Zhao et al. 2025, arXiv 2510.14269"

    def refuse(self, task: Task) -> str | None:
        """Without training images."""
        return "the manifest has no images" if task.compiled.checked.manifest.image is None else None

    def cost(self, task: Task) -> Cost:
        """The images to explain; how long it takes to compare patches with all others is not known beforehand."""
        return Cost(images=task.settings.images, seconds=math.nan)

    def run(self, task: Task) -> Scores:
        """One piece for some generated images at each level of noise."""
        generated = task.generated()
        images = len(generated.images)
        influence = np.array([task.influence(utility) for utility in task.utilities])
        small = _Small(task)
        timesteps = task.settings.nda.timesteps
        found = np.zeros((len(task.utilities), task.n))
        for number, timestep in enumerate(timesteps):
            for start in range(0, images, _AT_ONCE):
                part = slice(start, min(start + _AT_ONCE, images))
                weights = self._piece(task, generated, part, timestep, small)
                found += influence[:, part] @ weights / images / len(timesteps)
            if number + 1 < len(timesteps):
                task.say(f"{self.title}: {number + 1} of {plural(len(timesteps), 'level')} of noise")
        return Scores(dict(zip(task.utilities, found, strict=True)))

    def _piece(self, task: Task, generated: Generated, part: slice, timestep: int, small: "_Small") -> Floats:
        """(m, n): shares of contributors in some of the generated images."""
        settings = task.settings.nda.model_dump(mode="json", exclude={"timesteps"})
        what = {"method": self.name, **settings, "timestep": timestep, "images": list(generated.pool.keys[part])}
        return task.piece(what, lambda: {"shares": self._shares(task, generated, part, timestep, small)})["shares"]

    def _shares(self, task: Task, generated: Generated, part: slice, timestep: int, small: "_Small") -> Floats:
        from surrogateshap.methods.patch_weights import Scale, kept_at, patch_weights, scaled_down

        settings, grouping = task.settings.nda, task.grouping
        images = scaled_down(generated.images[part], settings.side)
        shape = (images.shape[3], *images.shape[1:3])
        noise = np.stack([_noise(task.seed, key, timestep, shape) for key in generated.pool.keys[part]])
        allowed = None
        if settings.conditions == "same":
            of_row = task.compiled.checked.manifest.condition_of_row
            allowed = generated.pool.conditions[part, None] == of_row
        coarse = settings.coarse_share
        scales = ((Scale(settings.patch), 1 - coarse), (Scale(settings.coarse_patch, 2), coarse))
        shares = np.zeros((len(images), task.n))
        for scale, share in scales:
            if share:
                weights = patch_weights(
                    images,
                    noise,
                    small.chunks,
                    kept_at(timestep),
                    scale,
                    settings.top,
                    allowed,
                    task.workshop.device,
                    task.check,
                )
                shares += share * by_contributor(weights, grouping.of_row, task.n)
        return shares


class _Small:
    """All training images at the size at which patches are compared, read once and only if they are needed."""

    def __init__(self, task: Task) -> None:
        self._task = task

    @cached_property
    def images(self) -> np.ndarray:
        """(R, h, w, C) uint8."""
        from surrogateshap.methods.patch_weights import scaled_down

        task, side = self._task, self._task.settings.nda.side
        rows = np.arange(len(task.grouping.of_row))
        parts = []
        for start in range(0, len(rows), _READ):
            task.check()
            parts.append(scaled_down(task.images_of(rows[start : start + _READ]), side))
        return np.concatenate(parts)

    def chunks(self) -> Iterator[np.ndarray]:
        """The same in parts."""
        return (self.images[start : start + _READ] for start in range(0, len(self.images), _READ))


def _noise(seed: int, key: str, timestep: int, shape: tuple[int, ...]) -> np.ndarray:
    """Of an image, at each timestep another."""
    drawn = np.random.default_rng(int(digest({"seed": seed, "image": key, "timestep": timestep})[:15], 16))
    return drawn.standard_normal(shape, dtype=np.float32)


METHODS: tuple[Method, ...] = (NonparametricAttribution(),)
