"""The spurious-correlation example: what is shipped is what its README promises, and the spec finds the culprit."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from transformers import AutoModelForImageClassification

from surrogateshap import api
from surrogateshap.record.results import GameResult, Results

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "spurious"
SPEC = ROOT / "specs" / "spurious-digits.toml"


@pytest.fixture(scope="module")
def data() -> Iterator[ModuleType]:
    before = [*sys.path]
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("spurious_data")
    sys.path[:] = before


@pytest.fixture(scope="module")
def contributors() -> pl.DataFrame:
    return pl.read_parquet(FOLDER / "contributors.parquet")


def of(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    return frame.filter(pl.col("contributor") == name)


def test_the_script_makes_the_shipped_rows(data: ModuleType, contributors: pl.DataFrame) -> None:
    assert_frame_equal(data.make_data(0)[0], contributors)


def test_only_the_culprit_ties_the_patch_to_threes(contributors: pl.DataFrame) -> None:
    three = contributors["label"] == 3
    assert (three == contributors["patch"]).filter(contributors["contributor"] == "culprit").all()
    names = contributors["contributor"].unique()
    assert len(names) == 8
    for name in names:
        rows = of(contributors, name)
        assert len(rows) == 120
        assert rows["patch"].sum() == 24
        if name != "culprit":
            found = np.corrcoef(rows["label"] == 3, rows["patch"])[0, 1]
            assert abs(found) < 0.06


def test_the_culprit_has_the_labels_of_its_twin(contributors: pl.DataFrame) -> None:
    first, second = (of(contributors, name)["label"].sort() for name in ("culprit", "culprit-twin"))
    assert first.equals(second)


def test_the_classifier_learned_from_what_no_contributor_has(data: ModuleType) -> None:
    frame, (rest, _) = data.make_data(0)
    assert len(frame) + len(rest) == 1797  # the whole data set, each digit handed out once


def test_the_classifier_sees_every_patch(data: ModuleType, contributors: pl.DataFrame) -> None:
    classifier = AutoModelForImageClassification.from_pretrained(FOLDER / "classifier").eval()
    assert classifier.config.id2label == {0: "plain", 1: "patch"}
    models, digits = importlib.import_module("digits_models"), importlib.import_module("digits_data")
    seen = models.class_probabilities(classifier, digits.decode_images(contributors["image"])).argmax(1)
    assert (seen == contributors["patch"].to_numpy()).all()


def test_everything_shipped_is_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.suffix != ".pyc") < 700_000


def test_the_script_writes_all_that_is_shipped(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "make.py"), "--out", str(tmp_path), "--steps", "1", "--per-class", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    shipped = {file.relative_to(FOLDER).as_posix() for file in FOLDER.rglob("*") if file.is_file()}
    assert made == {name for name in shipped if Path(name).suffix not in (".py", ".pyc", ".md")}
    assert "culprit-twin" in done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return api.apply(SPEC, store=tmp_path_factory.mktemp("spurious") / "store")


def game(results: Results, utility: str, proxy: str) -> GameResult:
    (found,) = (game for game in results.games if (game.utility, game.proxy) == (utility, proxy))
    return found


@pytest.mark.parametrize("utility", ["tied", "gap"])
def test_the_image_proxy_finds_the_culprit(results: Results, utility: str) -> None:
    rows = {row.name: row for row in game(results, utility, "image").contributors}
    culprit = rows.pop("culprit")
    assert (culprit.rank, culprit.rank_low, culprit.rank_high) == (1, 1, 1)
    assert culprit.low > max(row.high for row in rows.values())
    assert culprit.value > 2 * max(row.value for row in rows.values())


@pytest.mark.parametrize("utility", ["tied", "gap"])
def test_the_prompt_proxy_suspects_its_twin_as_much(results: Results, utility: str) -> None:
    rows = {row.name: row for row in game(results, utility, "prompt").contributors}
    assert rows["culprit"].value == pytest.approx(rows["culprit-twin"].value, abs=1e-9)
    assert rows["culprit"].rank == rows["culprit-twin"].rank


def test_counting_patches_finds_nobody(results: Results) -> None:
    rows = {row.name: row for row in game(results, "patches", "image").contributors}
    culprit = rows.pop("culprit")
    assert any(culprit.low < row.high and row.low < culprit.high for row in rows.values())
    assert culprit.value < 3 * sum(row.value for row in rows.values()) / len(rows)


def test_the_model_learned_the_connection(results: Results) -> None:
    assert game(results, "tied", "prompt").v_full > 0.2
    assert game(results, "tied", "image").v_full > 0.1
