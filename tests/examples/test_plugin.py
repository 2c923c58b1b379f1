"""The plugin example: its package's entry points, as pyproject.toml has them, on its spec and on the tiny project."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from surrogateshap import api
from surrogateshap.cli.main import main
from surrogateshap.errors import SpecError
from surrogateshap.plugins import find_plugin, load
from tests.plugins import install
from tests.tiny import Project, game, values

FOLDER = Path(__file__).parents[2] / "examples" / "plugin"
ALLOWED = ("grey", "sharpness", "contrast")
TINY = {
    "encoder": [{"name": "grey", "kind": "plugin", "plugin": "grey"}],
    "utility": [
        {"name": "sharpness", "kind": "plugin", "plugin": "sharpness"},
        {"name": "capped", "kind": "plugin", "plugin": "sharpness", "options": {"top": 0.0}},
        {"name": "contrast", "kind": "plugin", "plugin": "contrast"},
    ],
    "empty": {"kind": "value", "value": 0.0},
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    install(tmp_path / "site", project["name"], project["version"], project["entry-points"])
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.syspath_prepend(FOLDER)


@pytest.mark.usefixtures("package")
def test_the_spec_is_planned_where_its_plugins_are_allowed() -> None:
    plan = api.plan(FOLDER / "sharpness.toml", allow_plugins=ALLOWED)
    inputs = {file.role: file.name for file in plan.inputs if file.role.startswith("plugin ")}
    assert inputs == {f"plugin {name}": "surrogateshap-sharpness 0.1.0" for name in ALLOWED}
    with pytest.raises(SpecError) as refused:
        api.plan(FOLDER / "sharpness.toml")
    assert [problem.key for problem in refused.value.problems] == [
        "encoder[0].plugin",
        "utility[0].plugin",
        "utility[1].plugin",
    ]


@pytest.mark.usefixtures("package")
def test_from_spec_to_ranking(tiny: Project) -> None:
    results = tiny.apply(TINY, allow_plugins=ALLOWED)
    for proxy in ("prompt", "image"):
        sharp = values(results, f"owner / sharpness / {proxy}")
        whole = game(results, f"owner / sharpness / {proxy}")
        assert sum(sharp.values()) == pytest.approx(whole.v_full)
        assert whole.v_full > 0
        assert set(values(results, f"owner / capped / {proxy}").values()) == {0.0}
    # Later owners' images are noisier.
    noisy = values(results, "owner / sharpness / image")
    assert noisy["dill"] > noisy["amber"]
    (record,) = (tiny.store / "runs").glob("*/record.json")
    assert b"surrogateshap-sharpness 0.1.0" in record.read_bytes()
    assert api.verify(record).holds


@pytest.mark.usefixtures("package")
def test_from_the_command_line(tiny: Project, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(tiny.spec(TINY))
    assert main(["apply", spec, "--yes", "--display", "none"]) == 2
    assert "--allow-plugin grey" in capsys.readouterr().err
    words = [word for name in ALLOWED for word in ("--allow-plugin", name)]
    assert main(["apply", spec, "--yes", "--display", "none", *words]) == 0
    capsys.readouterr()
    assert main(["show", spec, "--format", "csv"]) == 0
    assert "sharpness" in capsys.readouterr().out


@pytest.mark.usefixtures("package")
def test_contrast_is_the_deviation_of_all_pixels() -> None:
    import torch

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    grey = load(find_plugin("encoder", "grey"))(torch.device("cpu"), weights="equal").encode(images)
    assert grey == pytest.approx(images.mean(axis=-1).reshape(5, 64) / 255)

    class Encoded:
        features = grey

    contrast = load(find_plugin("utility", "contrast"))(Encoded())
    assert contrast.value(contrast.summarise(np.full((1, 5), 0.2)))[0] == pytest.approx(grey.std())
    sharpness = load(find_plugin("utility", "sharpness"))(Encoded())
    flat = np.abs(np.diff(grey.reshape(5, 8, 8), axis=2)).mean(axis=(1, 2))
    down = np.abs(np.diff(grey.reshape(5, 8, 8), axis=1)).mean(axis=(1, 2))
    assert sharpness == pytest.approx((flat + down) / 2)
