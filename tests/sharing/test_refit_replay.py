import io
import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import polars as pl
import pytest

from surrogateshap import api
from surrogateshap.archive import archive_bytes
from surrogateshap.errors import PlanError
from surrogateshap.plan.model import Plan
from surrogateshap.record import verify
from surrogateshap.record.checks import VerifyReport
from surrogateshap.record.results import Results
from surrogateshap.record.statement import Statement, build_statement, statement_bytes
from tests.sharing.conftest import CHANGES, Shared
from tests.sharing.test_export import members
from tests.tiny import SPEC, Project


def bound_anew(files: dict[str, bytes]) -> bytes:
    """As a forger would: a record that agrees with itself."""
    before = Statement.model_validate_json(files["record.json"]).predicate
    subjects = {name: data for name, data in files.items() if name != "record.json"}
    record = build_statement(
        results=Results.model_validate_json(files["results.json"]),
        plan=Plan.model_validate_json(files["plan.json"]),
        subjects=subjects,
        environment=before.environment,
        coalitions=before.coalitions,
        inputs=before.inputs,
    )
    return archive_bytes({**subjects, "record.json": statement_bytes(record)})


def details(report: VerifyReport, step: str) -> list[str]:
    return [f"{check.name}: {check.detail}" for check in report.checks if check.step == step and not check.holds]


def test_values_follow_from_coalitions(shared: Shared) -> None:
    assert {game.estimator for game in shared.results.games} == {"surrogate"}
    report = api.verify(shared.record, refit=True)
    assert report.holds
    assert [step.name for step in report.steps] == ["files", "contents", "refit"]
    assert len([check for check in report.checks if check.step == "refit"]) == 4


@pytest.mark.parametrize("kind", ["exact", "kernel", "permutation", "leave_one_out", "surrogateshap_paper"])
def test_values_of_every_estimator(tiny: Project, tmp_path: Path, kind: str) -> None:
    more: dict[str, Any] = {"estimator": {"kind": kind}, "utility": SPEC["utility"][:1], "proxy": {"kind": "prompt"}}
    if kind in ("exact", "leave_one_out"):
        more["budget"] = {"images_per_contributor": 4}
    results = tiny.apply({**CHANGES, **more})
    record = api.export(results.run, tmp_path / "o.zip", store=tiny.store)
    assert api.verify(record, refit=True).holds


def test_invented_values_are_found(record: Path) -> None:
    """Two contributors' values exchanged: all that was signed agrees, and the coalitions don't."""
    files = members(record)
    document = json.loads(files["results.json"])
    first, second = document["games"][0]["contributors"][:2]
    first["name"], second["name"] = second["name"], first["name"]
    forged = {**files, "results.json": json.dumps(document).encode()}
    record.write_bytes(bound_anew(forged))
    assert api.verify(record).holds
    report = api.verify(record, refit=True)
    assert not report.holds
    assert len(details(report, "refit")) == 1
    assert "here, and in the record" in details(report, "refit")[0]


@pytest.mark.parametrize("case", ["no table", "no Parquet", "other ends", "numbers", "wide", "other names"])
def test_strange_tables_are_told(record: Path, case: str) -> None:
    files = members(record)
    name = "coalitions-owner.parquet"
    frame = pl.read_parquet(io.BytesIO(files[name]))
    first = frame.columns[0]
    strange = {
        "other ends": lambda: frame.with_columns(pl.col(c) + 1 for c in frame.columns if c.startswith("value.")),
        "numbers": lambda: frame.with_columns(pl.lit(2).alias(first)),
        "wide": lambda: pl.DataFrame({f"c{i}": [True] for i in range(3000)}),
        "other names": lambda: frame.rename({first: "\x1b[31m"}),
    }
    if case == "no table":
        del files[name]
    elif case == "no Parquet":
        files[name] = b"PAR1" + bytes(100) + b"PAR1"
    else:
        buffer = io.BytesIO()
        strange[case]().write_parquet(buffer)
        files[name] = buffer.getvalue()
    record.write_bytes(bound_anew(files))
    report = api.verify(record, refit=True)
    assert len(details(report, "refit")) == 4
    assert all(line.isprintable() for line in details(report, "refit"))


@pytest.mark.parametrize(
    "change",
    [
        {"estimator": None},
        {"estimator": {"trees": 1e9}},
        {"estimator": {"kind": "surrogate", "leaves": "many"}},
        {"seed": -1},
    ],
    ids=repr,
)
def test_strange_settings_are_told(record: Path, change: dict[str, Any]) -> None:
    files = members(record)
    document = json.loads(files["plan.json"])
    document["spec"].update(change)
    files["plan.json"] = json.dumps(document).encode()
    record.write_bytes(bound_anew(files))
    assert len(details(api.verify(record, refit=True), "refit")) == 4


