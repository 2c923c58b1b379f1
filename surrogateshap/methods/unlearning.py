"""Unlearning: models that forget a contributor, or rows that suffer when the model forgets its own images.

Group unlearning is GUDA (Murata et al. 2026, arXiv 2601.22651): one model per contributor, made from the frozen one by
unlearning that contributor's rows, stands for the model trained without them. Unlearning is ReTrack's (Shi et al. 2025,
arXiv 2509.13007), which GUDA uses for its unconditional model: the loss on the others' rows, and beside it that on the
forgotten rows with new targets (`execute/models/redirect.py`). Weight, neighbours and learning rate are those of the
authors' public script for CIFAR-10. GUDA scores single images by the difference of their likelihood bound between both
models; here a contributor's value is v(N) − v(N∖i), each on the images of its own model, as for every other method.
Their variant for prompts, which leads a style's prompts to those of other styles, isn't here: prompts are treated as
conditions are. The number of steps could not be taken over: theirs are epochs of 50,000 images.

Mirrored unlearning is attribution by unlearning (Wang et al. 2024, arXiv 2406.09408): the model takes one step that
unlearns the images it made itself, against its Fisher information, and the training rows whose loss rises are those
that the images rest on. Images are unlearned by how much each of them raises the utility, so that there is one step
for each utility. A contributor's value is the sum over its rows of half of (loss after the step − loss after the
opposite step), in which curvature cancels: to first order the influence function with a diagonal Fisher matrix. The
paper unlearns one image at a time, in the cross-attention alone, and takes no opposite step.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from surrogateshap.execute.models import Request
from surrogateshap.games.coalitions import all_but_one
from surrogateshap.games.encoded import Bools, Floats
from surrogateshap.methods.protocol import Cost, Method, Scores
from surrogateshap.methods.task import Task
from surrogateshap.methods.trained import Trainer, kept_settings, known_values, refused, training, values_of
from surrogateshap.plan.manifest import spread
from surrogateshap.spec.compare import TrainingSection

if TYPE_CHECKING:
    from surrogateshap.execute.models.mirror import Mirror

_REDIRECT = _COUNTED = 2
"""Versions of what pieces hold: their neighbours, and how gradients are counted."""


@dataclass(frozen=True)
class GroupUnlearning:
    """One model for each contributor, which has forgotten it."""

    name: str = "group_unlearning"
    title: str = "Group unlearning"
    paper: str = "Murata et al. 2026 (GUDA), arXiv 2601.22651; Shi et al. 2025 (ReTrack), arXiv 2509.13007"

    def refuse(self, task: Task) -> str | None:
        """Where the model can't be trained, or nothing is left to train it on."""
        return "without the one contributor there is nothing to train on" if task.n == 1 else refused(task)

    def cost(self, task: Task) -> Cost:
        """A model for each contributor, and the frozen one's images."""
        settings = task.settings.group_unlearning
        return Cost(images=(task.n + 1) * task.settings.images, training_steps=task.n * settings.steps)

    def run(self, task: Task) -> Scores:
        """Each contributor is a piece."""
        settings, masks = task.settings.group_unlearning, all_but_one(task.n)
        full = {name: task.model_value(name) for name in task.utilities}
        with training(task, settings) as trainer:

            def make(mask: Bools, requests: list[Request]) -> np.ndarray:
                self._forget(trainer, mask)
                return trainer.generate(requests)

            what = {**kept_settings(self.name, settings), "redirect": _REDIRECT}
            values = values_of(task, what, masks, make, self.title)
        scores: dict[str, Floats] = {
            name: level - np.array([one[name] for one in values]) for name, level in full.items()
        }
        v = known_values(np.vstack([np.ones((1, task.n), np.bool_), masks]), [full, *values])
        return Scores(scores, v, ("Values are v(N) − v(N∖i) and don't sum to v(N) − v(∅).",))

    def _forget(self, trainer: Trainer, mask: Bools) -> None:
        from surrogateshap.execute.models.redirect import Redirect
        from surrogateshap.execute.models.tuning import Forget

        task = trainer.task
        settings, of_row = task.settings.group_unlearning, task.compiled.checked.manifest.condition_of_row
        others, forgotten = trainer.rows_of(mask), trainer.rows_of(~mask)
        near = others[spread(len(others), settings.candidates)]
        trainer.reset()
        redirect = Redirect(trainer.model, trainer.rows, forgotten, near, settings.neighbours, of_row, check=task.check)
        trainer.train(others, forget=Forget(forgotten, settings.forget, redirect.target))


