"""Models and encoders from the hub: pinned to commits, read from their listings, downloaded when they are needed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from surrogateshap import api
from surrogateshap.errors import RunError, SpecError
from surrogateshap.events import Event, Warned
from surrogateshap.plan.hub import HubRefused, Snapshot, open_snapshot
from surrogateshap.units import size
from tests import hub as fake
from tests.tiny import SPEC, Project

MODEL, EYE = "someone/digits", "someone/eye"
UNUSED = {
    "README.md": b"# hello",
    "unet/diffusion_pytorch_model.bin": b"pickle",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"half",
    "unet/modeling.py": b"import os",
    "whole.safetensors": b"a copy of everything",
    "whole.ckpt": b"pickle",
    "unnamed/config.json": b"{}",
}
ON_HUB: dict[str, Any] = {
    "model": {"source": MODEL},
    "encoder": [{"name": "eye", "source": EYE}],
    "proxy.kind": "image",
    "utility": [{"name": "right", "kind": "score", "score": "condition"}],
    "budget.images_per_contributor": 2,
    "sampling": {"steps": 2},
    "empty": {"kind": "value", "value": 0.0},
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[fake.FakeHub]:
    with fake.serving() as served:
        fake.use(monkeypatch, served, tmp_path / "home")
        yield served


@pytest.fixture
def project(tiny: Project, hub: fake.FakeHub) -> Project:
    """A project whose model and encoder are on the hub alone."""
    hub.push(MODEL, fake.files_of(tiny.folder / "model") | UNUSED)
    hub.push(EYE, fake.files_of(tiny.folder / "eye") | {"pytorch_model.bin": b"pickle"})
    for name in ("model", "eye"):
        shutil.rmtree(tiny.folder / name)
    return tiny


def problem(tiny: Project, changes: dict[str, Any]) -> Any:
    with pytest.raises(SpecError) as caught:
        tiny.plan(changes)
    (found,) = caught.value.problems
    return found


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_plan_pins_a_commit_and_downloads_texts_alone(project: Project, hub: fake.FakeHub) -> None:
    plan = project.plan(ON_HUB)
    model, eye = hub.branches[MODEL, "main"], hub.branches[EYE, "main"]
    names = {file.role: file.name for file in plan.inputs}
    assert (names["model"], names["encoder eye"]) == (f"{MODEL}@{model}", f"{EYE}@{eye}")
    weights = len(hub.commits[MODEL, model]["unet/diffusion_pytorch_model.safetensors"])
    assert next(file.bytes for file in plan.inputs if file.role == "model") > weights
    assert hub.downloaded() == [
        "config.json",
        "model_index.json",
        "preprocessor_config.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
    ]
    assert any(f'write revision = "{model}"' in warning for warning in plan.warnings)
    assert any(f"`apply` downloads {size(weights)} of {MODEL}@{model}" == warning for warning in plan.warnings)
    hub.log.clear()
    pinned = project.plan(
        ON_HUB
        | {
            "model": {"source": MODEL, "revision": model},
            "encoder": [{"name": "eye", "source": EYE, "revision": eye}],
        }
    )
    assert pinned.plan_id == plan.plan_id, "pinning what was planned changes nothing"
    assert not any("not pinned" in warning for warning in pinned.warnings)
    assert hub.log == [], "a commit that was seen needs no network"


def test_apply_downloads_the_weights_and_nothing_else(project: Project, hub: fake.FakeHub) -> None:
    project.plan(ON_HUB)
    hub.log.clear()
    told: list[Event] = []
    results = project.apply(ON_HUB, emit=told.append)
    assert len(results.games) == 2
    downloads = [event.message for event in told if isinstance(event, Warned) and "downloading" in event.message]
    assert [message.partition(" of ")[2].partition("@")[0] for message in downloads] == [MODEL, EYE]
    assert hub.downloaded() == ["model.safetensors", "unet/diffusion_pytorch_model.safetensors"]
    hub.log.clear()
    project.apply(ON_HUB | {"intervals.resamples": 30})
    assert hub.downloaded() == []


def test_the_same_weights_from_a_folder_give_the_same_values(tiny: Project, hub: fake.FakeHub) -> None:
    hub.push(MODEL, fake.files_of(tiny.folder / "model"))
    hub.push(EYE, fake.files_of(tiny.folder / "eye"))
    local = ON_HUB | {"model": SPEC["model"], "encoder": SPEC["encoder"]}
    one, other = tiny.apply(local), tiny.apply(ON_HUB)
    assert one.run != other.run
    assert [game.contributors for game in one.games] == [game.contributors for game in other.games]


def test_a_branch_that_moves_makes_another_plan(project: Project, hub: fake.FakeHub) -> None:
    before = project.plan(ON_HUB)
    saved = project.folder / "plan.json"
    api.save_plan(before, saved)
    files = dict(hub.commits[MODEL, hub.branches[MODEL, "main"]])
    moved = hub.push(MODEL, files | {"README.md": b"# moved"})
    after = project.plan(ON_HUB)
    assert after.plan_id != before.plan_id
    assert next(file.name for file in after.inputs if file.role == "model").endswith(moved)
    assert api.plan(saved).plan_id == before.plan_id, "a saved plan stands for its own commit"
    assert api.apply(saved).plan_id == before.plan_id
    assert api.show(str(saved)).plan_id == before.plan_id


def test_a_folder_beside_the_spec_comes_first(project: Project, hub: fake.FakeHub, tiny_master: Path) -> None:
    shutil.copytree(tiny_master / "model", project.folder / MODEL)
    hub.log.clear()
    plan = project.plan(ON_HUB)
    assert next(file.name for file in plan.inputs if file.role == "model") == MODEL
    assert not any(MODEL in line for line in hub.log)


def test_a_revision_of_a_folder_is_a_problem(tiny: Project) -> None:
    found = problem(tiny, {"model": {"source": "model", "revision": "main"}})
    assert (found.key, found.line > 0) == ("model.revision", True)
    assert "counts only for repositories" in found.message
    found = problem(tiny, {"encoder": [{"name": "eye", "source": "eye", "revision": "main"}]})
    assert found.key == "encoder[0].revision"


def test_offline_from_the_cache(project: Project, hub: fake.FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    before = project.plan(ON_HUB)
    offline(monkeypatch)
    hub.log.clear()
    assert project.plan(ON_HUB).plan_id == before.plan_id
    with pytest.raises(RunError) as caught:
        project.apply(ON_HUB)
    assert "HF_HUB_OFFLINE is set" in caught.value.message
    assert "still to be downloaded" in caught.value.message
    assert hub.log == []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    project.apply(ON_HUB)
    offline(monkeypatch)
    hub.log.clear()
    again = project.apply(ON_HUB | {"seed": 4})
    assert again.plan_id != before.plan_id
    assert hub.log == []


def test_offline_without_a_cache(project: Project, monkeypatch: pytest.MonkeyPatch, hub: fake.FakeHub) -> None:
    offline(monkeypatch)
    with pytest.raises(SpecError) as caught:
        project.plan(ON_HUB)
    assert [found.key for found in caught.value.problems] == ["encoder[0].source", "model.source"]
    assert all("not in the cache, and HF_HUB_OFFLINE is set" in found.message for found in caught.value.problems)
    assert hub.log == []


def test_offline_with_what_another_tool_downloaded(
    project: Project, hub: fake.FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants, snapshot_download

    for repository in (MODEL, EYE):
        commit = hub.branches[repository, "main"]
        cached = Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}")
        for name, data in hub.commits[repository, commit].items():
            path = cached / "snapshots" / commit / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (cached / "refs").mkdir()
        (cached / "refs" / "main").write_text(commit)
        assert snapshot_download(repository, cache_dir=constants.HF_HUB_CACHE, local_files_only=True)
    offline(monkeypatch)
    assert len(project.apply(ON_HUB).games) == 2


@pytest.mark.parametrize(
    ("section", "message", "remedy"),
    [
        ({"source": "someone/nothing"}, "no such repository on the hub", "hf auth login"),
        ({"source": MODEL, "revision": "v9"}, "has no revision `v9`", "branch, tag or commit"),
        ({"source": MODEL, "revision": "0" * 40}, "has no revision", "branch, tag or commit"),
        ({"source": MODEL, "variant": "fp8"}, "no weights of the variant `fp8`", "variant"),
    ],
)
def test_what_the_hub_does_not_have(project: Project, section: dict[str, str], message: str, remedy: str) -> None:
    found = problem(project, ON_HUB | {"model": section})
    assert found.key == "model.source"
    assert message in found.message
    assert remedy in found.remedy


def test_gated_and_private_repositories(project: Project, hub: fake.FakeHub) -> None:
    hub.gated.add(MODEL)
    found = problem(project, ON_HUB)
    assert "is gated" in found.message
    assert "huggingface-cli login" in found.remedy
    hub.private.add(EYE)
    hub.gated.clear()
    found = problem(project, ON_HUB)
    assert found.key == "encoder[0].source"
    assert "login" in found.remedy


def test_access_that_ends_between_plan_and_apply(project: Project, hub: fake.FakeHub) -> None:
    project.plan(ON_HUB)
    hub.gated.add(MODEL)
    with pytest.raises(RunError) as caught:
        project.apply(ON_HUB)
    assert "is gated" in caught.value.message
    assert "login" in caught.value.remedy


def test_a_hub_that_is_down(project: Project, hub: fake.FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.down = True
    with pytest.raises(SpecError, match="HTTP 503"):
        project.plan(ON_HUB)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SpecError) as caught:
        project.plan(ON_HUB)
    assert all("can't be read from the hub" in found.message for found in caught.value.problems)
    assert all("HF_HUB_OFFLINE=1" in found.remedy for found in caught.value.problems)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x.json", "a\\..\\x", "c:x", "a\x1b[2Jb", "", "a//b", "./a"]
)
def test_listings_with_hostile_names(project: Project, hub: fake.FakeHub, name: str) -> None:
    hub.extra = [name]
    with pytest.raises(SpecError) as caught:
        project.plan(ON_HUB)
    for found in caught.value.problems:
        assert "lists a file that no repository can hold" in found.message
        assert "\x1b" not in found.message
    assert hub.downloaded() == []


def test_weights_that_could_run_code_are_refused(project: Project, hub: fake.FakeHub) -> None:
    files = {
        name: data
        for name, data in hub.commits[MODEL, hub.branches[MODEL, "main"]].items()
        if not name.endswith(".safetensors")
    }
    hub.push(MODEL, files)
    found = problem(project, ON_HUB)
    assert "no weights as safetensors, only in formats that can run code" in found.message
    assert not any(name.endswith((".bin", ".ckpt", ".py")) for name in hub.downloaded())


def needed(hub: fake.FakeHub, names: list[str], layout: Any, index: Any = None, **options: Any) -> Snapshot:
    files = dict.fromkeys(names, b"{}") | ({"model_index.json": json.dumps(index).encode()} if index else {})
    hub.push("some/thing", files)
    return open_snapshot("some/thing", None, layout, **options)


PIPELINE = {
    "_class_name": "StableDiffusionPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "safety_checker": [None, None],
    "requires_safety_checker": True,
}
STORED = [
    "unet/config.json",
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
    "unet/diffusion_pytorch_model.safetensors.index.json",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "safety_checker/model.safetensors",
    "v1-5-pruned.safetensors",
    "onnx/model.onnx",
]


def test_a_pipeline_needs_its_components(hub: fake.FakeHub) -> None:
    texts = {"model_index.json", "unet/config.json", "vae/config.json", "tokenizer/merges.txt", "tokenizer/vocab.json"}
    vae = {"vae/diffusion_pytorch_model.safetensors"}
    shards = set(STORED[1:4])
    assert needed(hub, STORED, "pipeline", PIPELINE).listing == texts | vae | shards
    half = needed(hub, STORED, "pipeline", PIPELINE, variant="fp16").listing
    assert half == texts | vae | {"unet/diffusion_pytorch_model.fp16.safetensors"}


def test_encoders_and_adapters_are_what_lies_at_the_top(hub: fake.FakeHub) -> None:
    names = ["config.json", "model.safetensors", "model.fp16.safetensors", "onnx/config.json", "tf_model.h5", "a.py"]
    assert needed(hub, names, "encoder").listing == {"config.json", "model.safetensors"}
    names = ["one.safetensors", "two.safetensors", "adapter_config.json"]
    assert needed(hub, names, "adapter", weight_name="two.safetensors").listing == {
        "two.safetensors",
        "adapter_config.json",
    }
    with pytest.raises(HubRefused, match=r"named three\.safetensors"):
        needed(hub, names, "adapter", weight_name="three.safetensors")


def test_the_command_line_reads_the_usual_variables(project: Project, hub: fake.FakeHub, tmp_path: Path) -> None:
    spec = project.spec(ON_HUB)
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "other"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    code = "import sys; from surrogateshap.cli import main; c = main(); print('torch' in sys.modules); sys.exit(c)"

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", code, "plan", str(spec)]
        return subprocess.run(words, env=env | more, capture_output=True, text=True, check=False)

    refused = run(HF_HUB_OFFLINE="1")
    assert refused.returncode == 2
    assert "HF_HUB_OFFLINE is set" in refused.stderr
    first = run()
    assert (first.returncode, first.stderr) == (0, "")
    assert f"{MODEL}@" in first.stdout
    assert first.stdout.endswith("False\n"), "planning loads no torch"
    again = run(HF_HUB_OFFLINE="1").stdout
    told = " ".join(again.split())
    assert told.count("which HF_HUB_OFFLINE forbids") == 2
    identity = first.stdout.splitlines()[0]
    assert again.splitlines()[0] == identity
