"""TRAK, D-TRAK and journey-TRAK: training rows by their gradients' part in those of generated images.

TRAK: Park, Georgiev, Ilyas, Leclerc & Madry 2023, "TRAK: Attributing Model Behavior at Scale", arXiv 2303.14186.
D-TRAK: Zheng, Pang, Du, Jiang & Lin 2024, "Intriguing Properties of Data Attribution on Diffusion Models", arXiv
2311.00500. Journey-TRAK: Georgiev, Vendrow, Salman, Park & Madry 2023, "The Journey, Not the Destination: How Data
Guides Diffusion Models", arXiv 2312.06205.

τ(image, row) = φ(image)ᵀ(ΦᵀΦ + λI)⁻¹φ(row) says by how much the row makes the image likelier. Here a row is worth
the sum over generated images of τ times the image's influence on the utility, and a contributor the sum of its rows,
as in Lu et al. 2025. As in Zheng et al. one model stands for TRAK's ensemble and its weights of rows are left out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from surrogateshap.errors import DeviceError
from surrogateshap.execute.models import Request
from surrogateshap.methods.protocol import Cost, Method, Scores
from surrogateshap.methods.rows import by_contributor
from surrogateshap.methods.task import Task
from surrogateshap.methods.trained import refused
from surrogateshap.spec.compare import JourneySection, TrakSection
from surrogateshap.text import digest
from surrogateshap.units import plural

if TYPE_CHECKING:
    import torch

    from surrogateshap.execute.models.training import Trainable
    from surrogateshap.methods.gradients import Function
    from surrogateshap.methods.projection import Projection

_ROWS = 128
"""Of one piece."""
_MOST = 64
"""Rows whose gradients are taken together, however small the model is."""


@dataclass(frozen=True)
class GradientAttribution:
    """A row whose gradient is zero gets zero, and equal rows get the same."""

    name: str
    title: str
    paper: str
    function: "Function"

    def settings(self, task: Task) -> TrakSection:
        """Its section of the spec."""
        found: TrakSection = getattr(task.settings, self.name)
        return found

    def refuse(self, task: Task) -> str | None:
        """Without training images, or where the model's family isn't known."""
        return refused(task)

    def cost(self, task: Task) -> Cost:
        """One gradient for each row at each timestep, fewer where rows are equal, and for each image."""
        settings, images = self.settings(task), task.settings.images
        rows = len(task.grouping.of_row) * settings.timesteps
        per_image = settings.steps if isinstance(settings, JourneySection) else settings.timesteps
        return Cost(images=images, gradients=rows + images * per_image)

    def run(self, task: Task) -> Scores:
        """Pieces: what rows are equal, and the features of some rows or some images at a time."""
        from surrogateshap.methods.gradients import ridge_scores

        generated = task.generated()
        images = [
            Request(one.condition, one.seed, image)
            for one, image in zip(generated.requests, generated.images, strict=True)
        ]
        influence = np.array([task.influence(utility) for utility in task.utilities]) / len(images)
        rows, distinct, counts = np.unique(
            _contents(task), axis=0, return_index=True, return_inverse=True, return_counts=True
        )[1:]
        features = _Features(task, self.settings(task), self.function)
        queries = 0.0
        for start in range(0, len(images), _ROWS):
            part = slice(start, start + _ROWS)
            queries = queries + influence[:, part] @ features.of_images(images[part], generated.pool.keys[part])
        for start in range(0, len(rows), _ROWS):  # so that nothing is made while the kernel takes its memory
            features.of_rows(rows[start : start + _ROWS])
            if features.working:
                task.say(f"{self.title}: gradients of {min(start + _ROWS, len(rows))} of {plural(len(rows), 'row')}")
        features.close()

        def shards() -> Iterator[np.ndarray]:
            return (features.of_rows(rows[start : start + _ROWS]) for start in range(0, len(rows), _ROWS))

        scores = ridge_scores(shards, counts, np.asarray(queries), self.settings(task).damping, task.check)
        found = by_contributor(scores, task.grouping.of_row, task.n, distinct.ravel())
        return Scores(dict(zip(task.utilities, found, strict=True)), notes=self._notes(task))

    def _notes(self, task: Task) -> tuple[str, ...]:
        settings, spec, notes = self.settings(task), task.compiled.spec, []
        if task.compiled.checked.card.pipeline is not None and settings.rank:
            notes.append(f"Gradients are those of a new LoRA of rank {settings.rank}, which changes no image yet.")
        if isinstance(settings, JourneySection) and spec.sampling.scheduler != "ddim":
            notes.append(
                "Trajectories are those of DDIM, or of Euler's sampler for flow matching, from the same noise."
            )
        return tuple(notes)


class _Features:
    """Projected gradients, piece by piece; the model is opened when one is missing."""

    def __init__(self, task: Task, settings: TrakSection, function: "Function") -> None:
        self._task, self._settings, self._function = task, settings, function
        pipeline = task.compiled.checked.card.pipeline is not None
        self._rank = settings.rank if pipeline and settings.rank else None
        self._most = min(_MOST, task.compiled.spec.execution.batch_size)

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """(m, k) float32 of training rows."""
        what = {**self._what, "timesteps": self._settings.timesteps, "of rows": rows.tolist()}
        return self._piece(what, lambda: self._task.training(rows), self._settings.timesteps, self._plain)

    def of_images(self, requests: Sequence[Request], keys: Sequence[str]) -> np.ndarray:
        """(m, k) float32 of generated images, or of their trajectories."""
        if isinstance(self._settings, JourneySection):
            levels = self._settings.steps
            what = {**self._what, "steps": levels, "of journeys": list(keys)}
            return self._piece(what, lambda: requests, levels, self._journeys)
        levels = self._settings.timesteps
        what = {**self._what, "timesteps": levels, "of images": list(keys)}
        return self._piece(what, lambda: requests, levels, self._plain)

    @property
    def working(self) -> bool:
        """Whether anything was missing."""
        return "_model" in self.__dict__

    def close(self) -> None:
        """Gives the model's memory back."""
        from surrogateshap.execute.memory import free

        if self.__dict__.pop("_model", None) is not None:
            free(self._task.workshop.device)

    @property
    def _what(self) -> dict[str, Any]:
        asked = self._settings.model_dump(include={"dimension", "projection"})
        return {"gradients": self._function, **asked, "rank": self._rank or 0}

    @cached_property
    def _model(self) -> "Trainable":
        return self._task.workshop.open_model(self._rank, self._task.seed)

    @cached_property
    def _projection(self) -> "Projection":
        from surrogateshap.methods.gradients import sizes
        from surrogateshap.methods.projection import Projection

        settings = self._settings
        return Projection(sizes(self._model), settings.projection, settings.dimension, self._task.seed)

    def _plain(self, requests: Sequence[Request]) -> "torch.Tensor":
        from surrogateshap.methods.gradients import image_features

        levels, seed = self._settings.timesteps, self._task.seed
        return image_features(self._model, requests, levels, self._function, self._projection, seed)

    def _journeys(self, requests: Sequence[Request]) -> "torch.Tensor":
        from surrogateshap.methods.gradients import journey_features

        assert isinstance(self._settings, JourneySection)
        card, scale = self._task.compiled.checked.card, self._task.compiled.spec.sampling.guidance_scale
        guidance = scale if card.evaluations_per_step(scale) == 2 else 1.0
        return journey_features(
            self._model, requests, self._settings.steps, guidance, self._projection, self._task.seed
        )

    def _piece(
        self,
        what: dict[str, Any],
        requests: Callable[[], Sequence[Request]],
        levels: int,
        make: Callable[[Sequence[Request]], "torch.Tensor"],
    ) -> np.ndarray:
        def made() -> dict[str, np.ndarray]:
            some = requests()
            self._task.count(gradients=len(some) * levels)
            return {"features": self._in_parts(some, make)}

        return self._task.piece(what, made)["features"]

    def _in_parts(self, requests: Sequence[Request], make: Callable[[Sequence[Request]], "torch.Tensor"]) -> np.ndarray:
        """As many rows at once as memory allows."""
        import torch

        from surrogateshap.execute.memory import free
        from surrogateshap.methods.gradients import rows_at_once

        most, parts, at = rows_at_once(self._model, self._most), [], 0
        while at < len(requests):
            self._task.check()
            try:
                parts.append(make(requests[at : at + most]).cpu().numpy())
            except torch.OutOfMemoryError:
                if most == 1:
                    message = f"{self._task.workshop.device_name} has too little memory for the gradient of one image"
                    raise DeviceError(
                        message, "Lower `rank` of the method under [compare], or use a larger device."
                    ) from None
                self._most = most = most // 2
                free(self._task.workshop.device)
            else:
                at += most
        return np.concatenate(parts)


def _contents(task: Task) -> np.ndarray:
    """(R, 32) uint8: digests of rows, equal where image and condition are."""

    def look() -> dict[str, np.ndarray]:
        rows, size, found = np.arange(len(task.grouping.of_row)), task.compiled.spec.execution.batch_size, []
        for start in range(0, len(rows), size):
            task.check()
            found += [_content(one) for one in task.training(rows[start : start + size])]
        return {"digests": np.array([list(bytes.fromhex(each)) for each in found], np.uint8)}

    return task.piece({"contents of": "rows"}, look)["digests"]


def _content(request: Request) -> str:
    image = b"" if request.source is None else np.ascontiguousarray(request.source).tobytes()
    return digest({"condition": request.condition, "image": digest(image)})


METHODS: tuple[Method, ...] = (
    GradientAttribution("trak", "TRAK", "Park et al. 2023, arXiv 2303.14186", "loss"),
    GradientAttribution("d_trak", "D-TRAK", "Zheng et al. 2024, arXiv 2311.00500", "square"),
    GradientAttribution("journey_trak", "Journey-TRAK", "Georgiev et al. 2023, arXiv 2312.06205", "loss"),
)
