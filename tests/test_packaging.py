"""The wheel holds all that is needed, and works from where it is unpacked."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = (
    "surrogateshap/py.typed",
    "surrogateshap/report/templates/report.css",
    "surrogateshap/report/templates/report.html",
    "surrogateshap/record/record-v1.schema.json",
    "surrogateshap/_specs/artbench-aesthetics.toml",
    "surrogateshap/_specs/cifar20-fid.toml",
    "surrogateshap/_specs/dermoscopy-spurious.toml",
    "surrogateshap/_specs/digits.toml",
    "surrogateshap/_specs/fashion-diversity.toml",
    "surrogateshap/_specs/spurious-digits.toml",
    "surrogateshap/_examples/plugin/pyproject.toml",
    "surrogateshap/_examples/plugin/surrogateshap_sharpness.py",
    "surrogateshap/_examples/spurious/LICENSE-DATA.md",
    "surrogateshap/_examples/spurious/contributors.parquet",
    "surrogateshap/_examples/spurious/classifier/model.safetensors",
    "surrogateshap/_examples/spurious/model/unet/diffusion_pytorch_model.safetensors",
    "surrogateshap/_examples/digits/LICENSE-DATA.md",
    "surrogateshap/_examples/digits/contributors.parquet",
    "surrogateshap/_examples/digits/reference.parquet",
    "surrogateshap/_examples/digits/train_coalition.py",
    "surrogateshap/_examples/digits/classifier/config.json",
    "surrogateshap/_examples/digits/classifier/model.safetensors",
    "surrogateshap/_examples/digits/classifier/preprocessor_config.json",
    "surrogateshap/_examples/digits/model/model_index.json",
    "surrogateshap/_examples/digits/model/scheduler/scheduler_config.json",
    "surrogateshap/_examples/digits/model/unet/config.json",
    "surrogateshap/_examples/digits/model/unet/diffusion_pytorch_model.safetensors",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def surrogateshap(unpacked: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "surrogateshap", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_what_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert set(NEEDED) <= names
    for package, folder in (("surrogateshap", ROOT), ("surrogateshap_tui", ROOT / "tui")):
        source = {path.relative_to(folder).as_posix() for path in (folder / package).rglob("*.py")}
        assert source <= names
    sheets = {path.relative_to(ROOT / "tui").as_posix() for path in (ROOT / "tui").rglob("*.tcss")}
    assert sheets
    assert sheets <= names
    assert not [
        name for name in names if "__pycache__" in name or name.startswith("tests/") or "/.surrogateshap" in name
    ]
    (scripts,) = (name for name in names if name.endswith("entry_points.txt"))
    with zipfile.ZipFile(wheel) as archive:
        assert b"surrogateshap = surrogateshap.cli:main" in archive.read(scripts)


def test_the_installed_demo(unpacked: Path, tmp_path: Path) -> None:
    spec = unpacked / "surrogateshap" / "_specs" / "digits.toml"
    for command in ("validate", "plan"):
        done = surrogateshap(unpacked, tmp_path, command, str(spec))
        assert done.returncode == 0, done.stderr
    assert "noisy, noisy-twin" in done.stdout
    assert str(ROOT) not in done.stdout
    assert not list(tmp_path.iterdir())
    smaller = tmp_path / "digits.toml"
    smaller.write_text(reduced(spec.read_text()))
    done = surrogateshap(unpacked, tmp_path, "apply", str(smaller), "--yes", "--display", "none")
    assert done.returncode == 0, done.stderr
    assert "contributor / recognisable / image" in done.stdout
    assert str(ROOT) not in done.stdout


def reduced(spec: str) -> str:
    """The same spec for a few images and steps."""
    smaller = spec.replace("images_per_contributor = 100", "images_per_contributor = 3").replace(
        "steps = 20", "steps = 2"
    )
    assert smaller != spec
    return smaller + "\n[intervals]\nresamples = 20\n" if "[intervals]" not in smaller else smaller


def test_from_an_empty_folder_to_results(unpacked: Path, tmp_path: Path) -> None:
    assert surrogateshap(unpacked, tmp_path, "init").returncode == 0
    done = surrogateshap(unpacked, tmp_path, "plan", "surrogateshap.toml")
    assert done.returncode == 0, done.stderr
    assert "Apply with `surrogateshap apply surrogateshap.toml`" in done.stdout
    spec = tmp_path / "surrogateshap.toml"
    spec.write_text(reduced(spec.read_text()).replace("resamples = 200", "resamples = 20"))
    done = surrogateshap(unpacked, tmp_path, "apply", "surrogateshap.toml", "--yes", "--display", "none")
    assert done.returncode == 0, done.stderr
    shown = surrogateshap(unpacked, tmp_path, "show", "surrogateshap.toml", "--format", "csv")
    assert shown.returncode == 0, shown.stderr
    assert "noisy" in shown.stdout
    (record,) = (tmp_path / ".surrogateshap" / "runs").glob("*/record.json")
    assert surrogateshap(unpacked, tmp_path, "verify", str(record)).returncode == 0
