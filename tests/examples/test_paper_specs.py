"""The paper's four tasks: each spec is valid, and is planned on a manifest of the task's shape with models' configs."""

import io
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import jsonschema
import numpy as np
import polars as pl
import pytest
import tomli
from PIL import Image

from surrogateshap import api
from surrogateshap.plan.model import Plan
from surrogateshap.spec.load import load_spec
from tests import stand_ins
from tests.encoders import save_lpips

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"
ALL = sorted(SPECS.glob("*.toml"))
PAPER = ("cifar20-fid", "artbench-aesthetics", "fashion-diversity", "dermoscopy-spurious")


@pytest.mark.parametrize("path", [*ALL, ROOT / "examples" / "plugin" / "sharpness.toml"], ids=lambda path: path.stem)
def test_every_shipped_spec_is_valid(path: Path) -> None:
    document = tomli.loads(path.read_text())
    jsonschema.Draft202012Validator(api.schema()).validate(document)
    assert load_spec(path).spec.name == path.stem


def test_the_papers_tasks_are_there() -> None:
    assert {path.stem for path in ALL} >= set(PAPER)


@pytest.mark.parametrize("name", PAPER)
def test_every_setting_says_whose_it_is(name: str) -> None:
    text = (SPECS / f"{name}.toml").read_text()
    assert "arXiv 2601.22276" in text
    if name == "dermoscopy-spurious":
        assert "all numbers here are ours" in text
        return
    section = ""
    for line in text.split("\n"):
        section = line if line.startswith("[") else section
        key, _, value = line.partition(" = ")
        if section in ("[sampling]", "[budget]", "[intervals]") and key and value:
            assert "theirs" in value or "ours" in value, line


def picture(rng: np.random.Generator, side: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def files(folder: Path, count: int, side: int) -> list[str]:
    """Writes images; a few different ones are enough."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [picture(rng, side) for _ in range(8)]
    for number in range(count):
        (folder / f"{number}.png").write_bytes(pictures[number % 8])
    return [f"{folder.name}/{number}.png" for number in range(count)]


def cifar20(folder: Path) -> None:
    stand_ins.class_conditional(folder / "model", 32, 20)
    stand_ins.weights(folder / "inception.safetensors", "fc.weight", shape=(1_008, 2_048))
    rng = np.random.default_rng(0)
    pictures = [{"bytes": picture(rng, 32), "path": None} for _ in range(600)]
    labels = [number % 20 for number in range(600)]
    pl.DataFrame({"img": pictures, "coarse_label": labels}).write_parquet(folder / "cifar20.parquet")


def artbench(folder: Path) -> None:
    stand_ins.stable_diffusion(folder / stand_ins.MINI_SD)
    stand_ins.lora(folder / "lora", "unet")
    stand_ins.clip(folder / stand_ins.CLIP)
    stand_ins.weights(folder / "aesthetic.safetensors", "weight", shape=(1, 768))
    artists = [f"artist-{number}" for number in range(258)] * 3
    captions = [f"a Post-Impressionist painting by {artist.title()}" for artist in artists]
    names = files(folder / "artbench" / "post_impressionism", len(artists), 16)
    table = {"file_name": names, "artist": artists, "caption": captions}
    pl.DataFrame(table).write_csv(folder / "artbench" / "metadata.csv")


def fashion(folder: Path) -> None:
    stand_ins.flux(folder / stand_ins.FLUX)
    stand_ins.lora(folder / "lora", "transformer")
    save_lpips(folder / "lpips.safetensors")
    stand_ins.dino(folder / stand_ins.DINO)
    brands = [f"brand {number}" for number in range(100)] * 8
    prompts = [f"a photo of a {('red', 'blue')[number % 2]} shirt by {brand}" for number, brand in enumerate(brands)]
    table = {"image": files(folder / "photos", len(brands), 16), "brand": brands, "prompt": prompts}
    pl.DataFrame(table).write_csv(folder / "fashion.csv")


def dermoscopy(folder: Path) -> None:
    stand_ins.stable_diffusion(folder / "model")
    stand_ins.classifier(folder / "melanoma", "nevus", "melanoma")
    hospitals = [f"site {number % 6}" for number in range(240)]
    prompts = [f"a dermoscopic image of a skin lesion of a {('man', 'woman')[number % 7 % 2]}" for number in range(240)]
    table = {"image": files(folder / "images", 240, 16), "hospital": hospitals, "prompt": prompts}
    pl.DataFrame(table).write_csv(folder / "dermoscopy.csv")


BUILDERS: dict[str, Callable[[Path], None]] = dict(zip(PAPER, (cifar20, artbench, fashion, dermoscopy), strict=True))


def planned(name: str, folder: Path) -> Plan:
    """The plan of a copy of the spec, with stand-ins beside it; what lies there is not looked for on the hub."""
    BUILDERS[name](folder)
    spec = folder / f"{name}.toml"
    spec.write_text((SPECS / spec.name).read_text())
    return api.plan(spec)


@pytest.mark.parametrize(
    ("name", "contributors", "images", "games"),
    [
        ("cifar20-fid", 20, 10_240, 3),
        ("artbench-aesthetics", 258, 12_900, 2),
        ("fashion-diversity", 100, 5_000, 4),
        ("dermoscopy-spurious", 6, 1_200, 6),
    ],
)
def test_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, contributors: int, images: int, games: int
) -> None:
    # FID's Inception-v3 comes with an extra that can't be installed beside a CPU build of torch.
    monkeypatch.setattr(import_module("surrogateshap.plan.check_encoders"), "find_spec", lambda name: name)
    plan = planned(name, tmp_path)
    assert [grouping.contributors for grouping in plan.groupings] == [contributors]
    for pool in plan.pools:
        assert pool.images - pool.unconditional == images
        assert pool.per_contributor_min >= 20
    assert len(plan.games) == games
    assert plan.pending
    assert {"model", "manifest"} <= {file.role for file in plan.inputs}
    assert "generate images" in api.explain(plan)
