"""The door for training and gradients: losses by their definition, gradients per row, weights that come back."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surrogateshap.errors import RunError
from surrogateshap.execute.models import Request
from surrogateshap.execute.models.pipeline import PipelineModel
from surrogateshap.execute.models.training import Prepared, Trainable, open_model
from surrogateshap.execute.workshop import Workshop
from surrogateshap.plan.cards import read_model_card
from surrogateshap.plan.compile import compile_spec
from surrogateshap.spec.model import ModelSection, SamplingSection
from tests.pipelines import PROMPTS, SIDE
from tests.tiny import SIDE as SMALL
from tests.tiny import Project

CPU = torch.device("cpu")
PIPELINES = ("sd", "sdxl", "sd3", "flux")
KINDS = ("unet", *PIPELINES)
Opened = Callable[..., Trainable]


@pytest.fixture
def opened(tiny: Project, saved: Callable[[str], Path]) -> Opened:
    """A kind's tiny model, open: pipelines with LoRA of rank 2 unless they are wanted whole."""

    def make(kind: str, rank: int | None = 2) -> Trainable:
        if kind == "unet":
            return Workshop(compile_spec(tiny.spec())).open_model()
        sampling = SamplingSection(steps=2, guidance_scale=3.0, height=SIDE, width=SIDE)
        card = read_model_card(saved(kind), ModelSection(source="x"), sampling)
        return open_model(PipelineModel(saved(kind), card, sampling, 0.6, CPU), rank, seed=1)

    return make


def asked(kind: str, rows: int = 3, *, plain: bool = False) -> list[Request]:
    rng = np.random.default_rng(0)
    side, channels = (SMALL, 1) if kind == "unet" else (SIDE, 3)
    conditions: list[Any] = [0, 1, None, 3] if kind == "unet" else [*PROMPTS[:2], None, PROMPTS[3]]
    sources = rng.integers(0, 256, (rows, side, side, channels), dtype=np.uint8)
    return [Request(conditions[at], 40 + at, None if plain else sources[at]) for at in range(rows)]


def drawn(model: Trainable, prepared: Prepared) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    timesteps = torch.randint(0, model.timesteps, (len(prepared),), generator=generator)
    return timesteps, torch.randn(prepared.clean.shape, generator=generator)


def step(model: Trainable, prepared: Prepared, rate: float) -> None:
    for _ in range(2):  # a LoRA's first factor only moves once the second has
        parameters = model.parameters()
        loss = model.losses(prepared, *drawn(model, prepared)).sum()
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        with torch.no_grad():
            for each, gradient in zip(parameters.values(), gradients, strict=True):
                each -= rate * gradient


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_squared_errors_of_the_outputs_and_do_not_depend_on_the_batch(opened: Opened, kind: str) -> None:
    model = opened(kind)
    prepared = model.prepare(asked(kind))
    timesteps, noise = drawn(model, prepared)
    with torch.no_grad():
        losses = model.losses(prepared, timesteps, noise)
        outputs = model.outputs(prepared, timesteps, noise)
        alone = [
            model.losses(prepared.take(slice(at, at + 1)), timesteps[at : at + 1], noise[at : at + 1])[0]
            for at in range(3)
        ]
    target = noise - prepared.clean if kind in ("sd3", "flux") else noise
    assert outputs.shape == prepared.clean.shape
    torch.testing.assert_close(losses, (outputs - target).square().flatten(1).mean(1))
    torch.testing.assert_close(losses, torch.stack(alone), rtol=1e-4, atol=1e-5)
    assert len({round(float(loss), 6) for loss in losses}) == 3


