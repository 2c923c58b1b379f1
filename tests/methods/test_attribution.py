"""TRAK, D-TRAK, journey-TRAK and NDA end to end, and what holds of them by definition."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from surrogateshap.errors import InterruptedRun
from surrogateshap.methods import load_method, patches, trak
from surrogateshap.methods.protocol import Scores
from surrogateshap.methods.rows import by_contributor
from surrogateshap.methods.task import Task
from surrogateshap.plan.compile import compile_spec
from surrogateshap.store import Store
from surrogateshap.targets import results_of
from tests.tiny import STORE, Project, rows

GRADIENTS = ("trak", "d_trak", "journey_trak")
SETTINGS: dict[str, Any] = {
    "images": 12,
    "nda": {"timesteps": [100, 300], "patch": 3, "coarse_patch": 4, "top": 9},
    "trak": {"timesteps": 2, "dimension": 64},
    "d_trak": {"timesteps": 2, "dimension": 64},
    "journey_trak": {"timesteps": 2, "dimension": 64, "steps": 2},
}
PLAIN: dict[str, Any] = {"compare": SETTINGS, "budget": {"images_per_contributor": 4}}


@contextmanager
def opened(folder: Path, check: Callable[[], None] = lambda: None) -> Iterator[Task]:
    """The task of a project's finished run."""
    compiled = compile_spec(folder / "spec.toml")
    with Store.open(folder / STORE) as store:
        row = store.run(compiled.run)
        assert row is not None
        yield Task(compiled, store, results_of(store, row), "owner", check=check)


def run(folder: Path, name: str, check: Callable[[], None] = lambda: None) -> tuple[Scores, Task]:
    with opened(folder, check) as task:
        method = load_method(name)
        assert method.refuse(task) is None
        task.begin()
        return method.run(task), task


def same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def twins() -> pl.DataFrame:
    """Rows in which `basil-copy` has the very images of `basil`."""
    made = rows()
    images = made.filter(pl.col("owner") == "basil")["image"]
    copied = made.filter(pl.col("owner") == "basil-copy").with_columns(images.alias("image"))
    return pl.concat([made.filter(pl.col("owner") != "basil-copy"), copied])


@pytest.mark.parametrize("name", [*GRADIENTS, "nda"])
def test_a_method_runs_duplicates_get_equal_scores_and_costs_are_as_stated(tiny: Project, name: str) -> None:
    tiny.manifest(twins())
    tiny.apply(PLAIN)
    scores, task = run(tiny.folder, name)
    names = list(task.grouping.contributors)
    assert set(scores.values) == set(task.utilities)
    for utility, values in scores.values.items():
        assert values.shape == (5,)
        assert np.isfinite(values).all()
        assert values[names.index("basil")] == values[names.index("basil-copy")]
        assert len(set(values.tolist())) == 4, utility
    with opened(tiny.folder) as again:
        stated = load_method(name).cost(again)
    assert task.spent.images == stated.images == 12
    # Twelve of the sixty rows stand there twice, and are differentiated once.
    levels = 2 if name in GRADIENTS else 0
    assert stated.gradients == (60 + 12) * levels
    assert task.spent.gradients == (48 + 12) * levels


@pytest.mark.parametrize("name", ["d_trak", "journey_trak", "nda"])
def test_killed_in_the_middle_it_resumes_with_equal_numbers(
    tiny: Project, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trak, "_ROWS", 16)
    monkeypatch.setattr(patches, "_AT_ONCE", 3)
    tiny.apply(PLAIN)
    other = tmp_path / "other"
    shutil.copytree(tiny.folder, other)
    whole, _ = run(tiny.folder, name)
    for allowed in (3, 5, 2):
        left = [allowed]

        def check(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise InterruptedRun("interrupted")

        with pytest.raises(InterruptedRun):
            run(other, name, check)
    resumed, task = run(other, name)
    assert same(resumed.values, whole.values)
    assert task.spent.gradients == (72 * 2 if name in GRADIENTS else 0)
    looked: list[int] = []
    again, _ = run(other, name, lambda: looked.append(1))
    assert same(again.values, whole.values)
    with opened(other) as later:
        monkeypatch.setattr(later.workshop, "open_model", None)  # everything is there: no model is opened
        assert same(load_method(name).run(later).values, whole.values)


@pytest.mark.parametrize("name", GRADIENTS)
def test_stable_diffusion_with_lora(piped: Callable[[str], Project], name: str) -> None:
    from tests import pipelines

    project = piped("sd")
    settings = {**SETTINGS, name: {**SETTINGS[name], "rank": 2}, "images": 4}
    project.apply(pipelines.spec(compare=settings))
    scores, task = run(project.folder, name)
    assert set(scores.values) == {"sure", "variety"}
    assert all(values.shape == (3,) and np.abs(values).max() > 0 for values in scores.values.values())
    assert any("LoRA of rank 2" in note for note in scores.notes)
    assert task.spent.images == 4


def test_what_is_refused_and_the_same_condition_alone(tiny: Project) -> None:
    tiny.apply(PLAIN | {"compare": {**SETTINGS, "nda": {**SETTINGS["nda"], "conditions": "same"}}})
    scores, _ = run(tiny.folder, "nda")
    tiny.spec(PLAIN)
    assert not same(run(tiny.folder, "nda")[0].values, scores.values)
    prompts = {
        "contributors.image": None,
        "proxy": {"kind": "prompt"},
        "utility": [{"name": "variety", "kind": "inception"}],
    }
    tiny.apply(PLAIN | prompts)
    with opened(tiny.folder) as bare:
        for name in (*GRADIENTS, "nda"):
            assert load_method(name).refuse(bare) == "the manifest has no images"


def test_rows_are_summed_by_contributor() -> None:
    scores = np.array([[1.0, 2.0, 4.0]])
    np.testing.assert_array_equal(by_contributor(scores, np.array([1, 0, 1]), 3), [[2.0, 5.0, 0.0]])
    distinct = np.array([0, 2, 2, 0])
    np.testing.assert_array_equal(by_contributor(scores, np.array([0, 0, 1, 1]), 2, distinct), [[5.0, 5.0]])