def test_nobody_and_nothing_are_told(record: Path) -> None:
    files = members(record)
    document = json.loads(files["results.json"])
    for game in document["games"]:
        game["contributors"], game["v_full"] = [], game["v_empty"]
    nobody = {**files, "results.json": json.dumps(document).encode()}
    record.write_bytes(bound_anew(nobody))
    assert len(details(api.verify(record, refit=True), "refit")) == 4
    frame = pl.read_parquet(io.BytesIO(files["coalitions-owner.parquet"])).head(2)
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    record.write_bytes(bound_anew({**files, "coalitions-owner.parquet": buffer.getvalue()}))
    assert "no coalition but" in details(api.verify(record, refit=True), "refit")[0]
    del files["spec.toml"]
    record.write_bytes(bound_anew(files))
    with pytest.raises(PlanError, match="holds no spec"):
        api.plan(record)


def test_other_versions_are_told(record: Path) -> None:
    files = members(record)
    document = json.loads(files["record.json"])
    document["predicate"]["environment"]["versions"]["lightgbm"] = "4.0.0"
    results = json.loads(files["results.json"])
    rows = results["games"][0]["contributors"]
    rows[0]["name"], rows[1]["name"] = rows[1]["name"], rows[0]["name"]
    files |= {"record.json": statement_bytes(document), "results.json": json.dumps(results).encode()}
    record.write_bytes(bound_anew(files))
    assert "lightgbm 4.0.0 made it" in details(api.verify(record, refit=True), "refit")[0]


@pytest.fixture
def inputs(shared: Shared, tmp_path: Path) -> Path:
    """A folder with the inputs alone, somewhere else."""
    folder = Project(shared.project.folder, tmp_path / "inputs").folder
    (folder / "spec.toml").unlink()
    return folder


def test_images_are_made_again(record: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = Mock(wraps=verify.open_files)
    monkeypatch.setattr(verify, "open_files", opening)
    report = api.verify(record, replay=20, seed=1, allow_paths=[inputs])
    assert opening.call_count == 1  # the record's files are checked once
    assert report.holds
    made = [check for check in report.checks if check.step == "replay"]
    assert len(made) == 20
    assert {check.detail for check in made} == {"the same pixels"}
    assert {check.name.partition(",")[0] for check in made} == {"pool-image.parquet", "pool-prompt.parquet"}
    again = api.verify(record, replay=20, seed=1, allow_paths=[inputs])
    assert again == report
    assert sorted(one.name for one in record.parent.iterdir()) == ["inputs", "record.zip"]


def test_invented_images_are_found(record: Path, inputs: Path) -> None:
    files = members(record)
    for name in ("pool-image.parquet", "pool-prompt.parquet"):
        frame = pl.read_parquet(io.BytesIO(files[name]))
        far = [[(value + 128) % 256 for value in means] for means in frame["means"].to_list()]
        near = [[min(255, value + 3) for value in means] for means in frame["means"].to_list()]
        moved = near if name == "pool-image.parquet" else far
        buffer = io.BytesIO()
        frame.with_columns(
            pl.Series("sha256", [bytes(32)] * frame.height), pl.Series("means", moved, dtype=pl.List(pl.UInt8))
        ).write_parquet(buffer)
        files[name] = buffer.getvalue()
    record.write_bytes(bound_anew(files))
    report = api.verify(record, replay=104, seed=1, allow_paths=[inputs])
    wrong = details(report, "replay")
    assert len(wrong) == 52
    assert all(line.startswith("pool-prompt") and "128 of 255 apart" in line for line in wrong)


def test_other_inputs_are_told(record: Path, inputs: Path) -> None:
    weights = inputs / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    report = api.verify(record, replay=1, allow_paths=[inputs])
    assert "model: its content changed" in details(report, "replay")[0]
    report = api.verify(record, replay=1)
    assert "--allow-path" in details(report, "replay")[0]


@pytest.mark.parametrize("case", ["none", "no Parquet", "rows", "columns", "nulls"])
def test_strange_pools_are_told(record: Path, inputs: Path, case: str) -> None:
    files = members(record)
    name = "pool-image.parquet"
    frame = pl.read_parquet(io.BytesIO(files[name]))
    strange = {
        "rows": lambda: frame.with_columns(pl.lit(10_000, pl.Int64).alias("row")),
        "columns": lambda: frame.drop("seed"),
        "nulls": lambda: frame.with_columns(pl.lit(None, pl.UInt64).alias("seed")),
    }
    if case == "none":
        files = {other: data for other, data in files.items() if not other.startswith("pool-")}
    elif case == "no Parquet":
        files[name] = b"PAR1" + np.random.default_rng(0).bytes(100) + b"PAR1"
    else:
        buffer = io.BytesIO()
        strange[case]().write_parquet(buffer)
        files[name] = buffer.getvalue()
    record.write_bytes(bound_anew(files))
    report = api.verify(record, replay=2, seed=0, allow_paths=[inputs])
    assert details(report, "replay")
