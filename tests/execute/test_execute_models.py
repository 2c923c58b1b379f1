"""Models and encoders: the sampler against plain loops and diffusers' own pieces, encoders against their definition."""

import io
import json
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel
from PIL import Image
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForImageClassification

from surrogateshap.errors import DeviceError, RunError
from surrogateshap.execute.device import choose_devices, device_name
from surrogateshap.execute.encoders.classifier import Classifier
from surrogateshap.execute.images import decode
from surrogateshap.execute.models import Request
from surrogateshap.execute.models.class_conditional import ClassConditionalModel
from surrogateshap.plan.cards import ModelCard, read_model_card
from surrogateshap.spec.model import ModelSection, SamplingSection
from tests.tiny import SIDE, Project, png

CPU = torch.device("cpu")
SOURCE = np.linspace(0, 255, SIDE * SIDE).astype(np.uint8).reshape(SIDE, SIDE, 1)
SCHEDULERS = ("model", "ddim", "dpmsolver++", "euler", "euler_a", "heun", "unipc", "lcm", "ddpm")


def card_of(folder: Path) -> ModelCard:
    return read_model_card(folder, ModelSection(source="model"), SamplingSection())


def model(folder: Path, strength: float = 0.5, card: ModelCard | None = None, **sampling: Any) -> ClassConditionalModel:
    section = SamplingSection(**({"steps": 4, "guidance_scale": 2.0} | sampling))
    return ClassConditionalModel(
        folder / "model",
        card or card_of(folder / "model"),
        section,
        strength,
        CPU,
    )


def requests(number: int, *, source: bool = False) -> list[Request]:
    return [Request(i % 4, 100 + i, SOURCE if source else None) for i in range(number)]


