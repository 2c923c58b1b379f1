"""A record is a spec: it can be planned and applied."""

import shutil
from pathlib import Path

import pytest

from surrogateshap import api
from surrogateshap.archive import archive_bytes
from surrogateshap.errors import SpecError, VerificationError
from surrogateshap.events import Event, Warned
from tests.sharing.conftest import Shared
from tests.sharing.test_export import members
from tests.tiny import Project


@pytest.fixture
def moved(shared: Shared, record: Path) -> Path:
    """The record beside the inputs, in a folder without the spec."""
    folder = Project(shared.project.folder, record.parent / "elsewhere").folder
    (folder / "spec.toml").unlink()
    shutil.rmtree(folder / ".surrogateshap")
    return record.rename(folder / "record.zip")


def test_a_record_is_planned_and_applied(shared: Shared, moved: Path) -> None:
    plan = api.plan(moved)
    assert plan.run == shared.results.run
    assert plan.pending
    assert not [warning for warning in plan.warnings if "moved" in warning]
    results = api.apply(moved)
    assert results == shared.results
    assert (moved.parent / ".surrogateshap").is_dir()
    again = api.export(results.run, moved.parent / "again.zip", store=moved.parent / ".surrogateshap", images=2)
    assert members(again)["spec.toml"] == members(moved)["spec.toml"]
    assert api.verify(again, refit=True).holds


def test_inputs_may_lie_elsewhere(shared: Shared, record: Path) -> None:
    with pytest.raises(SpecError, match="does not exist"):
        api.plan(record)
    plan = api.plan(record, allow_paths=[shared.project.folder])
    assert plan.run == shared.results.run


def test_what_moved_is_told(shared: Shared, moved: Path) -> None:
    import polars as pl

    frame = pl.read_parquet(moved.parent / "data.parquet")
    frame.head(frame.height - 1).write_parquet(moved.parent / "data.parquet")
    plan = api.plan(moved)
    assert plan.run != shared.results.run
    assert "manifest: its content changed" in plan.warnings[-1]
    told: list[Event] = []
    api.apply(moved, emit=told.append)
    assert any(isinstance(one, Warned) and "manifest: its content changed" in one.message for one in told)


def test_a_record_that_does_not_hold_is_not_run(moved: Path) -> None:
    files = members(moved)
    moved.write_bytes(archive_bytes({**files, "spec.toml": files["spec.toml"] + b"# more\n"}))
    for use in (api.plan, api.apply, lambda path: api.show(str(path))):
        with pytest.raises(VerificationError, match=r"spec\.toml"):
            use(moved)


def test_a_record_names_no_file_elsewhere(shared: Shared, record: Path) -> None:
    from tests.sharing.test_refit_replay import bound_anew

    files = members(record)
    spec = files["spec.toml"].replace(b'"data.parquet"', b'"../../data.parquet"')
    path = record.parent / "spec.zip"
    path.write_bytes(archive_bytes({"spec.toml": spec}))
    with pytest.raises(SpecError, match="outside the spec's folder"):
        api.validate(path)
    record.write_bytes(bound_anew(files))
    assert api.verify(record).holds