def test_losses_of_a_unet_are_those_of_the_flags(opened: Opened) -> None:
    """On one timestep, in the middle of the schedule."""
    model = opened("unet")
    requests = asked("unet", 2)
    expected = model.model.denoising_losses(requests, 1).conditional
    noise = torch.stack(
        [torch.randn((1, 1, SMALL, SMALL), generator=torch.Generator().manual_seed(one.seed))[0] for one in requests]
    )
    with torch.no_grad():
        found = model.losses(model.prepare(requests), torch.tensor([500, 500]), noise)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_per_row_by_torch_func_are_those_of_each_row_alone(opened: Opened, kind: str) -> None:
    model = opened(kind)
    prepared = model.prepare(asked(kind, 2))
    timesteps, noise = drawn(model, prepared)
    step(model, prepared, 0.5)
    parameters = {name: each.detach() for name, each in model.parameters().items()}

    def loss(parameters: Any, clean: Any, conditions: Any, timestep: Any, noise: Any) -> torch.Tensor:
        one = Prepared(clean[None], {name: each[None] for name, each in conditions.items()}, prepared.shared)
        return model.losses(one, timestep[None], noise[None], parameters)[0]

    per_row = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0, 0, 0))
    found = per_row(parameters, prepared.clean, prepared.conditions, timesteps, noise)
    for at in range(2):
        alone = model.losses(prepared, timesteps, noise)[at]
        expected = torch.autograd.grad(alone, list(model.parameters().values()))
        for name, gradient in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(found[name][at], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_training_changes_images_and_state_brings_them_back(opened: Opened, kind: str) -> None:
    model = opened(kind)
    requests = asked(kind, 2, plain=True)
    frozen, before = model.state(), model.generate(requests)
    prepared = model.prepare(asked(kind))
    first = float(model.losses(prepared, *drawn(model, prepared)).detach().sum())
    step(model, prepared, 0.02)
    assert float(model.losses(prepared, *drawn(model, prepared)).detach().sum()) < first
    step(model, prepared, 3.0)
    trained = model.state()
    assert not np.array_equal(model.generate(requests), before)
    model.load(frozen)
    assert np.array_equal(model.generate(requests), before)
    assert any(not torch.equal(trained[name], frozen[name]) for name in frozen)
    with pytest.raises(ValueError, match="another model"):
        model.load({"x": torch.zeros(1)})


@pytest.mark.parametrize("family", PIPELINES)
def test_a_new_lora_changes_nothing_and_the_whole_denoiser_can_be_open_too(opened: Opened, family: str) -> None:
    lora, whole = opened(family), opened(family, None)
    requests = asked(family, plain=True)
    assert np.array_equal(lora.generate(requests), whole.generate(requests))
    assert 0 < sum(map(torch.numel, lora.parameters().values())) < sum(map(torch.numel, whole.parameters().values()))
    assert all(each.dtype == torch.float32 for each in lora.parameters().values())
    frozen = [each for name, each in lora.denoiser.named_parameters() if name not in lora.parameters()]
    assert not any(each.requires_grad for each in frozen)


@pytest.mark.parametrize("family", PIPELINES)
def test_the_denoiser_is_asked_as_the_pipeline_asks_it(saved: Callable[[str], Path], family: str) -> None:
    sampling = SamplingSection(steps=2, guidance_scale=1.0, height=SIDE, width=SIDE)
    card = read_model_card(saved(family), ModelSection(source="x"), sampling)
    model = open_model(PipelineModel(saved(family), card, sampling, 0.6, CPU), 2)
    seen: list[Any] = []
    hook = model.denoiser.register_forward_hook(lambda _, *call: seen.append(call), with_kwargs=True)
    model.generate(asked(family, plain=True))
    hook.remove()
    arguments, named, made = seen[0]
    noisy = arguments[0] if arguments else named["hidden_states"]
    if family in ("sd3", "flux"):  # they begin with noise alone
        assert float(named["timestep"].max()) == (1000 if family == "sd3" else 1)
        timesteps = torch.full((3,), model.timesteps - 1)
    else:
        timesteps = arguments[1].long().repeat(3)
    with torch.no_grad():
        found = model._predict(noisy.clone(), timesteps, model.prepare(asked(family)), None)  # type: ignore[attr-defined]
    torch.testing.assert_close(found, made[0].clone(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", PIPELINES)
def test_half_precision_with_lora(saved: Callable[[str], Path], family: str) -> None:
    sampling = SamplingSection(steps=2, guidance_scale=3.0, height=SIDE, width=SIDE)
    card = read_model_card(saved(family), ModelSection(source="x"), sampling)
    model = open_model(PipelineModel(saved(family), card, sampling, 0.6, CPU, "bfloat16"), 2)
    prepared = model.prepare(asked(family))
    step(model, prepared, 0.05)
    assert model.losses(prepared, *drawn(model, prepared)).dtype == torch.float32
    assert model.generate(asked(family, plain=True)).shape == (3, SIDE, SIDE, 3)


def test_what_cannot_be_opened(saved: Callable[[str], Path], tiny: Project) -> None:
    sampling = SamplingSection(steps=2, guidance_scale=3.0, height=SIDE, width=SIDE)
    card = read_model_card(saved("pixart"), ModelSection(source="x"), sampling)
    with pytest.raises(RunError, match="PixArtAlphaPipeline are not known"):
        open_model(PipelineModel(saved("pixart"), card, sampling, 0.6, CPU), 2)
    with pytest.raises(RunError, match="LoRA goes on pipelines"):
        Workshop(compile_spec(tiny.spec())).open_model(4)


def test_opening_gives_up_the_frozen_model_and_leaves_it_as_it_was(tiny: Project) -> None:
    workshop = Workshop(compile_spec(tiny.spec()))
    requests = asked("unet", 2, plain=True)
    before, _ = workshop.make(requests)
    held = weakref.ref(workshop.model)
    model = workshop.open_model()
    assert held() is None
    step(model, model.prepare(asked("unet")), 3.0)
    assert not np.array_equal(model.generate(requests), before)
    opened = weakref.ref(model)
    del model
    gc.collect()
    assert opened() is None
    assert np.array_equal(workshop.make(requests)[0], before)
