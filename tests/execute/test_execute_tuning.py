"""What training and unlearning rest on: steps, new targets for forgotten rows, a step against the Fisher matrix."""

from typing import Any

import numpy as np
import pytest
import torch

from surrogateshap.execute.models import Request
from surrogateshap.execute.models.mirror import Mirror, step_against
from surrogateshap.execute.models.noise import TrainingSchedule
from surrogateshap.execute.models.redirect import Redirect
from surrogateshap.execute.models.training import Prepared, Trainable
from surrogateshap.execute.models.tuning import TrainingRows, Tuning, draw_steps, tune
from surrogateshap.execute.workshop import Workshop
from surrogateshap.plan.compile import compile_spec
from tests.tiny import SIDE, Project

SHAPE = (1, 4, 4)


def everything(number: int, work: Any) -> None:
    work(slice(0, number))


def in_twos(number: int, work: Any) -> None:
    for start in range(0, number, 2):
        work(slice(start, min(start + 2, number)))


def opened(project: Project) -> tuple[Trainable, TrainingRows, list[Request]]:
    """The tiny UNet, with ten rows of noise of two classes."""
    model = Workshop(compile_spec(project.spec())).open_model()
    images = np.random.default_rng(0).integers(0, 256, (10, SIDE, SIDE, 1), dtype=np.uint8)
    requests = [Request(at % 2, at, image) for at, image in enumerate(images)]

    def conditions(rows: Any, dropped: Any) -> list[Request]:
        return [Request(None if drop else row % 2, 0, None) for row, drop in zip(rows, dropped, strict=True)]

    return model, TrainingRows(model, lambda rows: [requests[row] for row in rows], conditions), requests


class Plain:
    """A schedule and rows of numbers, without a model."""

    def __init__(self, predicts: str) -> None:
        from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler

        flow = predicts == "flow"
        scheduler = FlowMatchEulerDiscreteScheduler() if flow else DDPMScheduler(prediction_type=predicts)
        self.schedule = TrainingSchedule(scheduler, flow=flow)
        self.table = torch.randn((12, *SHAPE), generator=torch.Generator().manual_seed(1))

    def clean(self, rows: list[int]) -> torch.Tensor:
        return self.table[rows]


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample", "flow"])
class TestRedirect:
    noise = torch.randn((3, *SHAPE), generator=torch.Generator().manual_seed(2))
    timesteps = torch.tensor([100, 500, 900])

    def made(self, predicts: str, others: list[int], neighbours: int) -> tuple[Plain, Redirect, Prepared]:
        plain: Any = Plain(predicts)
        of_row = np.arange(12) % 2
        redirect = Redirect(plain, plain, np.array([0, 1, 2]), np.array(others), neighbours, of_row)
        return plain, redirect, Prepared(plain.clean([0, 1, 2]), {}, {})

    def test_a_row_that_others_have_too_keeps_its_own_target(self, predicts: str) -> None:
        plain, redirect, prepared = self.made(predicts, [0, 1, 2, 5], 1)
        target, counts = redirect.target([0, 1, 2], prepared, self.timesteps, self.noise)
        _, own = plain.schedule.noised(prepared.clean, self.noise, self.timesteps)
        torch.testing.assert_close(target, own, rtol=1e-3, atol=1e-4)
        assert bool(((counts > 0) & (counts <= 1)).all())

    def test_targets_are_the_best_prediction_of_the_neighbours(self, predicts: str) -> None:
        plain, redirect, prepared = self.made(predicts, [4, 6, 8, 9, 10, 11, 3], 3)
        target, _ = redirect.target([0, 1, 2], prepared, self.timesteps, self.noise)
        noisy, _ = plain.schedule.noised(prepared.clean, self.noise, self.timesteps)
        for at in range(3):
            level = self.timesteps[at : at + 1]
            kept, added = (float(each) for each in plain.schedule.shares(level))
            same = [row for row in [4, 6, 8, 9, 10, 11, 3] if row % 2 == at % 2]
            near = sorted(same, key=lambda row: float((plain.table[row] - plain.table[at]).norm()))[:3]
            assert set(redirect.nearest(at).tolist()) == set(near)
            likely = [float(-((noisy[at] - kept * plain.table[row]) ** 2).sum() / (2 * added**2)) for row in near]
            weights = np.exp(np.array(likely) - max(likely))
            share = zip(weights / weights.sum(), near, strict=True)
            best = sum(float(weight) * plain.table[row] for weight, row in share)
            implied = (noisy[at] - kept * best) / added
            _, expected = plain.schedule.noised(best[None], implied[None], level)
            torch.testing.assert_close(target[at], expected[0], rtol=1e-3, atol=1e-4)

    def test_rows_under_other_conditions_are_taken_where_there_are_no_others(self, predicts: str) -> None:
        plain, redirect, _ = self.made(predicts, [3, 5, 4], 2)
        nearer = min([3, 5], key=lambda row: float((plain.table[row] - plain.table[0]).norm()))
        assert redirect.nearest(0).tolist() == [4, nearer]
        assert set(redirect.nearest(1).tolist()) == {3, 5}
        _, redirect, _ = self.made(predicts, [5, 3, 4], 2)
        assert redirect.nearest(0).tolist() == [4, nearer]


