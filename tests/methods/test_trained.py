"""Methods that train models: fine-tuning, sparse fine-tuning and unlearning, end to end on tiny models."""

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from surrogateshap.errors import InterruptedRun
from surrogateshap.execute.models.training_pipelines import FAMILIES
from surrogateshap.methods import CATALOGUE, load_method
from surrogateshap.methods.fine_tuning import fine_tuned_values
from surrogateshap.methods.protocol import Scores
from surrogateshap.methods.task import Task
from surrogateshap.methods.trained import training
from surrogateshap.plan.pipelines import TRAINABLE
from tests import pipelines
from tests.methods.tasks import TRAINING, UTILITIES, changes, equal, make_task
from tests.tiny import Project, rows

THREE = ("amber", "basil", "dill")
SETTINGS: dict[str, dict[str, Any]] = {
    "fine_tuning": {**TRAINING, "coalitions": 30},
    "sparse_fine_tuning": {**TRAINING, "coalitions": 30, "recovery_steps": 3, "pruned": 0.5},
}
UNLEARNING: dict[str, dict[str, Any]] = {
    "group_unlearning": {**TRAINING, "forget": 0.5, "neighbours": 3},
    "mirrored_unlearning": {"levels": 3, "rank": 2},
}
ALL = SETTINGS | UNLEARNING


def few(project: Project, *, twins: bool = False) -> Project:
    """The project with three contributors; of twins, the second and third have the same rows, differently ordered."""
    frame = rows().filter(pl.col("owner").is_in(THREE))
    if twins:
        basil = frame.filter(pl.col("owner") == "basil")
        frame = pl.concat(
            [basil.reverse().with_columns(owner=pl.lit("dill")), frame.filter(pl.col("owner") == "amber"), basil]
        )
    project.manifest(frame)
    return project


def run(task: Task, name: str) -> Scores:
    task.begin()
    return load_method(name).run(task)


@pytest.mark.parametrize("name", SETTINGS)
def test_from_spec_to_shapley_values(tiny: Project, name: str) -> None:
    task = make_task(few(tiny), changes(**{name: ALL[name]}))
    method = load_method(name)
    assert method.refuse(task) is None
    scores = run(task, name)
    planned, spent = method.cost(task), task.spent
    assert (planned.images, planned.training_steps) == (spent.images, spent.training_steps)
    assert spent.images == 7 * 12
    full, none = np.ones((1, 3), bool), np.zeros((1, 3), bool)
    for utility in ("right", "quality"):
        values, v = scores.values[utility], scores.v[utility]
        assert len({round(float(value), 12) for value in values}) == 3
        assert values.sum() == pytest.approx(float(v(full)[0]) - task.ends(utility)[0])
        assert v(none)[0] == task.ends(utility)[0]
        # The Shapley value of the first, by its definition.
        v1, v12, v13, v2, v3, v23 = v(
            np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1], [0, 1, 1]], bool)
        )
        expected = (v1 - v(none)[0]) / 3 + (v12 - v2) / 6 + (v13 - v3) / 6 + (v(full)[0] - v23) / 3
        assert values[0] == pytest.approx(expected)
    assert equal(run(task, name).values, scores.values)
    assert task.spent.images == spent.images  # told again, though nothing was made


def test_group_unlearning_end_to_end(tiny: Project) -> None:
    task = make_task(few(tiny), changes(group_unlearning=ALL["group_unlearning"]))
    method, scores = load_method("group_unlearning"), run(task, "group_unlearning")
    planned, spent = method.cost(task), task.spent
    assert (planned.images, planned.training_steps) == (spent.images, spent.training_steps) == (4 * 12, 3 * 3)
    masks = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 0]], bool)
    for name in ("right", "quality"):
        v = scores.v[name](masks)
        assert v[0] == task.model_value(name)
        assert scores.values[name].tolist() == (v[0] - v[1:4]).tolist()
        assert np.isnan(v[4])


def test_mirrored_unlearning_end_to_end(tiny: Project) -> None:
    task = make_task(few(tiny), changes(mirrored_unlearning=ALL["mirrored_unlearning"]))
    method, scores = load_method("mirrored_unlearning"), run(task, "mirrored_unlearning")
    planned, spent = method.cost(task), task.spent
    assert (
        (planned.images, planned.gradients) == (spent.images, spent.gradients) == (12, (36 + 2 * 12) * 3)
    )  # at three levels of noise
    assert all(len(set(values.tolist())) == 3 for values in scores.values.values())
    assert not np.allclose(*(values / np.abs(values).max() for values in scores.values.values()))


