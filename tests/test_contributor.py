"""One contributor of a finished run, through the door."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from surrogateshap_tui.made import Made, read_made
from surrogateshap_tui.source import ApiSource

from surrogateshap import api
from surrogateshap.events import GameInfo
from surrogateshap.record.results import Results
from tests.tiny import MIXES, SIDE, Project, game, rows

GAME = GameInfo(grouping="owner", utility="threes", proxy="image")


@pytest.fixture(scope="module")
def finished(tiny_master: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Results]:
    project = Project(tiny_master, tmp_path_factory.mktemp("contributor") / "project")
    return project, project.apply()


def test_conditions_overlaps_sizes_and_images(finished: tuple[Project, Results]) -> None:
    project, results = finished
    spec, frame = str(project.folder / "spec.toml"), rows()
    for name in MIXES:
        data = api.contributor(spec, GAME, name, images=3)
        own = frame.filter(frame["owner"] == name)
        assert data.notes == ()
        assert data.rows == len(own) == 12
        counts = dict(own["label"].value_counts().iter_rows())
        assert {one.name: one.rows for one in data.conditions} == counts
        assert data.conditions_in_all == len(counts)
        shared = dict(own["region"].value_counts().iter_rows())
        whole = dict(frame["region"].value_counts().iter_rows())
        for one in data.overlaps:
            assert one.grouping != "owner"
            if one.grouping == "region":
                assert (one.rows, one.share) == (shared[one.name], shared[one.name] / whole[one.name])
        value = next(row.value for row in game(results, str(GAME)).contributors if row.name == name)
        assert np.mean([one.value for one in data.sizes]) == pytest.approx(value)
        assert len(data.sizes) == len(MIXES)
        assert len(data.images) == 3
        assert Image.open(io.BytesIO(data.images[0])).size == (SIDE, SIDE)


def test_the_terminal_ui_gets_the_same(finished: tuple[Project, Results]) -> None:
    project, results = finished
    spec, name = str(project.folder / "spec.toml"), next(iter(MIXES))
    source = ApiSource(spec, store=None, allow_paths=())
    assert source.contributor(GAME, name, 2) == api.contributor(spec, GAME, name, images=2)
    made = source.made()
    assert made.plan is not None
    assert made.plan.run == results.run


def test_what_is_not_there_is_noted(finished: tuple[Project, Results], tmp_path: Path) -> None:
    project, results = finished
    store = tmp_path / "store"
    shutil.copytree(project.store, store)
    (store / "runs" / results.run / "coalitions-owner.parquet").write_bytes(b"no table")
    spec = project.folder / "spec.toml"
    text = spec.read_text()
    spec.unlink()
    try:
        data = api.contributor(results.run, GAME, next(iter(MIXES)), store=store, images=3)
    finally:
        spec.write_text(text)
    assert data.conditions == data.sizes == data.images == ()
    assert any("coalitions' values can't be read" in note for note in data.notes)
    assert any("Conditions and images can't be had" in note for note in data.notes)
    nobody = api.contributor(str(spec), GAME, "nobody")
    assert (nobody.rows, nobody.sizes) == (None, ())


def test_a_run_folder_says_what_it_was_made_with_and_damage_is_no_error(
    finished: tuple[Project, Results], tmp_path: Path
) -> None:
    project, results = finished
    made = read_made(api.run_folder(results.run, store=project.store))
    assert made.plan is not None
    assert made.plan.plan_id == results.plan_id
    assert made.record is not None
    assert {"plan.json", "results.json", "spec.toml"} <= {name for name, _ in made.record.subjects}
    assert {role for role, _, _ in made.record.inputs} >= {"spec", "model", "manifest"}
    assert dict(made.record.versions)["surrogateshap"]
    assert made.record.limits
    for text in ("", "[1", "[]", '{"predicate": 3, "subject": [1]}', "[" * 100_000):
        for name in ("plan.json", "record.json"):
            (tmp_path / name).write_text(text)
        found = read_made(tmp_path)
        assert found.plan is None
        assert found.record is None or found.record.subjects in ((), (("None", "None"),))
    assert read_made(tmp_path / "nowhere") == Made(str(tmp_path / "nowhere"))
