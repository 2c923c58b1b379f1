"""What plans know of pipelines: from their configs alone, with what can't work told before anything is loaded."""

import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diffusers.pipelines import auto_pipeline

from surrogateshap import api
from surrogateshap.errors import RunError, SpecError
from surrogateshap.plan.adapters import adapter_file
from surrogateshap.plan.cards import read_model_card
from surrogateshap.plan.pipelines import DISTILLED, IMAGE_TO_IMAGE
from surrogateshap.spec.model import ModelSection, SamplingSection
from tests.pipelines import SIDE, spec
from tests.tiny import Project

SAMPLING: dict[str, Any] = {"steps": 3, "guidance_scale": 3.0, "height": SIDE, "width": SIDE}
Saved = Callable[[str], Path]


def test_the_tables_of_pipelines_agree_with_diffusers() -> None:
    counterparts = auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING
    for name, pipeline in auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING.items():
        if "Control" in pipeline.__name__:  # needs an image of another kind besides
            continue
        other = counterparts.get(name)
        noised = other is not None and "strength" in inspect.signature(other.__call__).parameters
        assert (pipeline.__name__ in IMAGE_TO_IMAGE) == noised, pipeline
    import diffusers

    assert all(hasattr(diffusers, name) for name in DISTILLED | IMAGE_TO_IMAGE - {"KolorsPipeline"})