@dataclass(frozen=True)
class MirroredUnlearning:
    """One step for each utility, and what it does to the losses on all rows."""

    name: str = "mirrored_unlearning"
    title: str = "Mirrored unlearning"
    paper: str = "Wang et al. 2024, arXiv 2406.09408"

    def refuse(self, task: Task) -> str | None:
        """Without images, or with a model whose loss isn't known."""
        return refused(task)

    def cost(self, task: Task) -> Cost:
        """A gradient for each row, and one for each generated image and utility, at each level of noise."""
        rows = sum(len(task.own_rows(contributor)) for contributor in range(task.n))
        images = task.settings.images
        levels = task.settings.mirrored_unlearning.levels
        return Cost(images=images, gradients=(rows + images * len(task.utilities)) * levels)

    def run(self, task: Task) -> Scores:
        """The Fisher information is a piece, and so is each utility."""
        settings = task.settings.mirrored_unlearning
        what = {"method": self.name, "counted": _COUNTED, **settings.model_dump(mode="json")}
        what |= {"images": task.settings.images, "rows": task.settings.rows_per_contributor}
        weights = {name: task.influence(name) for name in task.utilities}
        scores = {}
        with training(task, TrainingSection(rank=settings.rank)) as trainer:
            fisher = task.piece({**what, "state": "fisher"}, partial(self._fisher, trainer))
            for name in task.utilities:
                task.say(f"{self.title}: {name}")
                asked = {**what, "weights": weights[name].tolist()}
                scores[name] = task.piece(asked, partial(self._values, trainer, fisher, weights[name]))["values"]
        return Scores(scores)

    def _mirror(self, trainer: Trainer) -> "Mirror":
        from surrogateshap.execute.models.mirror import Mirror

        trainer.reset()
        return Mirror(trainer.model, trainer.task.settings.mirrored_unlearning.levels, trainer.seed, trainer.batches)

    def _fisher(self, trainer: Trainer) -> dict[str, np.ndarray]:
        """By parameter: the mean of rows' squared gradients."""
        task, mirror = trainer.task, self._mirror(trainer)
        total: dict[str, np.ndarray] = {}
        count = 0
        for contributor in range(task.n):
            for requests in _chunks(trainer, contributor):
                task.check()
                for name, each in mirror.fisher(requests).items():
                    total[name] = total.get(name, 0.0) + each.cpu().numpy()
                count += len(requests)
        task.count(gradients=count * task.settings.mirrored_unlearning.levels)
        return {name: each / count for name, each in total.items()}

    def _values(self, trainer: Trainer, fisher: dict[str, np.ndarray], weights: Floats) -> dict[str, np.ndarray]:
        """(n,): what forgetting the images that raise a utility does to each contributor's rows."""
        import torch

        from surrogateshap.execute.models.mirror import step_against

        task, mirror, settings = trainer.task, self._mirror(trainer), trainer.task.settings.mirrored_unlearning
        generated = task.generated()
        pairs = zip(generated.requests, generated.images, strict=True)
        images = [replace(request, source=image) for request, image in pairs]
        own = mirror.gradient(images, weights / len(weights))
        task.count(gradients=len(weights) * settings.levels)
        device = task.workshop.device
        diagonal = {name: torch.from_numpy(np.array(each)).to(device) for name, each in fisher.items()}
        step, length = step_against(own, diagonal, settings.damping)
        if length == 0:
            return {"values": np.zeros(task.n)}
        factor = mirror.factor(images, step, settings.radius)
        after, opposite = mirror.beside(step, factor), mirror.beside(step, -factor)
        values = []
        for contributor in range(task.n):
            changes: list[Floats] = []
            for requests in _chunks(trainer, contributor):
                task.check()
                changes.append(mirror.losses(requests, after) - mirror.losses(requests, opposite))
            rows = int(task.grouping.rows[contributor])
            values.append(rows * float(np.concatenate(changes).mean()) / 2 * length / factor)
        return {"values": np.array(values)}


def _chunks(trainer: Trainer, contributor: int) -> Iterator[list[Request]]:
    """A contributor's rows as requests, few at a time."""
    task = trainer.task
    rows = trainer.with_images(task.own_rows(contributor))
    for start in range(0, len(rows), task.compiled.spec.execution.batch_size):
        yield task.training(rows[start : start + task.compiled.spec.execution.batch_size])


METHODS: tuple[Method, ...] = (GroupUnlearning(), MirroredUnlearning())
