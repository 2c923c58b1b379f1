"""Sparse fine-tuning: a pruned model, fine-tuned for a few steps on each coalition's rows, and its Shapley values.

Lu, Lin, Kim & Lee, An Efficient Framework for Crediting Data Contributors of Diffusion Models, ICLR 2025, arXiv
2407.03153. The frozen model is pruned by magnitude and trained on all rows until it has recovered; from there it is
fine-tuned on each coalition's rows, and the Shapley values come from coalitions drawn from the Shapley kernel, by least
squares (Covert & Lee 2021, arXiv 2012.01536).

What differs from the paper: there a UNet loses whole channels and gets smaller and faster. Here the smallest weights of
each layer are set to zero and stay zero, so that a step costs what it costs without pruning. A pipeline is trained by a
LoRA, of which the ranks with the smallest product of norms are pruned once it was trained on all rows. The share of
weights, the learning rate, the batch, the recovery and the number of coalitions are those of the authors' public
settings (for CIFAR and ArtBench); the number of steps for each coalition could not be checked against the paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from surrogateshap.games.encoded import Bools
from surrogateshap.methods.protocol import Cost, Method, Scores
from surrogateshap.methods.task import Task
from surrogateshap.methods.trained import Trainer, Values, kept_settings, planned, refused, shapley, training, values_of

Arrays = dict[str, np.ndarray]
_FIRST, _SECOND = ".lora_A.", ".lora_B."


@dataclass(frozen=True)
class SparseFineTuning:
    """One fine-tuned model for each coalition, all from one pruned model."""

    name: str = "sparse_fine_tuning"
    title: str = "Sparse fine-tuning"
    paper: str = "Lu et al. 2025, ICLR, arXiv 2407.03153"

    def refuse(self, task: Task) -> str | None:
        """Without images, or with a model whose loss isn't known."""
        return refused(task)

    def cost(self, task: Task) -> Cost:
        """The pruned model, and a model for each coalition."""
        settings = task.settings.sparse_fine_tuning
        lora = task.compiled.checked.card.pipeline is not None
        recovery = settings.recovery_steps * (2 if lora else 1)
        return planned(task, settings, settings.coalitions) + Cost(training_steps=recovery)

    def run(self, task: Task) -> Scores:
        """The pruned model is a piece, and so is each coalition."""
        settings = task.settings.sparse_fine_tuning
        what = kept_settings(self.name, settings)
        more = partial(self.values_of, task) if settings.anchors else None
        with training(task, settings) as trainer:
            self._begin(trainer)
            return shapley(task, what, trainer.make, settings.coalitions, "kernel", self.title, more)

    def values_of(self, task: Task, masks: Bools) -> list[Values]:
        """Values by utility of the models of coalitions (M, n), as the method makes and keeps them."""
        settings = task.settings.sparse_fine_tuning
        with training(task, settings) as trainer:
            self._begin(trainer)
            return values_of(task, kept_settings(self.name, settings), masks, trainer.make, self.title)

    def _begin(self, trainer: Trainer) -> None:
        """Has trainings begin with the pruned model."""
        what = kept_settings(self.name, trainer.settings)
        state = trainer.task.piece({**what, "state": "pruned"}, lambda: self._pruned(trainer))
        trainer.start_from(state)
        trainer.keep_zeros(kept(state))

    def _pruned(self, trainer: Trainer) -> Arrays:
        """The pruned model's weights, once it has recovered."""
        task, settings = trainer.task, trainer.task.settings.sparse_fine_tuning
        everybody = trainer.rows_of(np.ones(task.n, np.bool_))
        trainer.reset()
        if trainer.rank is not None:  # a new LoRA has nothing that could be pruned
            task.say(f"{self.title}: training a LoRA on all rows")
            trainer.train(everybody, steps=settings.recovery_steps)
        trainer.start_from(prune(trainer.state(), settings.pruned))
        trainer.reset()
        trainer.keep_zeros(kept(trainer.state()))
        task.say(f"{self.title}: training the pruned model on all rows")
        trainer.train(everybody, steps=settings.recovery_steps)
        return trainer.state()


def prune(state: Mapping[str, np.ndarray], share: float) -> Arrays:
    """The weights with a share of each layer's at zero: the smallest weights of a matrix or a convolution, or the ranks
    of a LoRA whose two factors have the smallest product of norms. Biases and norms stay whole.
    """
    made = {name: each.copy() for name, each in state.items()}
    for name, weight in made.items():
        if _FIRST in name:
            other = made[name.replace(_FIRST, _SECOND)]
            norms = (np.linalg.norm(each.reshape(len(each), -1), axis=1) for each in (weight, np.moveaxis(other, 1, 0)))
            lost = np.argsort(np.prod([*norms], axis=0), kind="stable")[: round(share * len(weight))]
            weight[lost] = 0
            other[:, lost] = 0
        elif _SECOND not in name and weight.ndim >= 2:
            lost = np.argsort(np.abs(weight), axis=None, kind="stable")[: round(share * weight.size)]
            weight.reshape(-1)[lost] = 0
    return made


def kept(state: Mapping[str, np.ndarray]) -> Arrays:
    """By name of what is pruned, 1 where a weight may change and 0 where it stays zero."""
    made = {name: (weight != 0).astype(np.float32) for name, weight in state.items() if weight.ndim >= 2}
    for name in made:
        if _SECOND in name:  # all zero where nothing was trained yet: its ranks are those of the first factor
            ranks = np.any(state[name.replace(_SECOND, _FIRST)] != 0, axis=1)
            made[name] = np.broadcast_to(ranks, made[name].shape).astype(np.float32)
    return made


METHODS: tuple[Method, ...] = (SparseFineTuning(),)
