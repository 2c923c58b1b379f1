"""Values of models that a method trains itself, coalition by coalition, and the Shapley values of their game."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from surrogateshap.errors import RunError
from surrogateshap.estimate import ESTIMATORS, Options, Sample, ValueFunction, all_masks, draw_pairs
from surrogateshap.execute.models import Request
from surrogateshap.execute.shards import Item
from surrogateshap.games.coalitions import MOST_EXACT
from surrogateshap.games.encoded import Bools, Floats
from surrogateshap.methods.protocol import Cost, Scores
from surrogateshap.methods.task import Task
from surrogateshap.plan.check_model import PREDICTIONS
from surrogateshap.plan.pipelines import TRAINABLE
from surrogateshap.record.settings import tree_settings
from surrogateshap.spec.compare import TrainingSection
from surrogateshap.spec.model import EstimatorName
from surrogateshap.text import digest, harmless
from surrogateshap.units import listed, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from surrogateshap.execute.models.training import Trainable
    from surrogateshap.execute.models.tuning import Forget, TrainingRows, Tuning

Make = Callable[[Bools, list[Request]], np.ndarray]
"""Trains a model for a coalition (n,) and generates its images, (N, H, W, C) uint8."""
Values = dict[str, float]
"""By utility."""
_CHUNK = 256
"""Images whose bytes are held at a time."""


def refused(task: Task) -> str | None:
    """Why the frozen model can't be trained on the manifest's rows."""
    card = task.compiled.checked.card
    if task.compiled.checked.manifest.image is None:
        return "the manifest has no images"
    if card.pipeline is not None and card.pipeline not in TRAINABLE:
        return f"the model is a {harmless(card.pipeline, 60)}, and training is known of {listed(sorted(TRAINABLE), 9)}"
    if not card.flow and card.predicts not in PREDICTIONS:
        return f"the model predicts `{harmless(card.predicts, 40)}`, and training knows {listed(list(PREDICTIONS), 9)}"
    return None


class Trainer:
    """The frozen model's copy, trained again and again from the same weights. Loaded when it is first needed."""

    def __init__(self, task: Task, settings: TrainingSection) -> None:
        self.task, self.settings = task, settings
        self.seed = int(digest({"seed": task.seed, "training": 1})[:15], 16)
        """Of every training: coalitions differ in their rows and in nothing else."""
        self._start: dict[str, torch.Tensor] | None = None
        self._masks: dict[str, torch.Tensor] | None = None

    @property
    def rank(self) -> int | None:
        """Of the LoRA; None where all of the model is trained."""
        return None if self.task.compiled.checked.card.pipeline is None else self.settings.rank

    @cached_property
    def model(self) -> "Trainable":
        """The copy, as it was trained last."""
        model = self.task.workshop.open_model(self.rank, self.seed)
        if self._start is None:
            self._start = model.state()
        return model

    def start_from(self, state: Mapping[str, np.ndarray]) -> None:
        """Sets the weights that every training begins with."""
        import torch

        self._start = {name: torch.from_numpy(np.array(each)) for name, each in state.items()}

    def state(self) -> dict[str, np.ndarray]:
        """The trained weights as they are."""
        return {name: each.numpy() for name, each in self.model.state().items()}

    def keep_zeros(self, masks: Mapping[str, np.ndarray]) -> None:
        """From now on, weights are zero where the masks are, after every step."""
        import torch

        device = self.task.workshop.device
        self._masks = {name: torch.from_numpy(each).to(device) for name, each in masks.items()}

    @property
    def tuning(self) -> "Tuning":
        """As the settings say."""
        from surrogateshap.execute.models.tuning import Tuning

        chosen, unconditional = self.settings, self.task.compiled.checked.card.unconditional
        drop = chosen.drop_condition if unconditional else 0.0
        return Tuning(chosen.steps, chosen.batch, chosen.learning_rate, drop, chosen.schedule)

    @cached_property
    def rows(self) -> "TrainingRows":
        """All rows, as the model sees them."""
        from surrogateshap.execute.models.tuning import TrainingRows

        return TrainingRows(self.model, self.task.training, self._conditions)

    def _conditions(self, rows: Sequence[int], dropped: Sequence[bool]) -> list[Request]:
        of_row = self.task.compiled.checked.manifest.condition_of_row
        items = [Item("", -1 if drop else int(of_row[row]), 0, -1) for row, drop in zip(rows, dropped, strict=True)]
        return self.task.workshop.requests(items)

    @cached_property
    def _order(self) -> np.ndarray:
        """Rows with an image, by condition and content: coalitions of equal rows are trained equally."""
        manifest = self.task.compiled.checked.manifest
        found: list[tuple[int, bytes, int]] = []
        for start in range(0, len(manifest.condition_of_row), _CHUNK):
            self.task.check()
            rows = np.arange(start, min(start + _CHUNK, len(manifest.condition_of_row)))
            try:
                images = manifest.images(rows)
            except OSError as error:
                message = f"the manifest's images can't be read: {harmless(str(error))}"
                raise RunError(message, "Look at the manifest.") from None
            of_row = manifest.condition_of_row
            found += [(int(of_row[row]), sha256(data).digest(), row) for row, data in images.items()]
        return np.array([row for _, _, row in sorted(found)], np.int64)

    def rows_of(self, mask: Bools) -> np.ndarray:
        """(r,): the coalition's rows with an image, in an order that depends on their content alone.

        Raises RunError where there are none.
        """
        return self.with_images(self.task.rows_of(mask))

    def with_images(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows that have an image, in the same order. Raises RunError where there are none."""
        own = self._order[np.isin(self._order, rows)]
        if not len(own):
            raise RunError("some contributors have no images to train on", "Leave out methods that train models.")
        return own

    def train(self, rows: np.ndarray, *, steps: int | None = None, forget: "Forget | None" = None) -> None:
        """Trains the model on rows, from its current weights."""
        from surrogateshap.execute.models.tuning import tune

        tuning = self.tuning if steps is None else replace(self.tuning, steps=steps)
        check, masks = self.task.check, self._masks
        tune(self.model, self.rows, rows, tuning, self.seed, self.batches, check=check, masks=masks, forget=forget)
        self.task.count(training_steps=tuning.steps)

    def reset(self) -> None:
        """Puts the model back to where every training begins."""
        model = self.model
        assert self._start is not None
        model.load(self._start)

    def make(self, mask: Bools, requests: list[Request]) -> np.ndarray:
        """Trains the model on a coalition's rows, and generates."""
        self.reset()
        self.train(self.rows_of(mask))
        return self.generate(requests)

    def generate(self, requests: list[Request]) -> np.ndarray:
        """Images of the model as it is, (N, H, W, C) uint8."""
        return self.task.workshop.make(requests, self.model.model)[0]

    def batches(self, number: int, work: Callable[[slice], object]) -> None:
        """Work on 0 to `number`, in parts that fit the device's memory."""
        for _ in self.task.workshop.in_batches("training", number, work):
            pass

    def close(self) -> None:
        """Gives up the model's memory."""
        from surrogateshap.execute.memory import free

        opened = self.__dict__.pop("model", None)
        self.__dict__.pop("rows", None)
        self._start = self._masks = None
        if opened is not None:
            del opened
            free(self.task.workshop.device)


@contextmanager
def training(task: Task, settings: TrainingSection) -> "Iterator[Trainer]":
    """A trainer whose memory is given up afterwards."""
    trainer = Trainer(task, settings)
    try:
        yield trainer
    finally:
        trainer.close()


def kept_settings(method: str, settings: TrainingSection) -> dict[str, Any]:
    """What a method's pieces depend on: all settings but which coalitions there are."""
    return {"method": method, **settings.model_dump(mode="json", exclude={"coalitions", "anchors"})}


def coalitions_of(n: int, coalitions: int, seed: int) -> Bools:
    """(M, n), without ∅ and N: all coalitions where as many are allowed, else pairs drawn from the Shapley kernel."""
    if n == 1:
        return np.zeros((0, 1), np.bool_)
    if n <= MOST_EXACT and 2**n - 2 <= coalitions:
        return all_masks(n)[1:-1]
    return draw_pairs(n, coalitions // 2, seed)


def planned(task: Task, settings: TrainingSection, coalitions: int) -> Cost:
    """What the models of all coalitions, and of N, take."""
    models = 1 + len(np.unique(coalitions_of(task.n, coalitions, task.seed), axis=0))
    return Cost(images=models * task.settings.images, training_steps=models * settings.steps)


def values_of(task: Task, what: Mapping[str, Any], masks: Bools, make: Make, title: str) -> list[Values]:
    """Values by utility of the models of coalitions (M, n), each made once: a piece is kept for each."""
    found: dict[bytes, Values] = {}
    distinct = len(np.unique(masks, axis=0))
    for mask in masks:
        if mask.tobytes() in found:
            continue
        task.check()
        if len(found) % 10 == 0:
            task.say(f"{title}: {len(found)} of {plural(distinct, 'model')}")
        found[mask.tobytes()] = task.evaluate(what, mask, partial(make, mask))
    return [found[mask.tobytes()] for mask in masks]


def shapley(
    task: Task,
    what: Mapping[str, Any],
    make: Make,
    coalitions: int,
    estimator: EstimatorName,
    title: str,
    more: Callable[[Bools], list[Values]] | None = None,
) -> Scores:
    """Shapley values of the game of trained models. v(∅), which no rows train, is the run's.

    `more` gives the values of coalitions that weren't drawn, once somebody asks for them.
    """
    masks = coalitions_of(task.n, coalitions, task.seed)
    full = np.ones((1, task.n), np.bool_)
    values = values_of(task, what, np.vstack([full, masks]), make, title)
    every = task.n <= MOST_EXACT and len(masks) == 2**task.n - 2
    options = Options(settings=tree_settings(task.compiled.spec.estimator), seed=task.seed, cross_validate=False)
    empty = {name: task.ends(name)[0] for name in task.utilities}
    scores: dict[str, Floats] = {}
    for name in task.utilities:
        level = np.array([one[name] for one in values])
        sample = Sample(masks, level[1:], empty[name], float(level[0]), task.grouping.rows)
        if task.n == 1:
            scores[name] = np.array([level[0] - empty[name]])
        else:
            scores[name] = ESTIMATORS["exact" if every else estimator].fit(sample, options).values
    v = known_values(np.vstack([~full, full, masks]), [empty, *values], more)
    return Scores(scores, v, ("v(∅) is the run's own: there are no rows to train its model on.",))


def known_values(
    masks: Bools, values: Sequence[Values], more: Callable[[Bools], list[Values]] | None = None
) -> dict[str, ValueFunction]:
    """By utility, a value function of the coalitions (M, n) whose values are known; NaN for others without `more`."""
    known = {mask.tobytes(): value for mask, value in zip(masks, values, strict=True)}

    def value(name: str, asked: Bools) -> Floats:
        asked = np.ascontiguousarray(asked, np.bool_)
        missing = np.array([mask for mask in asked if mask.tobytes() not in known], np.bool_)
        if more is not None and len(missing):
            known.update({mask.tobytes(): one for mask, one in zip(missing, more(missing), strict=True)})
        return np.array([known[mask.tobytes()][name] if mask.tobytes() in known else np.nan for mask in asked])

    return {name: partial(value, name) for name in values[0]}
