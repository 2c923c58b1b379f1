import io
import json
import zipfile
from pathlib import Path

import jsonschema
import numpy as np
import polars as pl
import pytest
from in_toto_attestation.v1.statement import Statement
from PIL import Image
from rocrate.rocrate import ROCrate

from surrogateshap import api
from surrogateshap.archive import Archive, archive_bytes
from surrogateshap.errors import RunError
from surrogateshap.record import schema
from surrogateshap.record.pools import cell_means, pixel_digest
from surrogateshap.record.results import Results
from surrogateshap.report import to_markdown
from tests.sharing.conftest import Shared


def members(record: Path) -> dict[str, bytes]:
    found = Archive(record)
    return {name: found.read(name) for name in found.names}


def statement(record: Path) -> dict:
    return json.loads(members(record)["record.json"])


def test_what_it_holds(shared: Shared) -> None:
    files = members(shared.record)
    assert set(files) == {
        "coalitions-owner.parquet",
        *(f"image-pool-{proxy}-0000{at}.png" for proxy in ("prompt", "image") for at in ("00", "51")),
        "model-card.md",
        "plan.json",
        "pool-image.parquet",
        "pool-prompt.parquet",
        "record.json",
        "report.html",
        "report.md",
        "results.json",
        "results.parquet",
        "ro-crate-metadata.json",
        "spec.toml",
    }
    assert files["spec.toml"] == (shared.project.folder / "spec.toml").read_bytes()
    assert Results.model_validate_json(files["results.json"]) == shared.results
    assert files["report.md"].decode() == to_markdown(shared.results)
    assert pl.read_parquet(io.BytesIO(files["results.parquet"])).height == 4 * 5
    assert str(shared.project.folder).encode() not in b"".join(files.values())


def test_the_statement_says_what_the_issue_asks(shared: Shared) -> None:
    predicate = statement(shared.record)["predicate"]
    inputs = {one["role"]: one for one in predicate["inputs"]}
    assert set(inputs["model"]["files"]) == {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    }
    assert "model.safetensors" in inputs["encoder eye"]["files"]
    environment = predicate["environment"]
    assert environment["versions"]["lightgbm"]
    assert environment["devices"] == [{"device": "cpu", "dtype": "float32", "threads": 1}]
    assert environment["batch_size"] == 16
    assert environment["code"] is None or len(environment["code"]["commit"]) >= 40
    assert environment["project"] is None
    assert predicate["seeds"] == {"spec": 3}
    game = predicate["games"][0]
    assert {"v_empty", "v_full", "estimator", "cv_r2", "efficiency_gap", "level"} < game.keys()
    assert [row["name"] for row in game["ranking"]] == [row.name for row in shared.results.games[0].contributors]
    assert predicate["fidelity"] == "not measured"
    assert any("proxy game" in limit for limit in predicate["limits"])


def test_same_run_same_bytes(shared: Shared, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    api.export(shared.results.run, again, store=shared.project.store, images=2)
    assert again.read_bytes() == shared.record.read_bytes()


def test_nothing_is_replaced_unasked(shared: Shared, record: Path) -> None:
    target = str(shared.project.folder / "spec.toml")
    with pytest.raises(RunError, match="is there already"):
        api.export(target, record)
    api.export(target, record, force=True)
    assert not [name for name in members(record) if name.endswith(".png")]
    assert [one.name for one in record.parent.iterdir()] == ["record.zip"]


def test_a_changed_run_is_not_exported(shared: Shared, tmp_path: Path) -> None:
    from tests.tiny import Project

    project = Project(shared.project.folder, tmp_path / "copy")
    (project.store / "runs" / shared.results.run / "results.json").write_text("{}")
    with pytest.raises(RunError, match="no longer what it was"):
        api.export(str(project.folder / "spec.toml"), tmp_path / "o.zip")
    assert not (tmp_path / "o.zip").exists()


def test_pools_say_what_images_look_like(shared: Shared) -> None:
    files = members(shared.record)
    frame = pl.read_parquet(io.BytesIO(files["pool-image.parquet"]))
    assert frame["key"].n_unique() == frame.height == 52
    image = np.asarray(Image.open(io.BytesIO(files["image-pool-image-000051.png"])))[..., None]
    assert frame["sha256"][51].hex() == pixel_digest(image)
    assert frame["means"][51].to_list() == cell_means(image).tolist()
    assert set(frame.filter(pl.col("condition") < 0)["row"]) == {-1}


def test_cell_means_by_brute_force() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)
    rows, columns = [0, 2, 4, 6, 9], [0, 3, 7, 10, 14]
    expected = [
        round(float(image[rows[i] : rows[i + 1], columns[j] : columns[j + 1], c].mean()))
        for i in range(4)
        for j in range(4)
        for c in range(3)
    ]
    assert np.abs(cell_means(image).astype(int) - expected).max() <= 1
    assert pixel_digest(image) != pixel_digest(image.reshape(14, 9, 3))


def test_an_independent_library_takes_it_for_a_statement(shared: Shared) -> None:
    from google.protobuf.json_format import ParseDict
    from in_toto_attestation.v1 import statement_pb2

    made = Statement.copy_from_pb(ParseDict(statement(shared.record), statement_pb2.Statement()))
    made.validate()
    assert {subject.name for subject in made.pb.subject} == members(shared.record).keys() - {"record.json"}


def test_the_schema_ships_and_describes_it(shared: Shared) -> None:
    text = Path(schema.__file__).with_name(schema.SHIPPED).read_text()
    assert text == schema.made()
    assert api.record_schema() == json.loads(text)
    jsonschema.Draft202012Validator.check_schema(api.record_schema())
    document = statement(shared.record)
    jsonschema.validate(document, api.record_schema())
    for wrong in ({"predicateType": "other"}, {"subject": [{"name": "../x", "digest": {"sha256": "0" * 64}}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document | wrong, api.record_schema())


def test_it_is_a_crate(shared: Shared, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared.record) as archive:
        archive.extractall(tmp_path)
    found = ROCrate(str(tmp_path))
    assert found.root_dataset["datePublished"]
    assert {one.id for one in found.data_entities} == members(shared.record).keys() - {"ro-crate-metadata.json"}
    assert found.dereference("#run")["instrument"].id == "#surrogateshap"
    assert api.verify(tmp_path).holds


def test_the_model_card_is_a_passage(shared: Shared) -> None:
    text = members(shared.record)["model-card.md"].decode()
    assert text.startswith("## Data contributors\n")
    assert "proxy game" in text
    assert "\n# " not in text


def test_verify_needs_no_files_but_its_own(shared: Shared, tmp_path: Path) -> None:
    report = api.verify(shared.record)
    assert report.holds
    assert [step.name for step in report.steps] == ["files", "contents"]
    assert report.notes == ("It is not signed.",)
    files = members(shared.record)
    (tmp_path / "r.zip").write_bytes(archive_bytes(files))
    assert api.verify(tmp_path / "r.zip").holds


def test_show_reads_a_record(shared: Shared) -> None:
    assert api.show(str(shared.record)) == shared.results
