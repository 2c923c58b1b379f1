"""The digits example: what is shipped is what its README promises, and its script makes the same bytes every time."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
import torch
from diffusers import DDPMPipeline, UNet2DModel
from transformers import AutoModelForImageClassification

FOLDER = Path(__file__).parents[2] / "examples" / "digits"
TWINS = {"noisy": "noisy-twin", "mislabelled": "mislabelled-twin"}
LEVEL = 16  # one of the data set's 16 grey levels, in grey values


@pytest.fixture(scope="module")
def make() -> Iterator[ModuleType]:
    threads = torch.get_num_threads()
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("make")
    sys.path.remove(str(FOLDER))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def contributors() -> pl.DataFrame:
    return pl.read_parquet(FOLDER / "contributors.parquet")


@pytest.fixture(scope="module")
def reference() -> pl.DataFrame:
    return pl.read_parquet(FOLDER / "reference.parquet")


def rows_of(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    return frame.filter(pl.col("contributor") == name)


def test_contributors_have_the_promised_rows(contributors: pl.DataFrame) -> None:
    assert contributors.schema == {
        "contributor": pl.String,
        "collection": pl.String,
        "label": pl.Int64,
        "image": pl.Binary,
    }
    sizes = dict(contributors.group_by("contributor").len().iter_rows())
    assert sizes.pop("tiny") == 10
    assert len(sizes) == 13
    assert set(sizes.values()) == {100}
    assert contributors.null_count().sum_horizontal().item() == 0
    assert set(contributors["label"]) == set(range(10))


def test_collections_cross_contributors(contributors: pl.DataFrame) -> None:
    collections = contributors.group_by("contributor").agg(pl.col("collection").n_unique())
    assert contributors["collection"].n_unique() == 5
    assert set(collections.filter(pl.col("collection") == 2)["contributor"]) == {"elm", "larch"}
    assert collections["collection"].max() == 2


@pytest.mark.parametrize(("bad", "twin"), TWINS.items())
def test_twins_have_equal_label_counts(contributors: pl.DataFrame, bad: str, twin: str) -> None:
    first, second = (rows_of(contributors, name)["label"].sort() for name in (bad, twin))
    assert first.equals(second)


def test_images_are_8_by_8(make: ModuleType, contributors: pl.DataFrame, reference: pl.DataFrame) -> None:
    for frame in (contributors, reference):
        assert make.decode_images(frame["image"]).shape == (len(frame), 8, 8)


def test_copies_are_a_level_away_from_their_originals(make: ModuleType, contributors: pl.DataFrame) -> None:
    for name in ("ash", "birch"):
        original, copy = (
            make.decode_images(rows_of(contributors, who)["image"]).astype(int) for who in (name, f"{name}-copy")
        )
        distance = np.abs(copy[:, None] - original[None]).max(axis=(2, 3)).min(axis=1)
        assert (distance <= LEVEL).sum() == 90
        assert (distance > 0).all()


def test_clean_images_are_nobody_elses(make: ModuleType, contributors: pl.DataFrame, reference: pl.DataFrame) -> None:
    images = [image.tobytes() for image in make.decode_images(contributors["image"])]
    held_out = [image.tobytes() for image in make.decode_images(reference["image"])]
    assert len(set(images)) == len(images)
    assert len(set(held_out)) == len(held_out) >= 300
    assert not set(images) & set(held_out)


def test_noise_shows_in_pixel_statistics(make: ModuleType, contributors: pl.DataFrame) -> None:
    """Clean digits hardly touch the left and right margins; noise fills them."""
    noisy, twin = (
        make.decode_images(rows_of(contributors, name)["image"])[:, :, [0, 7]].mean()
        for name in ("noisy", "noisy-twin")
    )
    assert noisy > 5 * twin


def test_classifier_knows_the_reference_and_tells_bad_rows(
    make: ModuleType, contributors: pl.DataFrame, reference: pl.DataFrame
) -> None:
    classifier = AutoModelForImageClassification.from_pretrained(FOLDER / "classifier").eval()
    assert classifier.config.id2label == {k: str(k) for k in range(10)}

    def accuracy(frame: pl.DataFrame) -> float:
        probabilities = make.class_probabilities(classifier, make.decode_images(frame["image"]))
        return float((probabilities.argmax(1) == frame["label"].to_numpy()).mean())

    assert accuracy(reference) >= 0.97
    for bad, twin in TWINS.items():
        assert accuracy(rows_of(contributors, twin)) >= 0.95
        assert accuracy(rows_of(contributors, bad)) <= 0.5


def test_classifier_is_not_saturated(make: ModuleType, reference: pl.DataFrame) -> None:
    classifier = AutoModelForImageClassification.from_pretrained(FOLDER / "classifier").eval()
    confidence = make.class_probabilities(classifier, make.decode_images(reference["image"])).max(1)
    low, high = np.quantile(confidence, (0.05, 0.95))
    assert high < 0.99
    assert high - low > 0.1


def test_diffusion_model_generates_the_digits_asked_for(make: ModuleType) -> None:
    pipeline = DDPMPipeline.from_pretrained(FOLDER / "model")
    assert isinstance(pipeline.unet, UNet2DModel)
    assert pipeline.unet.config.num_class_embeds == 11
    unet, scheduler = make.load_diffusion(FOLDER / "model")
    classifier = AutoModelForImageClassification.from_pretrained(FOLDER / "classifier").eval()
    asked = np.repeat(np.arange(10), 10)
    generated = make.generate(unet, scheduler, asked, seed=3)
    assert generated.shape == (100, 8, 8)
    assert (make.class_probabilities(classifier, generated).argmax(1) == asked).mean() >= 0.9
    assert np.array_equal(
        make.generate(unet, scheduler, asked[:20], seed=4), make.generate(unet, scheduler, asked[:20], seed=4)
    )


def test_shipped_data_is_what_the_script_makes(
    make: ModuleType, contributors: pl.DataFrame, reference: pl.DataFrame
) -> None:
    """PNG bytes may differ between versions of Pillow, so pixels are compared."""
    made = make.make_data(0)
    for shipped, again in zip((contributors, reference), made[:2], strict=True):
        assert shipped.drop("image").equals(again.drop("image"))
        assert np.array_equal(make.decode_images(shipped["image"]), make.decode_images(again["image"]))


def test_shipped_files_are_small() -> None:
    names = ("classifier", "model", "contributors.parquet", "reference.parquet", "contact-sheet.png")
    files = [path for name in names for path in (FOLDER / name, *(FOLDER / name).rglob("*")) if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_000_000


def test_two_runs_give_equal_bytes(make: ModuleType, tmp_path: Path) -> None:
    """One run in this process and one in its own: neither process-wide random state nor hash seeds may matter."""
    options = ["--steps", "5", "--per-class", "10"]
    torch.rand(1)
    make.main([*options, "--out", str(tmp_path / "here")])
    command = [sys.executable, str(FOLDER / "make.py"), *options, "--out", str(tmp_path / "there")]
    subprocess.run(command, check=True, capture_output=True)
    here, there = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "here", tmp_path / "there")
    )
    assert Path("model/unet/diffusion_pytorch_model.safetensors") in here
    assert Path("contributors.parquet") in here
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []
    classifier = here[Path("classifier/model.safetensors")]
    make.main([*options, "--seed", "1", "--out", str(tmp_path / "here")])
    assert (tmp_path / "here/classifier/model.safetensors").read_bytes() != classifier


@pytest.mark.parametrize("options", [["--steps", "0"], ["--per-class", "9"]])
def test_impossible_options_are_refused(
    make: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        make.main([*options, "--out", str(tmp_path / "out")])
    assert f"{options[0]} must be at least" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_coalition_is_trained_by_the_shipped_script(
    make: ModuleType, contributors: pl.DataFrame, tmp_path: Path
) -> None:
    """Also without scikit-learn, which only those need who make the data again."""
    rows_of(contributors, "ash").write_parquet(tmp_path / "rows.parquet")
    shared = [str(tmp_path / "rows.parquet"), "--steps", "2"]
    script = FOLDER / "train_coalition.py"
    code = "import runpy, sys; sys.argv.pop(0); sys.modules['sklearn'] = None; sys.path.insert(0, sys.argv.pop(0)); "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, str(FOLDER), str(script), *shared, str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "trained for 2 steps on 100 rows\n"), done.stderr
    trainer = importlib.import_module("train_coalition")
    for out, more in (("b", []), ("c", ["--seed", "1"]), ("d", ["--finetune"])):
        trainer.main([*shared, str(tmp_path / out), *more])
    weights = [(tmp_path / out / "unet" / "diffusion_pytorch_model.safetensors").read_bytes() for out in "abcd"]
    assert weights[0] == weights[1]
    assert len(set(weights)) == 3
    shipped, tuned = (make.load_diffusion(folder)[0] for folder in (FOLDER / "model", tmp_path / "d"))
    far = max(
        float((a - b).detach().abs().max()) for a, b in zip(shipped.parameters(), tuned.parameters(), strict=True)
    )
    assert 0 < far < 0.05
