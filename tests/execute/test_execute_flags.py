"""Denoising losses against their definition, and the stage that measures them: cheap, resumable, shared."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel

from surrogateshap import api
from surrogateshap.errors import InterruptedRun, RunError, SpecError
from surrogateshap.events import Event, StageFinished, StageProgress
from surrogateshap.execute.models import Request
from surrogateshap.execute.models.class_conditional import ClassConditionalModel
from surrogateshap.plan.cards import ModelCard, read_model_card
from surrogateshap.spec.model import ModelSection, SamplingSection
from surrogateshap.store import Store
from tests.tiny import OWNERS, SIDE, SPEC, Project, rows, run_files

CPU = torch.device("cpu")
LEVELS = 3
FLAGS: dict[str, Any] = {
    "utility": SPEC["utility"][:1],
    "budget.images_per_contributor": 4,
    "sampling.steps": 2,
    "proxy.kind": "image",
    "flags": {"denoising_loss": True},
}


def card_of(folder: Path) -> ModelCard:
    return read_model_card(folder, ModelSection(source="model"), SamplingSection())


def load(folder: Path, card: ModelCard | None = None, **sampling: Any) -> ClassConditionalModel:
    section = SamplingSection(**sampling)
    return ClassConditionalModel(
        folder / "model",
        card or card_of(folder / "model"),
        section,
        0.5,
        CPU,
    )


def asked(number: int = 5) -> list[Request]:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (number, SIDE, SIDE, 1)).astype(np.uint8)
    return [Request(i % 4, 70 + i, image) for i, image in enumerate(images)]


def predicting(project: Project, kind: str) -> None:
    path = project.folder / "model" / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prediction_type": kind}))


def by_hand(folder: Path, request: Request, label: int, kind: str) -> float:
    """One image at a time, with diffusers' own noising, velocity and mean squared error."""
    unet = UNet2DModel.from_pretrained(folder / "model" / "unet")
    schedule = DDPMScheduler.from_pretrained(folder / "model" / "scheduler")
    assert request.source is not None
    clean = torch.from_numpy(request.source).permute(2, 0, 1)[None].float() / 127.5 - 1
    noises = torch.randn((LEVELS, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(request.seed))
    losses = []
    for noise, time in zip(noises, (166, 500, 833), strict=True):
        timestep = torch.tensor([time])
        noisy = schedule.add_noise(clean, noise[None], timestep)
        target = {
            "epsilon": noise[None],
            "v_prediction": schedule.get_velocity(clean, noise[None], timestep),
            "sample": clean,
        }[kind]
        with torch.no_grad():
            guess = unet(noisy, time, class_labels=torch.tensor([label])).sample
        losses.append(torch.nn.functional.mse_loss(guess, target).item())
    return float(np.mean(losses))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_losses_are_their_definition(tiny: Project, kind: str) -> None:
    predicting(tiny, kind)
    requests = asked()
    found = load(tiny.folder).denoising_losses(requests, LEVELS)
    assert found.unconditional is not None
    for i, request in enumerate(requests):
        assert request.condition is not None
        assert found.conditional[i] == pytest.approx(by_hand(tiny.folder, request, request.condition, kind), rel=1e-4)
        assert found.unconditional[i] == pytest.approx(by_hand(tiny.folder, request, 4, kind), rel=1e-4)
    assert np.abs(found.conditional - found.unconditional).min() > 1e-3


def test_losses_depend_on_nothing_but_image_condition_and_seed(tiny_master: Path) -> None:
    requests = asked()
    together = load(tiny_master).denoising_losses(requests, LEVELS)
    other = load(tiny_master, scheduler="euler", steps=3, guidance_scale=9.0)
    for i, request in enumerate(requests):
        alone = other.denoising_losses([request], LEVELS)
        assert alone.conditional[0] == pytest.approx(together.conditional[i], rel=1e-5)
        assert alone.unconditional[0] == pytest.approx(together.unconditional[i], rel=1e-5)
    moved = other.denoising_losses([Request(one.condition, one.seed + 1, one.source) for one in requests], LEVELS)
    assert (np.abs(moved.conditional - together.conditional) > 1e-3).all()


def test_a_model_without_a_null_class_has_conditional_losses_alone(tiny_master: Path) -> None:
    card = ModelCard(("a", "b", "c", "d", "e"), None, SIDE, SIDE, 1)
    found = load(tiny_master, card).denoising_losses(asked(), LEVELS)
    assert found.unconditional is None
    assert (found.conditional == load(tiny_master).denoising_losses(asked(), LEVELS).conditional).all()


def test_what_has_no_known_loss(tiny: Project) -> None:
    predicting(tiny, "flow_prediction")
    with pytest.raises(
        SpecError, match=r"denoising_loss: the model predicts `flow_prediction`, and denoising losses"
    ) as caught:
        tiny.plan(FLAGS)
    assert "spec.toml:" in str(caught.value)
    tiny.plan()
    with pytest.raises(RunError, match="predicts `flow_prediction`"):
        load(tiny.folder, scheduler="ddim").denoising_losses(asked(1), LEVELS)
    path = tiny.folder / "model" / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": "FlowMatchEulerDiscreteScheduler"}))
    with pytest.raises(RunError, match="no noise schedule") as failed:
        load(tiny.folder, scheduler="ddim").denoising_losses(asked(1), LEVELS)
    assert "denoising_loss = false" in failed.value.remedy


def test_flags_need_images(tiny: Project) -> None:
    changes = FLAGS | {"proxy.kind": "prompt", "contributors.image": None, "empty": {"kind": "value", "value": 0.0}}
    with pytest.raises(SpecError, match="denoising losses need the manifest's images") as caught:
        tiny.plan(changes)
    assert "flags.denoising_loss" in str(caught.value)


def test_results_hold_every_contributor_of_every_grouping(tiny: Project) -> None:
    results = tiny.apply(FLAGS)
    assert [(one.grouping, one.name) for one in results.flags] == [
        *(("owner", name) for name in OWNERS),
        *(("region", name) for name in ("north", "south", "west")),
    ]
    assert {one.images for one in results.flags if one.grouping == "owner"} == {12}
    assert all(one.note.startswith("too few images") and not one.flags for one in results.flags if one.images < 20)
    assert all(one.conditional > 0 and one.unconditional is not None for one in results.flags)
    assert api.show(results.run, store=tiny.store) == results
    owners = [one for one in results.flags if one.grouping == "owner"]
    regions = [one for one in results.flags if one.grouping == "region"]
    total = sum(one.conditional * one.images for one in owners)
    assert sum(one.conditional * one.images for one in regions) == pytest.approx(total)  # the same 60 rows
    record = json.loads(run_files(tiny.store, results.run)["record.json"])
    assert [summary["contributors"] for summary in record["predicate"]["flags"]] == [5, 3]
    assert any(limit.startswith("Flags are signs") for limit in record["predicate"]["limits"])
    assert api.verify(tiny.store / "runs" / results.run / "record.json").holds


def stage(project: Project, changes: dict[str, Any]) -> tuple[str, int, int, str]:
    (found,) = (one for one in project.plan(changes).stages if one.kind == "flags")
    return found.state, found.total, found.cached, found.because


def test_the_plan_counts_images_and_evaluations(tiny: Project) -> None:
    without = tiny.plan(FLAGS | {"flags": {"denoising_loss": False}})
    assert not any(one.kind == "flags" for one in without.stages)
    planned = tiny.plan(FLAGS)
    assert stage(tiny, FLAGS) == ("new", 60, 0, "not done yet")
    assert planned.cost.denoising_steps - without.cost.denoising_steps == 60 * 8 * 2
    assert planned.cost.images == without.cost.images
    few = FLAGS | {"flags": {"denoising_loss": True, "images_per_contributor": 2}}
    assert 10 <= stage(tiny, few)[1] <= 16  # two of each owner, most of them also first in their region

    tiny.apply(few)
    state, total, cached, because = stage(tiny, FLAGS)
    assert (state, total) == ("partial", 60)
    assert cached == stage(tiny, few)[1]
    assert because == "flags.images_per_contributor: 2 → 100"
    pending = {one.id for one in tiny.plan(FLAGS).stages if one.state != "cached"}
    assert pending == {"flags", "record"}
    assert next(one for one in tiny.plan(FLAGS).stages if one.kind == "flags").basis == "measured on cpu"
    # Neither sampler nor other rows of the manifest touch the losses that are there.
    assert stage(tiny, few | {"sampling.steps": 3, "proxy.strength": 0.9})[0] == "cached"
    tiny.manifest(rows().filter(~rows()["owner"].is_in(["dill"])))
    assert stage(tiny, FLAGS | {"flags": {"denoising_loss": True, "images_per_contributor": 2}})[2] >= 8
    assert stage(tiny, few | {"seed": 9})[2] == 0


def test_equal_images_are_tried_once(tiny: Project) -> None:
    frame = rows()
    tiny.manifest(frame.vstack(frame.head(7)))
    assert stage(tiny, FLAGS)[1] == 60


def test_a_stopped_run_measures_only_the_rest_and_ends_in_the_same_bytes(tiny: Project, tmp_path: Path) -> None:
    changes = FLAGS | {"execution.batch_size": 16}
    spec = tiny.spec(changes)
    whole = api.apply(spec, store=tmp_path / "whole")
    stop = threading.Event()

    def emit(event: Event) -> None:
        if isinstance(event, StageProgress) and event.stage == "flags":
            stop.set()

    with pytest.raises(InterruptedRun):
        api.apply(spec, emit=emit, stop=stop)
    assert stage(tiny, changes)[:3] == ("partial", 60, 16)
    seen: list[Event] = []
    assert api.apply(spec, emit=seen.append) == whole
    assert next(event for event in seen if isinstance(event, StageProgress) and event.stage == "flags").done == 32
    assert run_files(tiny.store, whole.run) == run_files(tmp_path / "whole", whole.run)

    again: list[Event] = []
    api.apply(tiny.spec(changes | {"name": "again", "intervals.level": 0.5}), emit=again.append)
    (finished,) = (event for event in again if isinstance(event, StageFinished) and event.stage == "flags")
    assert finished.cached


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_damaged_losses_are_measured_again(tiny: Project, damage: str) -> None:
    whole = tiny.apply(FLAGS)
    with Store.open(tiny.store) as store:
        for path in sorted((tiny.store / "objects").glob("*/*.safetensors")):
            arrays = store.get_arrays(path.stem)
            if arrays is not None and "conditional" in arrays:
                path.unlink() if damage == "gone" else path.write_bytes(b"x")
    again = tiny.apply(FLAGS | {"name": "again"})
    assert again.flags == whole.flags


def test_broken_weights_are_named(tiny: Project) -> None:
    from safetensors.numpy import load_file, save_file

    tiny.apply(FLAGS | {"flags": {"denoising_loss": False}})
    path = tiny.folder / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    weights = {name: np.full_like(array, np.nan) for name, array in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(SpecError, match=r"model\.source: .*not finite"):
        tiny.apply(FLAGS)