def problems(project: Project, changes: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        api.validate(project.spec(changes))
    return {problem.key: f"{problem.message} {problem.remedy}" for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("family", "changes", "key", "message"),
    [
        ("pixart", {"proxy": {"kind": "image"}}, "proxy.kind", "PixArtAlphaPipeline has no counterpart"),
        ("dit", {"proxy": {"kind": ["prompt", "image"]}}, "proxy.kind", "DiTPipeline has no counterpart"),
        ("sd", {"flags": {"denoising_loss": True}}, "flags.denoising_loss", "class-conditional UNets alone"),
        ("flux", {"sampling": {"steps": 3}}, "model.source", "doesn't say which size it was trained at"),
        ("sd", {"sampling": SAMPLING | {"height": 5000}}, "sampling.height", ""),
        ("dit", {"sampling": SAMPLING | {"height": 32}}, "model.source", "makes images of 16 × 16 pixels alone"),
        ("sd3", {"sampling": SAMPLING | {"scheduler": "ddim"}}, "sampling.scheduler", "trained by flow matching"),
        ("dit", {"sampling": SAMPLING | {"scheduler": "euler"}}, "sampling.scheduler", "noise of variance 1"),
        ("sd", {"model": {"source": "pipeline", "null_class": 3}}, "model.source", "has no classes"),
        ("dit", {"model": {"source": "pipeline", "null_class": 3}}, "model.source", "class 1000 means no class"),
        ("sd", {"model": {"source": "pipeline", "variant": "fp16"}}, "model.source", "no weights of the variant"),
    ],
)
def test_what_a_pipeline_cannot_do(
    piped: Callable[[str], Project], family: str, changes: dict[str, Any], key: str, message: str
) -> None:
    assert message in problems(piped(family), spec(**changes))[key]


def test_flow_matching_and_images(piped: Callable[[str], Project]) -> None:
    project = piped("sd3")
    few = SAMPLING | {"scheduler": "dpmsolver++"}
    found = problems(project, spec(sampling=few, proxy={"kind": "image"}))
    assert "doesn't start from images" in found["sampling.scheduler"]
    assert [pool.proxy for pool in project.plan(spec(sampling=few, proxy={"kind": "auto"})).pools] == ["prompt"]
    assert [pool.proxy for pool in project.plan(spec(proxy={"kind": "auto"})).pools] == ["image"]


def test_what_a_class_conditional_unet_cannot_do(tiny: Project) -> None:
    assert "compute in float32" in problems(tiny, {"model.dtype": "bfloat16"})["model.dtype"]
    adapted = problems(tiny, {"model": {"source": "model", "adapters": [{"source": "model/unet"}]}})
    assert "adapters go on text-to-image pipelines" in adapted["model.adapters"]


@pytest.mark.parametrize(
    "how", ["pipeline", "component", "module", "auto_map", "tokenizer", "pickle", "library", "nested"]
)
def test_code_of_strangers_is_never_run(piped: Callable[[str], Project], how: str) -> None:
    project = piped("sd")
    folder = project.folder / "pipeline"
    marker, index = folder / "ran", folder / "model_index.json"
    code = f"open({str(marker)!r}, 'w')\nfrom diffusers import StableDiffusionPipeline, UNet2DConditionModel\n"
    document = json.loads(index.read_text())
    if how == "pipeline":
        document["_class_name"] = ["mine", "StableDiffusionPipeline"]
        (folder / "mine.py").write_text(code)
    elif how == "component":
        document["unet"] = ["mine", "UNet2DConditionModel"]
        (folder / "unet" / "mine.py").write_text(code)
    elif how == "module":
        document["unet"] = ["os.path", "UNet2DConditionModel"]
    elif how == "nested":
        document["tokenizer"] = ["diffusers", "StableDiffusionPipeline"]
        (folder / "tokenizer" / "model_index.json").write_text(json.dumps({"_class_name": ["mine", "Mine"]}))
        (folder / "tokenizer" / "mine.py").write_text(code)
        shutil.copy(next((folder / "unet").glob("*.safetensors")), folder / "tokenizer")
    elif how == "library":
        document["unet"] = ["subprocess", "Popen"]
    elif how in ("auto_map", "tokenizer"):
        place = ("text_encoder", "config.json") if how == "auto_map" else ("tokenizer", "tokenizer_config.json")
        config = folder.joinpath(*place)
        config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModel": "mine.Model"}}))
    else:
        for file in (folder / "unet").glob("*.safetensors"):
            file.unlink()
        (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04")
    index.write_text(json.dumps(document))
    said = r"code of its own|no weights as safetensors|neither diffusers nor|a pipeline of its own"
    with pytest.raises((SpecError, RunError), match=said):
        project.apply(spec())
    assert not marker.exists()


def test_only_configs_on_disk(saved: Saved, tmp_path: Path) -> None:
    """As planning has it of a hub's models: configs and a list of all files."""
    folder = saved("sd")
    files = [file for file in folder.rglob("*") if file.is_file()]
    listing = frozenset(file.relative_to(folder).as_posix() for file in files)
    for file in files:
        if file.suffix == ".json":
            copy = tmp_path / "configs" / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    section, sampling = ModelSection(source="x"), SamplingSection()
    assert read_model_card(tmp_path / "configs", section, sampling, listing) == read_model_card(
        folder, section, sampling
    )
    without = frozenset(name for name in listing if not name.startswith("unet/diffusion"))
    with pytest.raises(ValueError, match="unet has no weights as safetensors"):
        read_model_card(tmp_path / "configs", section, sampling, without)


@pytest.mark.parametrize(
    ("names", "weight_name", "message"),
    [
        ((), None, "no weights as safetensors"),
        (("a.bin",), None, "no weights as safetensors"),
        (("a.safetensors", "b.safetensors"), None, "has 2 safetensors files: write `weight_name`"),
        (("a.safetensors",), "b.safetensors", "has no file b.safetensors"),
    ],
)
def test_which_file_of_an_adapter(
    tmp_path: Path, names: tuple[str, ...], weight_name: str | None, message: str
) -> None:
    for name in names:
        (tmp_path / name).touch()
    for listing in (None, frozenset(names)):
        with pytest.raises(ValueError, match=message):
            adapter_file(tmp_path, weight_name, listing)
    (tmp_path / "c.pt").touch()
    with pytest.raises(ValueError, match="not a safetensors file"):
        adapter_file(tmp_path / "c.pt", None)
