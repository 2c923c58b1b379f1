"""Fine-tuning: the frozen model, trained for a few steps on each coalition's rows, and the Shapley values of that game.

The value function is that of fine-tuned models, as in Lu et al. (An Efficient Framework for Crediting Data Contributors
of Diffusion Models, ICLR 2025, arXiv 2407.03153), without their pruning. All coalitions are trained by the same random
numbers: they differ in their rows alone. Pipelines are trained by LoRA (Hu et al. 2021, arXiv 2106.09685).
"""

from dataclasses import dataclass
from functools import partial

from surrogateshap.games.encoded import Bools
from surrogateshap.methods.protocol import Cost, Method, Scores
from surrogateshap.methods.task import Task
from surrogateshap.methods.trained import Values, kept_settings, planned, refused, shapley, training, values_of


@dataclass(frozen=True)
class FineTuning:
    """One fine-tuned model for each coalition."""

    name: str = "fine_tuning"
    title: str = "Fine-tuning"
    paper: str = "Lu et al. 2025, ICLR, arXiv 2407.03153, without pruning"

    def refuse(self, task: Task) -> str | None:
        """Without images, or with a model whose loss isn't known."""
        return refused(task)

    def cost(self, task: Task) -> Cost:
        """A model for each coalition."""
        settings = task.settings.fine_tuning
        return planned(task, settings, settings.coalitions)

    def run(self, task: Task) -> Scores:
        """Each coalition is a piece."""
        settings = task.settings.fine_tuning
        more = partial(fine_tuned_values, task) if settings.anchors else None
        with training(task, settings) as trainer:
            what = kept_settings(self.name, settings)
            return shapley(task, what, trainer.make, settings.coalitions, "surrogate", self.title, more)


def fine_tuned_values(task: Task, masks: Bools) -> list[Values]:
    """Values by utility of the models fine-tuned on coalitions (M, n), as the method makes and keeps them."""
    settings = task.settings.fine_tuning
    with training(task, settings) as trainer:
        return values_of(task, kept_settings(METHOD.name, settings), masks, trainer.make, METHOD.title)


METHOD = FineTuning()
METHODS: tuple[Method, ...] = (METHOD,)
