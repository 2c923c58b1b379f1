"""Gradients, projections and their kernel against closed forms, brute force and refitted models."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from surrogateshap.execute.models import Request
from surrogateshap.execute.models.noise import TrainingSchedule
from surrogateshap.execute.models.pipeline import PipelineModel
from surrogateshap.execute.models.training import Prepared, Trainable, open_model
from surrogateshap.execute.workshop import Workshop
from surrogateshap.methods import gradients, projection
from surrogateshap.methods.gradients import (
    content_seed,
    even_timesteps,
    image_features,
    journey_features,
    ridge_scores,
    row_gradients,
    sizes,
)
from surrogateshap.methods.projection import Kind, Projection
from surrogateshap.plan.cards import read_model_card
from surrogateshap.plan.compile import compile_spec
from surrogateshap.spec.model import ModelSection, SamplingSection
from tests.pipelines import PROMPTS
from tests.pipelines import SIDE as PIPELINE_SIDE
from tests.tiny import SIDE, Project

WIDTH = 5


class LinearModel:
    """Its "loss" is a linear model's prediction xᵀθ, and what it predicts of noised rows is W·x."""

    timesteps = 10
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.weight = torch.nn.Parameter(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(1)))
        self.theta = torch.nn.Parameter(torch.zeros(WIDTH))
        self.square = False

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        return {"weight": self.weight} if self.square else {"theta": self.theta}

    def prepare(self, requests: list[Request]) -> Prepared:
        sources = np.stack([one.source for one in requests if one.source is not None]).reshape(-1, WIDTH)
        return Prepared(torch.from_numpy(sources).float() / 50, {}, {})

    def losses(self, prepared: Prepared, _: Any, __: Any, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return prepared.clean @ parameters["theta"]

    def outputs(
        self, prepared: Prepared, timesteps: torch.Tensor, noise: torch.Tensor, parameters: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        return (prepared.clean + timesteps[:, None] / 10 * noise) @ parameters["weight"].T


def vectors(count: int, seed: int = 0) -> list[Request]:
    rng = np.random.default_rng(seed)
    return [Request(0, at, rng.integers(0, 256, (1, WIDTH, 1), np.uint8)) for at in range(count)]


def once(features: np.ndarray, size: int = 3) -> Callable[[], Iterable[np.ndarray]]:
    return lambda: (features[start : start + size] for start in range(0, len(features), size))


def plain(model: Any) -> Projection:
    return Projection(sizes(model), "sparse", 10**6, 0)


def test_trak_on_a_linear_model_is_the_influence_of_labels_on_a_ridge_regression() -> None:
    """qᵀ(XᵀX + λI)⁻¹x is by how much a prediction moves with one row's label: seen by fitting again."""
    model: Any = LinearModel()
    features = image_features(model, vectors(12), 4, "loss", plain(model), 0).detach().numpy()
    query = image_features(model, vectors(2, 7), 4, "loss", plain(model), 0).detach().numpy()
    np.testing.assert_allclose(features, model.prepare(vectors(12)).clean, rtol=1e-6)
    found = ridge_scores(once(features), np.ones(12, np.int64), query, 0.3)
    ridge = 0.3 * (features**2).sum() / WIDTH
    rng = np.random.default_rng(0)
    labels = rng.normal(size=12)

    def predictions(labels: np.ndarray) -> np.ndarray:
        tall = np.vstack([features, np.sqrt(ridge) * np.eye(WIDTH)])
        return query @ np.linalg.lstsq(tall, np.concatenate([labels, np.zeros(WIDTH)]), rcond=None)[0]

    for row in range(12):
        moved = predictions(labels + np.eye(12)[row]) - predictions(labels)
        np.testing.assert_allclose(found[:, row], moved, rtol=1e-4, atol=1e-7)


def test_d_trak_on_a_linear_denoiser_is_its_closed_form() -> None:
    """∇|W·x|²/d = 2·W·x·xᵀ/d, of noised rows, averaged over timesteps."""
    model: Any = LinearModel()
    model.square = True
    requests = vectors(3)
    found = image_features(model, requests, 2, "square", plain(model), 9).numpy().reshape(3, WIDTH, WIDTH)
    clean, weight = model.prepare(requests).clean.numpy(), model.weight.detach().numpy()
    assert even_timesteps(2, 10) == [2, 7]
    for row, request in enumerate(requests):
        generator = torch.Generator().manual_seed(content_seed(request, 9))
        expected = np.zeros((WIDTH, WIDTH))
        for timestep in (2, 7):
            noisy = clean[row] + timestep / 10 * torch.randn(WIDTH, generator=generator).numpy()
            expected += weight @ np.outer(noisy, noisy) * 2 / WIDTH / 2
        np.testing.assert_allclose(found[row], expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["sparse", "rademacher", "normal"])
def test_projections_are_linear_keep_inner_products_and_draw_the_same_for_every_batch(kind: Kind) -> None:
    rng = np.random.default_rng(0)
    shapes = {"b": (7, 11), "a": (1200,), "c": (5, 5, 60)}
    made = {name: torch.from_numpy(rng.normal(size=(6, *shape))).float() for name, shape in shapes.items()}
    made = {name: torch.cat([each, each[:1] + each[1:2]]) for name, each in made.items()}
    number = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    flat = torch.cat([made[name].flatten(1) for name in sorted(made)], 1)
    projected = Projection(number, kind, 1001, 4)
    found = projected.project(made)
    assert found.shape == (7, 1001)
    torch.testing.assert_close(found[6], found[0] + found[1], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(projected.project({n: each[2:3] for n, each in made.items()})[0], found[2])
    truth, size = flat @ flat.T, flat.norm(dim=1)
    errors = (found @ found.T - truth) / size[:, None] / size
    assert errors.abs().max() < 5 / 1001**0.5
    seeds = [Projection(number, kind, 256, seed).project(made) for seed in range(40)]
    mean = torch.stack([each @ each.T for each in seeds]).mean(0)
    assert ((mean - truth) / size[:, None] / size).abs().max() < 5 / (256 * 40) ** 0.5
    assert not torch.equal(seeds[0], seeds[1])
    assert torch.equal(Projection(number, kind, 10**4, 0).project(made), flat)
    assert (projected.project({name: each * 0 for name, each in made.items()}) == 0).all()


def test_a_matrix_drawn_in_blocks_keeps_inner_products_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "_ENTRIES", 5000)
    monkeypatch.setattr(projection, "_PARAMETERS", 100)
    made = {"a": torch.randn((3, 700), generator=torch.Generator().manual_seed(0))}
    kinds: tuple[Kind, ...] = ("sparse", "rademacher", "normal")
    for kind in kinds:
        found = Projection({"a": 700}, kind, 600, 1).project(made)
        assert (found @ found.T / (made["a"] @ made["a"].T).diagonal().mean()).diagonal().numpy() == pytest.approx(
            (made["a"].norm(dim=1) ** 2 / (made["a"].norm(dim=1) ** 2).mean()).numpy(), abs=0.3
        )


@pytest.mark.parametrize("width", [4, 20])
def test_ridge_scores_are_those_of_the_kernel_written_out(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features, queries = rng.normal(size=(10, width)).astype(np.float32), rng.normal(size=(3, width))
    features[4] = 0
    counts = rng.integers(1, 4, 10)
    whole = np.repeat(features.astype(np.float64), counts, axis=0)
    ridge = 0.2 * (whole**2).sum() / min(10, width)
    expected = queries @ np.linalg.inv(whole.T @ whole + ridge * np.eye(width)) @ features.T
    for held in (gradients._HELD, 4 * width):
        monkeypatch.setattr(gradients, "_HELD", held)
        found = ridge_scores(once(features), counts, queries, 0.2)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
        assert (found[:, 4] == 0).all()
    assert (ridge_scores(once(features * 0), counts, queries, 0.2) == 0).all()


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample", "flow"])
def test_split_is_the_inverse_of_noising(predicts: str) -> None:
    from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

    flow = predicts == "flow"
    scheduler = FlowMatchEulerDiscreteScheduler() if flow else DDIMScheduler(prediction_type=predicts)
    schedule = TrainingSchedule(scheduler, flow=flow)
    clean, noise = torch.randn((2, 3, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([40, 500, 900])
    noisy, target = schedule.noised(clean, noise, timesteps)
    again = schedule.split(noisy, target, timesteps)
    torch.testing.assert_close(again[0], clean, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(again[1], noise, rtol=1e-3, atol=1e-4)


@pytest.fixture
def opened(tiny: Project, saved: Callable[[str], Path]) -> Callable[[str], Trainable]:
    def make(kind: str) -> Trainable:
        if kind == "unet":
            return Workshop(compile_spec(tiny.spec())).open_model()
        sampling = SamplingSection(steps=2, guidance_scale=3.0, height=PIPELINE_SIDE, width=PIPELINE_SIDE)
        card = read_model_card(saved(kind), ModelSection(source="x"), sampling)
        return open_model(PipelineModel(saved(kind), card, sampling, 0.6, torch.device("cpu")), 2, seed=1)

    return make


def pictures(kind: str, rows: int = 3) -> list[Request]:
    rng = np.random.default_rng(0)
    side, channels = (SIDE, 1) if kind == "unet" else (PIPELINE_SIDE, 3)
    conditions: list[Any] = [0, 1, 3] if kind == "unet" else list(PROMPTS)
    return [
        Request(conditions[at], 40 + at, rng.integers(0, 256, (side, side, channels), np.uint8)) for at in range(rows)
    ]


@pytest.mark.parametrize("kind", ["unet", "sd", "sdxl", "sd3", "flux"])
def test_journeys_start_where_the_images_do(opened: Callable[[str], Trainable], kind: str) -> None:
    model, requests = opened(kind), pictures(kind)
    seen: list[Any] = []
    hook = model.denoiser.register_forward_pre_hook(lambda _, *call: seen.append(call), with_kwargs=True)
    model.generate([Request(one.condition, one.seed, None) for one in requests])
    hook.remove()
    arguments, named = seen[0]
    first = (arguments[0] if arguments else named["hidden_states"])[:3]
    scaled = getattr(model.model, "pipeline", SimpleNamespace(scheduler=None)).scheduler
    if type(scaled).__name__.startswith("EulerDiscrete"):
        first = first * (float(scaled.sigmas[0]) ** 2 + 1) ** 0.5 / float(scaled.init_noise_sigma)
    torch.testing.assert_close(first, model.noise(requests), rtol=1e-4, atol=1e-4)
    found = journey_features(model, requests, 3, 2.0, Projection(sizes(model), "sparse", 64, 0), 0)
    alone = journey_features(model, requests[1:2], 3, 2.0, Projection(sizes(model), "sparse", 64, 0), 0)
    assert found.shape == (3, 64)
    torch.testing.assert_close(found[1], alone[0], rtol=1e-2, atol=1e-3 * float(found.abs().max()))


@pytest.mark.parametrize("kind", ["unet", "sd"])
def test_features_do_not_depend_on_the_batch_and_equal_images_have_equal_ones(
    opened: Callable[[str], Trainable], kind: str
) -> None:
    model, requests = opened(kind), pictures(kind)
    requests[2] = Request(requests[0].condition, 99, requests[0].source)
    for function in ("loss", "square"):
        projected = Projection(sizes(model), "sparse", 128, 0)
        found = image_features(model, requests, 2, function, projected, 0)  # type: ignore[arg-type]
        alone = [image_features(model, [one], 2, function, projected, 0)[0] for one in requests]  # type: ignore[arg-type]
        torch.testing.assert_close(found, torch.stack(alone), rtol=1e-3, atol=1e-4 * float(found.abs().max()))
        torch.testing.assert_close(found[2], found[0], rtol=1e-4, atol=1e-5 * float(found.abs().max()))
        assert float((found[1] - found[0]).abs().max()) > 1e-3 * float(found.abs().max())


def test_row_gradients_are_those_of_autograd(opened: Callable[[str], Trainable]) -> None:
    model = opened("unet")
    prepared = model.prepare(pictures("unet", 2))
    timesteps = torch.tensor([100, 700])
    noise = torch.randn(prepared.clean.shape, generator=torch.Generator().manual_seed(0))
    found = row_gradients(model, prepared, timesteps, noise, "square")
    for row in range(2):
        alone = model.outputs(prepared, timesteps, noise)[row].square().mean()
        for name, each in zip(found, torch.autograd.grad(alone, list(model.parameters().values())), strict=True):
            torch.testing.assert_close(found[name][row], each, rtol=1e-3, atol=1e-6)
