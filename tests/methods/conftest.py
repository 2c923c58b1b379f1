"""A finished tiny run for methods, made once; each test works on a copy of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surrogateshap.methods.task import Task
from surrogateshap.plan.compile import compile_spec
from surrogateshap.record.results import Results
from surrogateshap.store import Store
from tests.tiny import SPEC, Project

CHANGES: dict[str, Any] = {
    "utility": [SPEC["utility"][0], SPEC["utility"][2], SPEC["utility"][4]],
    "sampling.steps": 2,
    "compare": {
        "images": 24,
        "rows_per_contributor": 6,
        "surrogateshap_paper": {"coalitions": 4, "images": 6},
        "nda": {"side": 8, "patch": 3, "coarse_patch": 6},
        "trak": {"dimension": 64, "timesteps": 2},
        "d_trak": {"dimension": 64, "timesteps": 2},
        "journey_trak": {"dimension": 64, "timesteps": 2, "steps": 3},
        "fine_tuning": {"coalitions": 4, "steps": 2, "batch": 8},
        "sparse_fine_tuning": {"coalitions": 4, "steps": 2, "batch": 8, "recovery_steps": 3},
        "group_unlearning": {"steps": 2, "batch": 8},
        "mirrored_unlearning": {"levels": 2},
    },
}
"""Utilities `right`, `quality` and `threes`."""
Tasks = Callable[..., Task]


@pytest.fixture(scope="session")
def finished(tiny_master: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    project = Project(tiny_master, tmp_path_factory.mktemp("finished") / "project")
    return project.folder, project.apply(CHANGES)


@pytest.fixture
def ran(finished: tuple[Path, Results], tmp_path: Path) -> Project:
    """A project with a finished run."""
    return Project(finished[0], tmp_path / "project")


@pytest.fixture
def task(ran: Project, finished: tuple[Path, Results], request: pytest.FixtureRequest) -> Tasks:
    """Opens a task on the run: the store is the same each time."""

    def make(grouping: str = "owner", changes: dict[str, Any] | None = None, **more: Any) -> Task:
        store = Store.open(ran.store)
        request.addfinalizer(store.close)
        return Task(compile_spec(ran.spec({**CHANGES, **(changes or {})})), store, finished[1], grouping, **more)

    return make
