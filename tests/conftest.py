"""What several parts' tests share."""

import os

# Before anything loads OpenMP: at these sizes more threads gain nothing, and on a busy machine they cost minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest

from tests.tiny import Project, build


@pytest.fixture(scope="session")
def tiny_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project as it was made: copy it, don't change it."""
    folder = tmp_path_factory.mktemp("tiny")
    build(folder)
    return folder


@pytest.fixture
def tiny(tiny_master: Path, tmp_path: Path) -> Project:
    """A tiny project of the test's own."""
    return Project(tiny_master, tmp_path / "project")
