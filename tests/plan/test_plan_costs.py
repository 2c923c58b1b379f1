"""Estimates: sizes of networks against known figures, devices, and what a plan makes of them."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from surrogateshap.plan import device as devices
from surrogateshap.plan.compile import compile_spec
from surrogateshap.plan.costs import Costs, model_bytes
from surrogateshap.plan.device import Device, guess_device
from surrogateshap.plan.model import Stage
from surrogateshap.plan.networks import count_parameters, encoder_size, model_size
from tests.tiny import Project

SD_VAE = {"block_out_channels": [128, 256, 512, 512], "latent_channels": 4}
H100 = Device("cuda", "NVIDIA H100", 80 << 30, 990e12, 67e12)


def listed(folder: Path, components: dict[str, tuple[dict[str, Any], int]]) -> dict[str, int]:
    """Writes configs and returns a listing with as many parameters in float32 as given."""
    sizes = {}
    index: dict[str, Any] = {}
    for name, (config, parameters) in components.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "config.json").write_text(json.dumps(config))
        sizes[f"{name}/config.json"] = 1
        sizes[f"{name}/weights.safetensors"] = 4 * parameters
        index[name] = ["diffusers", "Any"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return sizes


@pytest.mark.parametrize(
    ("name", "config", "parameters", "vae", "pixels", "operations"),
    [
        # Multiply-adds as published or counted with fvcore; an operation is half of one.
        ("unet", {"block_out_channels": [320, 640, 1280, 1280]}, 860_000_000, SD_VAE, 512, 2 * 339e9),
        ("unet", {"block_out_channels": [128, 256, 256, 256]}, 35_700_000, None, 32, 2 * 6.1e9),
        ("transformer", {"patch_size": 2, "num_attention_heads": 16}, 675_000_000, SD_VAE, 256, 2 * 119e9),
    ],
    ids=["sd 1.5", "ddpm cifar-10", "dit-xl/2"],
)
def test_operations_of_known_denoisers(
    tmp_path: Path, name: str, config: Any, parameters: int, vae: Any, pixels: int, operations: float
) -> None:
    components = {name: (config, parameters)} | ({"vae": (vae, 84_000_000)} if vae else {})
    size = model_size(tmp_path, listed(tmp_path, components), None, pixels, pixels)
    assert size.denoiser.parameters == parameters
    assert 1 / 2 < size.denoiser.operations / operations < 2
    assert size.pipeline == (vae is not None)


def test_operations_of_known_encoders(tmp_path: Path) -> None:
    for config, parameters, operations in (
        ({"patch_size": 14, "hidden_size": 1024}, 304_000_000, 2 * 81e9),  # ViT-L/14
        ({"hidden_sizes": [256, 512, 1024, 2048]}, 25_600_000, 2 * 4.1e9),  # ResNet-50
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        size = encoder_size(tmp_path, {"model.safetensors": 4 * parameters})
        assert 1 / 3 < size.operations / operations < 3


def test_a_pipelines_decoder_counts_and_packed_latents_are_understood(tmp_path: Path) -> None:
    flux = {"patch_size": 1, "in_channels": 64, "num_attention_heads": 24, "attention_head_dim": 128}
    vae = {"block_out_channels": [128, 256, 512, 512], "latent_channels": 16}
    listing = listed(tmp_path, {"transformer": (flux | {"guidance_embeds": True}, 10**8), "vae": (vae, 84_000_000)})
    size = model_size(tmp_path, listing, None, 1024, 1024)
    assert size.denoiser.operations == 2 * 10**8 * 64 * 64
    assert 1 / 3 < size.decoder.operations / (4 * 2.5e12) < 3  # 2.5 TFLOP at 512 pixels


def test_parameters_are_counted_from_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float16)}, path)
    assert count_parameters(path) == 17
    assert count_parameters(tmp_path / "none") is None
    for data in (b"", b"\xff" * 8, (10**9).to_bytes(8, "little"), (2).to_bytes(8, "little") + b"[]x"):
        path.write_bytes(data)
        assert count_parameters(path) in (None, 0)
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**30], "data_offsets": [0, 10**30]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert count_parameters(path) == path.stat().st_size, "a header can't claim more than the file holds"


def test_parameters_of_the_tiny_model(tiny: Project) -> None:
    from diffusers import UNet2DModel

    unet = UNet2DModel.from_pretrained(tiny.folder / "model" / "unet")
    parameters = sum(parameter.numel() for parameter in unet.parameters())
    size = model_size(tiny.folder / "model", None, None, 8, 8)
    assert (size.parameters, size.denoiser.parameters) == (parameters, parameters)
    compiled = compile_spec(tiny.spec())
    assert model_bytes(compiled, "cuda") == 4 * parameters, "float32 is kept where the model is no pipeline"
    assert model_bytes(compiled, "cpu") == 4 * parameters


def test_estimates_follow_the_device_and_the_work(tiny: Project) -> None:
    def seconds(device: Device | None, **changes: Any) -> float | None:
        compiled = compile_spec(tiny.spec({key.replace("__", "."): value for key, value in changes.items()}))
        return Costs(compiled, None, device).time("generate:prompt", 10**6, 10**6).seconds

    slow = Device("cpu", "cpu", None, 1e6, 1e6)
    assert seconds(None) is None
    once, twice = seconds(slow), seconds(slow, sampling__steps=8)
    unguided = seconds(slow, sampling__guidance_scale=1.0)
    assert once is not None
    assert twice == pytest.approx(2 * once, rel=0.01)
    assert unguided == pytest.approx(once / 2, rel=0.01)
    assert (seconds(H100) or 0) < once / 100


def test_the_basis_names_device_and_uncertainty(tiny: Project) -> None:
    costs = Costs(compile_spec(tiny.spec()), None, H100)
    assert costs.time("generate:image", 5, 10).basis.startswith("estimated for NVIDIA H100: ")
    for stage in ("generate:prompt", "encode:image:eye", "reference:eye", "evaluate", "fit"):
        found = costs.time(stage, 1, 1)
        assert (found.seconds or 0) > 0
        assert found.basis.endswith("may be off by 3×")
    assert costs.time("evaluate", 5, 10).seconds == pytest.approx((costs.time("evaluate", 10, 10).seconds or 0) / 2)


def test_gpu_hours_count_every_worker_that_generates_or_encodes(tiny: Project) -> None:
    made = compile_spec(tiny.spec())

    def stage(kind: str, seconds: float | None, state: str = "new") -> Stage:
        words = {"id": kind, "title": kind, "unit": "images", "total": 1, "cached": 0, "because": "", "basis": ""}
        return Stage.model_validate({**words, "kind": kind, "seconds": seconds, "state": state})

    pending = [stage("generate", 100.0), stage("encode", 10.0), stage("flags", 5.0), stage("fit", 1000.0)]
    pending.append(stage("generate", 7000.0, "cached"))
    assert Costs(made, None, replace(H100, workers=4)).gpu_seconds(pending) == 445
    assert Costs(made, None, H100).gpu_seconds([*pending, stage("encode", None)]) is None
    assert Costs(made, None, Device("cpu", "cpu", None, 1e6, 1e6)).gpu_seconds(pending) == 0
    assert Costs(made, None, None).gpu_seconds(pending) is None


def smi(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: int = 0) -> None:
    """An `nvidia-smi` that prints a text."""
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\nprintf '{text}'\nexit {code}\n")
    (folder / "nvidia-smi").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "version", lambda _: "2.5.0")


def test_gpus_are_found_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, monkeypatch, "NVIDIA H100 80GB HBM3, 81559\\nTesla T4, 15360\\n")
    found = guess_device("auto", None)
    assert (found.kind, found.name, found.memory) == ("cuda", "NVIDIA H100 80GB HBM3", 81559 << 20)
    assert (found.half, found.workers) == (990e12, 2)
    assert guess_device(["cuda:1"], None).workers == guess_device("cuda", None, 1).workers == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert guess_device("cuda", None).name == "Tesla T4"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert guess_device("auto", 3).kind != "cuda"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert guess_device("cpu", 3).name == "cpu, 3 threads"
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert [guess_device("cpu", 2, workers).workers for workers in (1, 3, 9)] == [1, 3, 4]
    assert guess_device(["cpu", "cpu"], None).name == "cpu, 4 threads"
    assert guess_device("cpu", 3).single == 3 * guess_device("cpu", 1).single
    monkeypatch.setattr(devices, "version", lambda _: "2.5.0+cpu")
    assert guess_device("auto", 1).kind != "cuda"


@pytest.mark.parametrize(("text", "code"), [("", 0), ("no devices were found\\n", 6), ("garbage", 0), ("a, b\\n", 0)])
def test_a_broken_nvidia_smi_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: int
) -> None:
    smi(tmp_path, monkeypatch, text, code)
    found = guess_device("auto", 1)
    assert found.kind in ("cpu", "mps") or found.memory is None
