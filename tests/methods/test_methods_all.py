"""Every method of the catalogue on a tiny run: finite scores, the cost that was told, the same after a kill."""

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest

from surrogateshap.errors import InterruptedRun
from surrogateshap.methods import CATALOGUE, load_method
from surrogateshap.methods.protocol import Scores
from surrogateshap.methods.task import Task
from surrogateshap.spec.compare import CompareSection, MethodName

NEEDS_CLIP = "clip_similarity"
Tasks = Callable[..., Task]


def test_the_spec_knows_every_method() -> None:
    assert get_args(MethodName) == tuple(CATALOGUE)
    CompareSection(methods=tuple(CATALOGUE))  # type: ignore[arg-type]


def same(one: Scores, other: Scores) -> None:
    assert one.values.keys() == other.values.keys()
    for name, values in one.values.items():
        np.testing.assert_array_equal(values, other.values[name])


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name != NEEDS_CLIP])
def test_a_method_from_end_to_end(task: Tasks, name: str) -> None:
    method, whole = load_method(name), task()
    assert method.refuse(whole) is None
    stated = method.cost(whole)
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise InterruptedRun("interrupted")

    killed = task(check=stop)
    killed.begin()
    try:
        interrupted = method.run(killed)
    except InterruptedRun:
        interrupted = None
    whole.begin()
    scores = method.run(whole)
    spent = whole.spent
    assert (spent.images, spent.training_steps, spent.gradients) == (
        stated.images,
        stated.training_steps,
        stated.gradients,
    )
    assert set(scores.values) == set(whole.utilities)
    for values in scores.values.values():
        assert values.shape == (5,)
        assert np.isfinite(values).all()
        assert np.ptp(values) > 0
    again = task()
    again.begin()
    same(method.run(again), scores)
    assert again.spent.training_steps == spent.training_steps
    if interrupted is not None:
        same(interrupted, scores)
