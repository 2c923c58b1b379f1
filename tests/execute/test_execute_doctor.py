"""The environment as `doctor` finds it, calibration, and models that don't fit."""

import threading
from pathlib import Path

import pytest

from surrogateshap import api
from surrogateshap.errors import DeviceError, InterruptedRun
from surrogateshap.execute import doctor as examined
from surrogateshap.plan import device as devices
from surrogateshap.store import Store
from tests.tiny import Project


def test_the_environment(tmp_path: Path) -> None:
    import numpy

    health = api.doctor(tmp_path / "not" / "yet")
    assert health.usable
    assert health.versions["numpy"] == numpy.__version__
    assert health.devices[0].name == "cpu"
    assert set(health.chosen) <= {device.name for device in health.devices}
    assert 0 < (health.devices[0].free_bytes or 0) <= (health.devices[0].total_bytes or 0)
    assert (health.store_free_bytes or 0) > 0
    assert not (tmp_path / "not").exists()


def test_a_device_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    health = api.doctor(tmp_path, "cuda")
    assert not health.usable
    assert "no `cuda` device is there" in health.why


def test_missing_extras_come_with_their_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stated = [
        "numpy>=2.0",
        'nothing-like-it>=1.2; extra == "fid"',
        "nor.this; extra == 'fid'",
        'numpy; extra == "fid"',
        'absent-linter; extra == "dev"',
    ]
    monkeypatch.setattr(examined, "requires", lambda _: stated)
    (missing,) = api.doctor(tmp_path).missing
    assert (missing.extra, missing.packages) == ("fid", ("nothing-like-it", "nor.this"))
    assert missing.remedy == 'pip install "surrogateshap[fid]"'


def test_calibration_tells_later_plans_and_keeps_no_image(tiny: Project) -> None:
    spec = tiny.spec()
    before = {stage.id: stage.basis for stage in api.plan(spec).stages}
    assert all("may be off by 3×" in basis for stage, basis in before.items() if stage != "record")
    told: list[str] = []
    speeds = api.calibrate(spec, tiny.store, say=told.append)
    assert [speed.stage for speed in speeds] == ["generate:prompt", "encode:prompt:eye", "generate:image"]
    assert told == ["generating with the prompt proxy", "encoding with eye", "generating with the image proxy"]
    assert all(speed.images == 16 and speed.device == "cpu" for speed in speeds)
    assert not [*(tiny.store / "objects").rglob("*.*")]
    plan = api.plan(spec)
    assert all(stage.cached == 0 for stage in plan.stages)
    for stage in plan.stages:
        if stage.kind in ("generate", "encode"):
            assert "measured on cpu" in stage.basis
    image = next(stage for stage in plan.stages if stage.id == "generate:image")
    assert image.seconds == pytest.approx(72 * speeds[2].seconds_per_image)
    with Store.open(tiny.store) as store:
        assert store.runs() == []


def test_speeds_belong_to_what_was_measured(tiny: Project) -> None:
    api.calibrate(tiny.spec(), tiny.store)

    def basis(**changes: object) -> str:
        stages = tiny.plan({key.replace("__", "."): value for key, value in changes.items()}).stages
        return next(stage.basis for stage in stages if stage.id == "generate:prompt")

    assert basis(sampling__steps=40, sampling__guidance_scale=1.0) == "measured on cpu"
    assert "estimated" in basis(sampling__height=16, sampling__width=16)


def test_a_stopped_calibration_keeps_nothing_half_measured(tiny: Project) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedRun):
        api.calibrate(tiny.spec(), tiny.store, stop=stop)
    assert "estimated" in api.plan(tiny.spec()).stages[0].basis


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(
    tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr("surrogateshap.execute.memory.device_memory", lambda _: (1_000, 2_000))
    monkeypatch.setattr("surrogateshap.execute.workshop.Workshop.load_model", loaded)
    with pytest.raises(DeviceError) as caught:
        tiny.apply()
    assert "has 1.0 kB of 2.0 kB free" in caught.value.message
    assert "dtype" in caught.value.remedy
    assert caught.value.exit_code == 5


def test_a_plan_warns_of_what_will_not_fit(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def warned(memory: int) -> list[str]:
        monkeypatch.setattr(devices, "memory_total", lambda *_: memory)
        return [warning for warning in tiny.plan().warnings if "MB" in warning or "kB" in warning]

    plan = tiny.plan()
    assert any("`apply` will refuse it" in warning for warning in warned(1_000))
    assert any("batches of 16 images may take" in warning for warning in warned(plan.cost.memory_bytes - 1))
    assert warned(plan.cost.memory_bytes) == []
