"""What several parts' tests share."""

import os

# Before anything loads OpenMP: at these sizes more threads gain nothing, and on a busy machine they cost minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
from collections.abc import Callable
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


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A family's pipeline in diffusers layout, built once: copy it, don't change it."""
    root = tmp_path_factory.mktemp("pipelines")

    def build(family: str) -> Path:
        folder = root / family
        from tests import pipelines  # loads diffusers

        return folder if folder.exists() else pipelines.save(family, folder)

    return build


@pytest.fixture
def piped(tiny: Project, saved: Callable[[str], Path]) -> Callable[[str], Project]:
    """A project whose model is a family's pipeline."""

    def build(family: str) -> Project:
        from tests import pipelines

        shutil.copytree(saved(family), tiny.folder / "pipeline")
        pipelines.rows().write_parquet(tiny.folder / "captions.parquet")
        return tiny

    return build