def plain_ddim(folder: Path, steps: int, scale: float, request: Request, kept: int) -> np.ndarray:
    """DDIM (Song et al. 2020, equation 12, η = 0) written out, with guidance; one image, without a scheduler's help."""
    unet = UNet2DModel.from_pretrained(folder / "model" / "unet")
    saved = DDIMScheduler.from_pretrained(folder / "model" / "scheduler")
    alphas = saved.alphas_cumprod
    stride = 1000 // steps
    times = [(i * stride) + 1 for i in reversed(range(steps))][steps - kept :]  # leading spacing, offset 1
    x = torch.randn((1, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(request.seed))
    if request.source is not None:
        clean = torch.from_numpy(request.source).permute(2, 0, 1)[None].float() / 127.5 - 1
        x = alphas[times[0]].sqrt() * clean + (1 - alphas[times[0]]).sqrt() * x
    label = torch.tensor([4 if request.condition is None else request.condition])
    with torch.no_grad():
        for time in times:
            noise = unet(x, time, class_labels=label).sample
            null = unet(x, time, class_labels=torch.tensor([4])).sample
            noise = null + scale * (noise - null)
            before = alphas[time - stride] if time - stride >= 0 else torch.tensor(1.0)
            clean = (x - (1 - alphas[time]).sqrt() * noise) / alphas[time].sqrt()
            x = before.sqrt() * clean + (1 - before).sqrt() * noise
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()[0]


def close(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.abs(one.astype(int) - other.astype(int)).max() <= 1)


@pytest.mark.parametrize("condition", [0, 3, None])
def test_generation_is_ddim_with_guidance(tiny_master: Path, condition: int | None) -> None:
    request = Request(condition, 7, None)
    (made,) = model(tiny_master).generate([request])
    assert close(made, plain_ddim(tiny_master, 4, 2.0, request, 4))


@pytest.mark.parametrize(("strength", "kept"), [(0.25, 1), (0.5, 2), (0.6, 2), (0.05, 1), (1.0, 4)])
def test_the_image_proxy_denoises_the_last_steps(tiny_master: Path, strength: float, kept: int) -> None:
    request = Request(2, 7, SOURCE)
    (made,) = model(tiny_master, strength).generate([request])
    assert close(made, plain_ddim(tiny_master, 4, 2.0, request, kept))


def test_little_strength_keeps_the_source_and_full_strength_forgets_it(tiny_master: Path) -> None:
    def distance(strength: float) -> float:
        made = model(tiny_master, strength, steps=20).generate([Request(1, seed, SOURCE) for seed in range(8)])
        return float(np.abs(made.astype(float) - SOURCE).mean())

    assert distance(0.05) < 15 < distance(0.5) < distance(1.0)
    one, other = (
        model(tiny_master, 1.0, steps=20).generate([Request(1, 0, source)]) for source in (SOURCE, 255 - SOURCE)
    )
    assert np.abs(one.astype(int) - other.astype(int)).mean() < 25


class Counting(torch.nn.Module):
    """Counts what a UNet evaluates."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.calls, self.images = inner, 0, 0

    def forward(self, sample: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        self.images += len(sample)
        return self.inner(sample, *arguments, **named)


@pytest.mark.parametrize(
    ("changes", "conditions", "source", "calls", "images"),
    [
        ({}, (0, 1, 2), False, 4, 24),
        ({"guidance_scale": 1.0}, (0, 1, 2), False, 4, 12),
        ({}, (None, None), False, 4, 8),
        ({}, (0, None), False, 4, 16),
        ({}, (0, 1), True, 2, 8),
        ({"scheduler": "heun"}, (0,), False, 7, 14),
        ({"scheduler": "heun"}, (0,), True, 3, 6),
    ],
)
def test_evaluations_of_the_denoiser(
    tiny_master: Path, changes: dict[str, Any], conditions: Sequence[int | None], source: bool, calls: int, images: int
) -> None:
    made = model(tiny_master, **changes)
    made.unet = counting = Counting(made.unet)
    made.generate([Request(condition, i, SOURCE if source else None) for i, condition in enumerate(conditions)])
    assert (counting.calls, counting.images) == (calls, images)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("source", [False, True], ids=["prompt", "image"])
def test_every_scheduler_makes_the_same_images_in_any_batch(tiny_master: Path, scheduler: str, source: bool) -> None:
    made = model(tiny_master, scheduler=scheduler)
    asked = requests(5, source=source)
    together = made.generate(asked)
    assert together.shape == (5, SIDE, SIDE, 1)
    assert together.dtype == np.uint8
    assert len({image.tobytes() for image in together}) == 5
    assert together.std() > 1
    for image, request in zip(together, asked, strict=True):
        assert close(made.generate([request])[0], image)
    assert close(made.generate(asked[::-1])[::-1], together)


@pytest.mark.parametrize("scheduler", ["euler", "heun", "unipc", "dpmsolver++"])
def test_samplers_agree_where_steps_are_many(tiny_master: Path, scheduler: str) -> None:
    """They solve one differential equation, so each leads from the same image and noise to the same place."""
    asked = requests(4, source=True)
    ours, ddim = (
        model(tiny_master, steps=50, scheduler=name).generate(asked).astype(float) for name in (scheduler, "ddim")
    )
    assert np.abs(ours - ddim).mean() < 0.25 * np.abs(ddim - SOURCE).mean()


def test_no_null_class_and_no_condition(tiny_master: Path) -> None:
    card = ModelCard(("a", "b", "c", "d", "e"), None, SIDE, SIDE, 1)
    made = model(tiny_master, card=card)
    made.generate([Request(4, 0, None)])
    with pytest.raises(RunError, match="no class that means") as caught:
        made.generate([Request(None, 0, None)])
    assert 'kind = "value"' in caught.value.remedy


@pytest.mark.parametrize(
    "saved",
    [{"_class_name": "UNet2DModel"}, {"_class_name": "DiffusionPipeline"}, {"_class_name": ["x"]}, {}, [], None],
)
def test_a_scheduler_that_is_none(tiny: Project, saved: Any) -> None:
    (tiny.folder / "model" / "scheduler" / "scheduler_config.json").write_text(json.dumps(saved))
    with pytest.raises((RunError, ValueError), match=r"the model in model can't be loaded|is not a JSON object"):
        model(tiny.folder)


@pytest.mark.parametrize("damage", ["cut", "noise", "gone"])
def test_damaged_weights(tiny: Project, damage: str) -> None:
    for folder in ("model/unet/diffusion_pytorch_model.safetensors", "eye/model.safetensors"):
        path = tiny.folder / folder
        whole = path.read_bytes()
        path.unlink()
        if damage != "gone":
            path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"\xff" * 100)
    with pytest.raises((RunError, ValueError), match=r"the model in model can't be loaded|no weights as safetensors"):
        model(tiny.folder)
    with pytest.raises(RunError, match="the encoder in eye can't be loaded"):
        Classifier(tiny.folder / "eye", CPU)


def test_pickled_weights_are_never_read(tiny: Project) -> None:
    for folder, safe, pickled in (
        ("model/unet", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"),
        ("eye", "model.safetensors", "pytorch_model.bin"),
    ):
        (tiny.folder / folder / safe).unlink()
        torch.save({}, tiny.folder / folder / pickled)
    with pytest.raises(ValueError, match="unet has no weights as safetensors"):
        model(tiny.folder)
    with pytest.raises(RunError):
        Classifier(tiny.folder / "eye", CPU)


def test_missing_weights_are_never_made_up(tiny: Project) -> None:
    for folder, name in (("model/unet", "diffusion_pytorch_model.safetensors"), ("eye", "model.safetensors")):
        weights = load_file(tiny.folder / folder / name)
        weights.pop(next(key for key in sorted(weights) if key.endswith(".weight")))
        save_file(weights, tiny.folder / folder / name, metadata={"format": "pt"})
    with pytest.raises(RunError, match="1 of its weights are missing or misshapen"):
        model(tiny.folder)
    with pytest.raises(RunError, match="1 of its weights are missing or misshapen"):
        Classifier(tiny.folder / "eye", CPU)


class TestClassifier:
    images = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 1), dtype=np.uint8)

    def test_features_feed_the_last_layer_and_probabilities_are_its_softmax(self, tiny_master: Path) -> None:
        view = Classifier(tiny_master / "eye", CPU).encode(self.images)
        reference = AutoModelForImageClassification.from_pretrained(tiny_master / "eye").eval()
        pixels = torch.from_numpy(self.images).permute(0, 3, 1, 2).float()
        pixels = torch.nn.functional.interpolate(pixels, (16, 16), mode="bilinear", antialias=True)
        pixels = (pixels.clamp(0, 255) / 255 - 0.5) / 0.5
        with torch.no_grad():
            logits = reference(pixels).logits
            head = reference.classifier[1]
            from_features = torch.from_numpy(view.features) @ head.weight.T + head.bias
        np.testing.assert_allclose(from_features, logits, atol=1e-4)
        np.testing.assert_allclose(view.probabilities, logits.softmax(dim=1), atol=1e-5)
        assert view.features.shape == (6, 12)
        assert view.probabilities.dtype == view.features.dtype == np.float32

    def test_images_do_not_depend_on_their_batch(self, tiny_master: Path) -> None:
        encoder = Classifier(tiny_master / "eye", CPU)
        whole = encoder.encode(self.images)
        for i in range(len(self.images)):
            one = encoder.encode(self.images[i : i + 1])
            np.testing.assert_allclose(one.features[0], whole.features[i], atol=1e-5)
            np.testing.assert_allclose(one.probabilities[0], whole.probabilities[i], atol=1e-6)

    def test_preprocessing_is_what_the_folder_says(self, tiny: Project) -> None:
        config = tiny.folder / "eye" / "preprocessor_config.json"
        saved = json.loads(config.read_text())
        seen = {Classifier(tiny.folder / "eye", CPU).encode(self.images).features.tobytes()}
        for change in (
            {"image_mean": [0.2]},
            {"do_rescale": False},
            {"do_normalize": False},
            {"size": {"shortest_edge": 12}},
            {"do_resize": False},
            {"resample": 0},
        ):
            config.write_text(json.dumps(saved | change))
            seen.add(Classifier(tiny.folder / "eye", CPU).encode(self.images).features.tobytes())
        assert len(seen) == 7

    def test_colour_images_are_seen_grey_by_a_grey_classifier(self, tiny_master: Path) -> None:
        encoder = Classifier(tiny_master / "eye", CPU)
        colour = np.repeat(self.images, 3, axis=3)
        np.testing.assert_allclose(encoder.encode(colour).features, encoder.encode(self.images).features, atol=1e-4)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "null",
            '{"size": {"height": "big"}}',
            '{"image_mean": "x"}',
            '{"image_mean": [1, 2], "image_std": [1, 2]}',
        ],
    )
    def test_preprocessing_that_makes_no_sense(self, tiny: Project, text: str) -> None:
        (tiny.folder / "eye" / "preprocessor_config.json").write_text(text)
        with pytest.raises(RunError, match="the encoder in eye can't be loaded"):
            Classifier(tiny.folder / "eye", CPU)


class TestDecode:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)

    def encoded(self, kind: str, mode: str, size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(self.pixels).convert(mode).resize(size).save(buffer, kind)
        return buffer.getvalue()

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
    def test_lossless_formats_come_back_as_they_were(self, kind: str) -> None:
        assert (decode(self.encoded(kind, "L"), SIDE, SIDE, 1, "x")[:, :, 0] == self.pixels).all()

    @pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_any_size_and_colour(self, kind: str, channels: int) -> None:
        made = decode(self.encoded(kind, "RGB", (19, 31)), SIDE, 6, channels, "x")
        assert made.shape == (SIDE, 6, channels)
        assert made.dtype == np.uint8
        assert made.std() > 10

    @pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1"])
    def test_any_mode(self, mode: str) -> None:
        assert decode(self.encoded("PNG", mode), SIDE, SIDE, 3, "x").std() > 10

    def test_sixteen_bits_are_scaled_and_not_cut_off(self) -> None:
        deep = Image.fromarray(np.linspace(0, 65535, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE))
        buffer = io.BytesIO()
        deep.save(buffer, "PNG")
        made = decode(buffer.getvalue(), SIDE, SIDE, 1, "x")
        np.testing.assert_allclose(made.ravel(), np.linspace(0, 255, SIDE * SIDE), atol=1)

    def test_numbers_without_a_known_white_are_refused(self) -> None:
        buffer = io.BytesIO()
        Image.fromarray(np.ones((SIDE, SIDE), np.float32)).save(buffer, "TIFF")
        with pytest.raises(RunError, match="not an image that can be read"):
            decode(buffer.getvalue(), SIDE, SIDE, 1, "x")

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"not an image",
            png(pixels)[:-40],
            png(pixels)[:30],
            b"%PDF-1.4",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        ],
    )
    def test_what_is_no_image(self, data: bytes) -> None:
        with pytest.raises(RunError, match="row 5 of data is not an image that can be read") as caught:
            decode(data, SIDE, SIDE, 1, "row 5 of data")
        assert "PNG" in caught.value.remedy

    @pytest.mark.parametrize("side", [9_500, 20_000, 60_000])
    def test_bombs(self, side: int) -> None:
        header = bytearray(png(self.pixels))
        header[16:24] = side.to_bytes(4, "big") * 2
        chunk = bytes(header[12:29])
        header[29:33] = zlib.crc32(chunk).to_bytes(4, "big")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(RunError, match="row 5 is too large an image"):
                decode(bytes(header), SIDE, SIDE, 1, "row 5")

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
    def test_damage_of_any_kind(self, kind: str) -> None:
        whole = self.encoded(kind, "L")
        rng = np.random.default_rng(0)
        outcomes = set()
        for _ in range(200):
            data = bytearray(whole)
            data[rng.integers(len(data))] = rng.integers(256)
            del data[rng.integers(len(data) // 2, 2 * len(data)) :]
            try:
                outcomes.add(decode(bytes(data), SIDE, SIDE, 1, "row 5").shape)
            except RunError as error:
                outcomes.add(error.message)
        not_readable, too_large = "row 5 is not an image that can be read", "row 5 is too large an image to open safely"
        assert {(SIDE, SIDE, 1), not_readable} <= outcomes <= {(SIDE, SIDE, 1), not_readable, too_large}


def test_devices() -> None:
    assert device_name(torch.device(choose_devices("cpu")[0])) == "cpu"
    assert torch.device(choose_devices("auto")[0]).type in ("cpu", "cuda", "mps")
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(DeviceError, match=f"no `{missing}` device is there; found: .*cpu") as caught:
        choose_devices(missing)
    assert caught.value.exit_code == 5
