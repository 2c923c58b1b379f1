"""What methods work on: pieces that survive a kill, costs counted once, images evaluated as the run does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from surrogateshap.errors import InterruptedRun
from surrogateshap.games import MixtureGame
from surrogateshap.methods.protocol import Cost
from surrogateshap.methods.task import Task
from tests.tiny import LABELS

Tasks = Callable[..., Task]


def never() -> Any:
    raise AssertionError("made again")


def counted(task: Task) -> tuple[int, int, int]:
    return task.spent.images, task.spent.training_steps, task.spent.gradients


def test_a_piece_is_made_once_and_its_cost_is_kept_with_it(task: Tasks) -> None:
    first = task()

    def make() -> dict[str, np.ndarray]:
        first.count(images=3, training_steps=50, gradients=7)
        return {"values": np.arange(4.0), "flags": np.array([True, False])}

    assert first.piece({"method": "m", "at": 1}, make)["values"].tolist() == [0, 1, 2, 3]
    again = task()
    found = again.piece({"at": 1, "method": "m"}, never)
    assert sorted(found) == ["flags", "values"]
    assert found["flags"].tolist() == [True, False]
    assert counted(first) == counted(again) == (3, 50, 7)
    again.piece({"method": "m", "at": 1}, never)
    assert counted(again) == (3, 50, 7)  # once for each method, however often it asks
    again.begin()
    assert counted(again) == (0, 0, 0)
    with pytest.raises(AssertionError, match="made again"):
        again.piece({"method": "m", "at": 2}, never)


def test_pieces_inside_of_pieces_are_counted_once(task: Tasks) -> None:
    first = task()

    def inner() -> dict[str, np.ndarray]:
        first.count(training_steps=100)
        return {"weights": np.ones(1)}

    def outer() -> dict[str, np.ndarray]:
        first.count(images=10)
        return first.piece({"inner": 1}, inner)

    first.piece({"outer": 1}, outer)
    assert counted(first) == (10, 100, 0)
    again = task()
    again.piece({"outer": 1}, never)
    again.piece({"inner": 1}, never)
    assert counted(again) == (10, 100, 0)
    assert again.spent.seconds > 0


def test_pieces_depend_on_the_seed_and_the_grouping(task: Tasks) -> None:
    task().piece({"method": "m"}, lambda: {"x": np.ones(1)})
    for other in (task("region"), task(changes={"seed": 4}), task(changes={"sampling.guidance_scale": 1.0})):
        with pytest.raises(AssertionError, match="made again"):
            other.piece({"method": "m"}, never)


def test_a_piece_that_fails_is_not_kept(task: Tasks) -> None:
    one = task()

    def fail() -> Any:
        one.count(images=5)
        raise InterruptedRun("interrupted")

    with pytest.raises(InterruptedRun):
        one.piece({"method": "m"}, fail)
    assert counted(one) == (0, 0, 0)
    assert one.piece({"method": "m"}, lambda: {"x": np.ones(1)})["x"].tolist() == [1]


def test_the_frozen_models_images_come_from_the_run_where_it_has_them(task: Tasks) -> None:
    one = task()
    before = one.store.find_images(one.pool_of(np.ones(5, bool)).keys)
    made = one.generated()
    assert 0 < len(before) <= len(made.pool.keys) == 24
    assert made.images.shape == (24, 8, 8, 1)
    assert counted(one) == (24, 0, 0)
    fresh = one.workshop.make(made.requests)[0]
    assert np.abs(fresh.astype(int) - made.images).max() <= 1  # batches of other sizes move last digits
    assert np.array_equal(task().generated().images, made.images)


def test_values_of_a_coalitions_model_are_those_of_its_images(task: Tasks) -> None:
    one = task()
    mask = np.array([True, False, False, True, False])
    found = one.evaluate({"method": "m"}, mask, lambda requests: one.workshop.make(requests)[0])
    pool = one.pool_of(mask)
    own = one.compiled.checked.manifest.condition_of_row[one.rows_of(mask)]
    assert set(pool.conditions) == set(own)
    view = one.workshop.encode(one.encoder_of("threes"), one.workshop.make(one.requests(pool))[0])
    threes = view.probabilities.argmax(axis=1) == one.encoder_of("threes").labels.index("three")
    assert found["threes"] == pytest.approx(threes.mean())
    assert set(found) == {"right", "quality", "threes"}
    assert task().evaluate({"method": "m"}, mask, lambda _: never()) == found
    assert counted(one) == (24, 0, 0)


def test_the_influence_on_a_mean_is_the_images_own_value(task: Tasks) -> None:
    one = task()
    looked, encoder = one.looked(), one.encoder_of("threes")
    classes = looked[f"{encoder.name}.probabilities"].argmax(axis=1)
    shown = (classes == encoder.labels.index("three")).astype(float)
    assert one.influence("threes") == pytest.approx(shown - shown.mean())
    for utility in one.utilities:
        influence = one.influence(utility)
        assert influence.shape == (24,)
        assert influence.sum() == pytest.approx(0, abs=1e-9)
    assert one.model_value("threes") == pytest.approx(shown.mean())


def test_influence_is_the_derivative_of_a_smooth_utility(task: Tasks) -> None:
    one = task()
    pool, rows = one.pool_of(np.ones(5, bool)), np.arange(len(one.grouping.of_row))
    utility = one.sets.utility(one.sets.games["quality"], one.looked(), pool, rows)
    uniform, step = np.full(24, 1 / 24), 1e-6
    moved = uniform + step * (np.eye(24) - uniform)
    values = utility.value(utility.summarise(np.vstack([uniform, moved])))
    slopes = (values[1:] - values[0]) / step
    assert np.corrcoef(slopes, one.influence("quality"))[0, 1] > 0.99


def test_training_rows_come_with_their_images_and_conditions(task: Tasks) -> None:
    one = task()
    requests = one.training([0, 13])
    manifest = one.compiled.checked.manifest
    shown = [manifest.conditions[manifest.condition_of_row[row]] for row in (0, 13)]
    assert [LABELS[request.condition] for request in requests if isinstance(request.condition, int)] == shown
    assert np.array_equal(np.stack([request.source for request in requests]), one.images_of(np.array([0, 13])))
    assert requests[0].seed != requests[1].seed
    rows, looked = one.rows_looked(2)
    assert len(rows) == 6
    assert (one.grouping.of_row[rows] == 2).all()
    assert looked["eye.features"].shape[0] == 6


def test_the_runs_own_games_answer_for_every_coalition(task: Tasks) -> None:
    one = task()
    assert one.proxy == "image"
    design = one.designs_of("prompt")[0]
    game = one.game(design)
    assert isinstance(game, MixtureGame)
    assert one.ends("right") == pytest.approx((game.v_empty, game.v_full))
    assert one.own_values(design).sum() == pytest.approx(game.v_full - game.v_empty)


def test_costs_add() -> None:
    assert Cost(1, 2, 3, 4.0) + Cost(10, 20, 30, 40.0) == Cost(11, 22, 33, 44.0)
    assert Cost(11, 22, 33, 44.0) - Cost(1, 2, 3, 4.0) == Cost(10, 20, 30, 40.0)
