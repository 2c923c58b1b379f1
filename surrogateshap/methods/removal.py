"""Counterfactuals: models really made without the contributors that methods rank highest, and lowest."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surrogateshap.execute.anchors import AnchorOptions, train_anchors
from surrogateshap.games.encoded import Bools, Floats
from surrogateshap.methods.task import Task
from surrogateshap.plan.anchors import anchors_of
from surrogateshap.record.anchors import plan_coalitions
from surrogateshap.record.comparison import ComparedMethod, Removal, UtilityComparison
from surrogateshap.units import plural

SHARES = (0.1, 0.2, 0.4)
"""Of the contributors that are left out."""
Values = Mapping[bytes, Mapping[str, float]]
"""By coalition, as the bytes of its mask: values by utility."""


@dataclass(frozen=True)
class TrainerOptions:
    """How the spec's own trainer makes the models."""

    folder: Path
    """Where they are kept, one folder each."""
    allow_commands: bool = False
    timeout: float | None = None
    """Seconds that one training may take."""


def counts(n: int) -> tuple[int, ...]:
    """How many of n contributors are left out, fewest first; never all."""
    return tuple(sorted({max(1, round(share * n)) for share in SHARES} & set(range(1, n))))


def without(scores: Floats, removed: int) -> tuple[Bools, Bools]:
    """Coalitions (n,) without the `removed` highest and without the lowest; among equals the first go first."""
    order = np.argsort(-scores, kind="stable")
    top, bottom = np.ones(len(scores), np.bool_), np.ones(len(scores), np.bool_)
    top[order[:removed]] = False
    bottom[np.argsort(scores, kind="stable")[:removed]] = False
    return top, bottom


def coalitions_needed(methods: Iterable[ComparedMethod]) -> Bools:
    """(m, n): every coalition that some method's removal needs, each once."""
    found: dict[bytes, Bools] = {}
    for method in methods:
        for one in method.utilities:
            scores = np.array(one.values)
            for removed in counts(len(scores)):
                for mask in without(scores, removed):
                    found.setdefault(mask.tobytes(), mask)
    return np.array([*found.values()], np.bool_)


def with_removals(method: ComparedMethod, values: Values) -> ComparedMethod:
    """The method with what its removals came to."""
    utilities = tuple(_removals(one, values) for one in method.utilities)
    return method.model_copy(update={"utilities": utilities})


def _removals(one: UtilityComparison, values: Values) -> UtilityComparison:
    scores, found = np.array(one.values), []
    for removed in counts(len(scores)):
        top, bottom = (values[mask.tobytes()][one.utility] for mask in without(scores, removed))
        found.append(Removal(contributors=removed, without_top=top, without_bottom=bottom))
    return one.model_copy(update={"removals": tuple(found)})


def retrained(task: Task, masks: Bools, options: TrainerOptions, stop: threading.Event) -> Values:
    """Values of models that the spec's trainer makes, as `surrogateshap anchors train` does; finished ones are kept.

    Raises as `train_anchors` does: SpecError where the command may not run, RunError for a training that fails.
    """
    task.say(f"{plural(len(masks), 'model')} without some contributors")
    plan = plan_coalitions(task.compiled, task.grouping, masks, task.seed, options.folder, numbered=False)
    asked = AnchorOptions(options.allow_commands, options.timeout, task.settings.images)
    table = train_anchors(task.compiled, options.folder, plan, asked, task.say, stop)
    return _read(task, table)


def _read(task: Task, table: Path) -> Values:
    import polars as pl

    anchors = anchors_of(pl.read_parquet(table), str(table), task.grouping.contributors, task.utilities)
    return {
        mask.tobytes(): {name: float(level[at]) for name, level in anchors.values.items()}
        for at, mask in enumerate(anchors.masks)
    }


def fine_tuned(task: Task, masks: Bools) -> Values:
    """The same of models that `fine_tuning` makes, with its settings; those that it has made are taken from it."""
    from surrogateshap.methods.fine_tuning import fine_tuned_values

    task.say(f"{plural(len(masks), 'model')} without some contributors")
    values = fine_tuned_values(task, masks)
    return {mask.tobytes(): found for mask, found in zip(masks, values, strict=True)}