@pytest.mark.parametrize("name", ALL)
def test_twins_with_the_same_rows_are_worth_the_same(tiny: Project, name: str) -> None:
    task = make_task(few(tiny, twins=True), changes(**{name: ALL[name]}))
    assert task.grouping.contributors == ("amber", "basil", "dill")
    for values in run(task, name).values.values():
        assert values[1] == pytest.approx(values[2], rel=1e-9, abs=1e-12)
        assert values[0] != pytest.approx(values[1], rel=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_stopped_anywhere_it_ends_in_the_same_scores(tiny: Project, name: str) -> None:
    spec = changes(**{name: ALL[name]})
    whole = run(make_task(few(tiny), spec), name)
    left = 0

    def check() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise InterruptedRun("stopped")

    task = make_task(tiny, spec, check=check, store=tiny.folder / "again")
    stops, resumed = 0, None
    while resumed is None:
        left = 12
        try:
            resumed = run(task, name)
        except InterruptedRun:
            stops += 1
    assert stops
    assert equal(resumed.values, whole.values)


def test_more_coalitions_go_on_from_fewer(tiny: Project) -> None:
    def task_of(coalitions: int) -> Task:
        return make_task(tiny, changes(fine_tuning={**TRAINING, "coalitions": coalitions}))

    first = task_of(4)
    scores = run(first, "fine_tuning")
    made = []
    more = task_of(8)
    put = more.store.put_arrays
    more.store.put_arrays = lambda arrays: made.append(1) or put(arrays)  # type: ignore[method-assign,func-returns-value]
    run(more, "fine_tuning")
    assert len(made) <= 4
    assert all(len(values) == 5 for values in scores.values.values())
    v = scores.v["right"](np.vstack([np.ones((1, 5)), np.eye(5)]).astype(bool))
    assert np.isfinite(v[0])
    assert np.isnan(v).any()


@pytest.mark.parametrize("name", SETTINGS)
def test_other_coalitions_have_models_where_they_are_asked_for(tiny: Project, name: str) -> None:
    """The same as if they had been drawn."""
    every = run(make_task(few(tiny), changes(**{name: ALL[name]})), name)
    settings = {**ALL[name], "coalitions": 4, "anchors": True}
    task = make_task(tiny, changes(**{name: settings}), store=tiny.folder / "other")
    drawn = run(task, name)
    assert task.spent.images <= 5 * 12
    masks = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]], bool)
    for utility in ("right", "quality"):
        assert drawn.v[utility](masks).tolist() == every.v[utility](masks).tolist()


def test_fine_tuned_values_are_those_of_the_method(tiny: Project) -> None:
    task = make_task(few(tiny), changes(fine_tuning=ALL["fine_tuning"]))
    masks = np.array([[1, 1, 0], [0, 1, 1]], bool)
    found = fine_tuned_values(task, masks)
    v = run(task, "fine_tuning").v
    for name in ("right", "quality"):
        assert [one[name] for one in found] == v[name](masks).tolist()


def test_training_learns_and_the_model_is_given_up(tiny: Project) -> None:
    import torch

    task = make_task(few(tiny), changes(fine_tuning={**TRAINING, "steps": 60}))
    mask = np.array([True, False, False])
    with training(task, task.settings.fine_tuning) as trainer:
        own = trainer.rows_of(mask)
        prepared = trainer.rows.take(own.tolist(), [False] * len(own))
        noise = torch.randn(prepared.clean.shape, generator=torch.Generator().manual_seed(0))
        levels = torch.arange(len(own)) * (1000 // len(own))

        def loss() -> float:
            with torch.no_grad():
                return float(trainer.model.losses(prepared, levels, noise).mean())

        trainer.reset()
        before = loss()
        trainer.train(own)
        assert loss() < 0.9 * before
        trainer.reset()
        assert loss() == before
        held = weakref.ref(trainer.model)
    gc.collect()
    assert held() is None


@pytest.mark.parametrize(("family", "name"), [*(("sd", name) for name in ALL), ("flux", "fine_tuning")])
def test_pipelines_with_lora(piped: Callable[[str], Project], family: str, name: str) -> None:
    spec = pipelines.spec(utility=[{"name": "sure", "kind": "score"}])
    spec["compare"] = {"images": 6, name: ALL[name] | ({"learning_rate": 0.1} if "steps" in ALL[name] else {})}
    task = make_task(piped(family), spec)
    values = run(task, name).values["sure"]
    assert values.shape == (3,)
    assert len({round(float(value), 9) for value in values}) == 3


def test_what_cannot_be_trained(tiny: Project, piped: Callable[[str], Project]) -> None:
    without = changes()
    without["contributors"] = {key: value for key, value in without["contributors"].items() if key != "image"}
    without["utility"] = UTILITIES[:1]
    task = make_task(tiny, without)
    assert load_method("fine_tuning").refuse(task) == "the manifest has no images"
    task = make_task(piped("pixart"), pipelines.spec())
    assert "PixArtAlphaPipeline" in (load_method("fine_tuning").refuse(task) or "")
    assert set(FAMILIES) == TRAINABLE
    assert set(ALL) <= set(CATALOGUE)


def test_no_training_is_left_behind_by_an_interrupt(tiny: Project) -> None:
    stop = threading.Event()
    stop.set()

    def check() -> None:
        if stop.is_set():
            raise InterruptedRun("stopped")

    task = make_task(few(tiny), changes(fine_tuning=SETTINGS["fine_tuning"]), check=check)
    with pytest.raises(InterruptedRun):
        run(task, "fine_tuning")
    assert task.spent.training_steps == 0