def test_steps_are_the_same_for_the_same_seed_and_drop_conditions() -> None:
    tuning = Tuning(steps=50, batch=16, learning_rate=0.1, drop_condition=0.25, schedule="cosine")
    one, same, other = (draw_steps(tuning, 1000, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a.timesteps, b.timesteps) and a.seed == b.seed for a, b in zip(one, same, strict=True))
    assert not torch.equal(one[0].timesteps, other[0].timesteps)
    levels = torch.cat([step.timesteps for step in one])
    assert int(levels.min()) >= 0
    assert int(levels.max()) < 1000
    assert 0.15 < np.mean([step.dropped.mean() for step in one]) < 0.35
    factors = [tuning.factor(step) for step in range(50)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert factors[-1] < 0.01


def test_training_does_not_depend_on_how_the_batch_is_cut(tiny: Project) -> None:
    model, rows, _ = opened(tiny)
    start, tuning = model.state(), Tuning(steps=4, batch=7, learning_rate=0.01)
    tune(model, rows, np.arange(10), tuning, 3, everything)
    whole = model.state()
    model.load(start)
    tune(model, rows, np.arange(10), tuning, 3, in_twos)
    for name, each in model.state().items():
        torch.testing.assert_close(each, whole[name], rtol=1e-2, atol=1e-4)
    model.load(start)
    tune(model, rows, np.arange(5), tuning, 3, everything)
    assert any(not torch.allclose(each, whole[name], atol=1e-3) for name, each in model.state().items())


def test_too_little_memory_halves_the_batch(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows, _ = opened(tiny)
    start, tuning = model.state(), Tuning(steps=2, batch=8, learning_rate=0.01)
    tune(model, rows, np.arange(10), tuning, 3, everything)
    whole, losses, sizes = model.state(), model.losses, []

    def scarce(prepared: Prepared, *more: Any) -> torch.Tensor:
        sizes.append(len(prepared))
        if len(prepared) > 2:
            raise torch.OutOfMemoryError
        return losses(prepared, *more)

    monkeypatch.setattr(model, "losses", scarce)
    model.load(start)
    workshop = Workshop(compile_spec(tiny.spec()))

    def batches(number: int, work: Any) -> None:
        for _ in workshop.in_batches("training", number, work):
            pass

    tune(model, rows, np.arange(10), tuning, 3, batches)
    assert sizes == [8, 4] + [2] * 8
    for name, each in model.state().items():
        torch.testing.assert_close(each, whole[name], rtol=1e-2, atol=1e-4)


def test_masked_weights_stay_zero(tiny: Project) -> None:
    model, rows, _ = opened(tiny)
    masks = {"conv_in.weight": torch.zeros_like(model.parameters()["conv_in.weight"])}
    masks["conv_in.weight"][:4] = 1
    tune(model, rows, np.arange(10), Tuning(steps=2, batch=4, learning_rate=0.1), 3, everything, masks=masks)
    weight = model.state()["conv_in.weight"]
    assert not weight[4:].any()
    assert weight[:4].all()


class TestMirror:
    def test_changes_of_losses_are_the_steps_times_the_gradients(self, tiny: Project) -> None:
        model, _, requests = opened(tiny)
        mirror = Mirror(model, 3, 11, in_twos)
        own = mirror.gradient(requests[:4], np.array([0.5, -1.0, 0.25, 0.25]))
        fisher = {name: each / 6 for name, each in mirror.fisher(requests[4:]).items()}
        step, length = step_against(own, fisher, 0.1)
        mean = sum(float(each.sum()) for each in fisher.values()) / sum(each.numel() for each in fisher.values())
        metric = {name: each + 0.1 * mean for name, each in fisher.items()}
        assert sum(float((metric[name] * each**2).sum()) for name, each in step.items()) == pytest.approx(1)
        for name, each in step.items():
            torch.testing.assert_close(each * length, own[name] / metric[name], rtol=1e-3, atol=1e-4)
        after, opposite = (mirror.losses(requests, mirror.beside(step, part)) for part in (1e-4, -1e-4))
        for request, change in zip(requests, (after - opposite) / 2e-4, strict=True):
            gradient = mirror.gradient([request], np.ones(1))
            expected = sum(float((gradient[name] * each).sum()) for name, each in step.items())
            assert change == pytest.approx(expected, rel=0.02, abs=0.2)

    @pytest.mark.parametrize("share", [0.001, 0.05])
    def test_the_step_changes_losses_by_the_share_that_is_asked(self, tiny: Project, share: float) -> None:
        model, _, requests = opened(tiny)
        mirror = Mirror(model, 2, 11, everything)
        own = mirror.gradient(requests, np.linspace(-1, 1, 10))
        step, _ = step_against(own, {name: torch.ones_like(each) for name, each in own.items()}, 0.1)
        factor = mirror.factor(requests, step, share)
        before = mirror.losses(requests, mirror.beside(step, 0.0))
        change = np.abs(mirror.losses(requests, mirror.beside(step, factor)) - before).mean() / before.mean()
        assert change == pytest.approx(share, rel=0.2)

    def test_squared_gradients_are_those_of_single_rows(self, tiny: Project) -> None:
        model, _, requests = opened(tiny)
        mirror = Mirror(model, 3, 11, everything)
        found = mirror.fisher(requests[:2])
        single = [mirror.gradient([request], np.ones(1)) for request in requests[:2]]
        for name, each in found.items():
            torch.testing.assert_close(each, sum(one[name] ** 2 for one in single), rtol=1e-3, atol=1e-6)

    def test_no_gradient_is_no_step(self) -> None:
        step, length = step_against({"x": torch.zeros(3)}, {"x": torch.ones(3)}, 0.1)
        assert length == 0
        assert not step["x"].any()
