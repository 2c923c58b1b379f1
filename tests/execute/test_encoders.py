"""Encoders of every kind against their definition, or against the library's own classes, on the same images."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from surrogateshap.errors import MissingExtraError, RunError
from surrogateshap.execute.encoders import Encoder
from surrogateshap.execute.encoders.backbone import Backbone
from surrogateshap.execute.encoders.classifier import Classifier
from surrogateshap.execute.encoders.clip import Clip
from surrogateshap.execute.encoders.factory import make_encoder
from surrogateshap.execute.encoders.inception import Inception
from surrogateshap.execute.encoders.lpips import LARGEST, SMALLEST, Lpips, fitting
from surrogateshap.execute.encoders.pixels import Pixels
from surrogateshap.execute.encoders.preprocessing import preprocessing_of
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.encoders import LPIPS_FEATURES, LPIPS_LAYERS, VGG16
from tests import encoders
from tests.encoders import LENGTH

CPU = torch.device("cpu")
TEXTS = ("a photo of zero", "dark", "a bright photo of three three three three three three", "unheard of")


def smooth(number: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    """Images (N, H, W, C) with something to see at every scale."""
    rng = np.random.default_rng([number, height, width, channels])
    coarse = torch.from_numpy(rng.uniform(0, 255, (number, channels, 5, 6)))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    noise = torch.from_numpy(rng.normal(0, 12, (number, channels, height, width)))
    return (fine + noise).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


IMAGES = smooth(4, 20, 28)


def seen_by(folder: Path, images: np.ndarray = IMAGES) -> torch.Tensor:
    return preprocessing_of(folder, 3)(torch.from_numpy(images).permute(0, 3, 1, 2))


# Preprocessing


@pytest.mark.parametrize("shape", [(40, 40), (40, 56), (61, 33), (10, 14)])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("CLIPImageProcessorPil", {"size": {"shortest_edge": 24}, "crop_size": {"height": 20, "width": 22}}),
        ("CLIPImageProcessorPil", {"size": {"shortest_edge": 20}, "crop_size": {"height": 26, "width": 25}}),
        ("CLIPImageProcessorPil", {"do_resize": False, "crop_size": {"height": 16, "width": 16}}),
        ("BitImageProcessorPil", {"size": {"shortest_edge": 26}, "crop_size": {"height": 20, "width": 20}}),
        ("ViTImageProcessorPil", {"size": {"height": 20, "width": 24}}),
        ("SiglipImageProcessorPil", {"size": {"height": 20, "width": 20}}),
        ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 24}}),
        ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 24}, "crop_pct": 0.6}),
        ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 384}}),
        ("DeiTImageProcessorPil", {"size": {"height": 28, "width": 28}, "crop_size": {"height": 20, "width": 20}}),
    ],
)
def test_preprocessing_is_that_of_the_library(
    tmp_path: Path, kind: str, settings: dict[str, Any], shape: tuple[int, int]
) -> None:
    processor = getattr(transformers, kind)(**settings)
    processor.save_pretrained(tmp_path)
    images = smooth(2, *shape)
    wanted = torch.as_tensor(np.stack(processor(list(images), return_tensors="np")["pixel_values"]))
    found = seen_by(tmp_path, images)
    assert found.shape == wanted.shape
    # Pillow rounds to whole numbers, in between and in the end: about two levels of 255 in all.
    levels = (found - wanted).abs() * torch.tensor(processor.image_std).view(1, 3, 1, 1) * 255
    assert levels.max() < 2.5
    assert levels.mean() < 0.5


def test_sizes_of_one_number_are_what_each_processor_makes_of_them(tmp_path: Path) -> None:
    def shape(**saved: Any) -> tuple[int, ...]:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(saved))
        return tuple(seen_by(tmp_path, smooth(1, 40, 60)).shape[2:])

    assert shape(size=24) == (24, 24)
    assert shape(size=24, image_processor_type="CLIPImageProcessor") == (24, 36)
    assert shape(size=24, crop_size=20, image_processor_type="CLIPImageProcessor") == (20, 20)
    assert shape(size=24, crop_size=20, do_center_crop=False, image_processor_type="CLIPImageProcessor") == (24, 36)
    assert shape(size=24, feature_extractor_type="ConvNextFeatureExtractor") == (24, 24)
    assert shape() == (40, 60)


def test_processors_saved_inside_others(tmp_path: Path) -> None:
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": encoders.PROCESSING}))
    nested = seen_by(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(encoders.PROCESSING))
    assert torch.equal(nested, seen_by(tmp_path))


@pytest.mark.parametrize(
    "settings",
    [{"size": {"shortest_edge": 0}}, {"size": {}}, {"crop_size": {"height": "x"}}, {"size": True}, {"crop_pct": 0}],
)
def test_preprocessing_that_makes_no_sense(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = encoders.save_resnet(tmp_path / "net")
    (folder / "preprocessor_config.json").write_text(json.dumps(encoders.PROCESSING | settings))
    with pytest.raises(RunError, match="the encoder in net can't be loaded"):
        Backbone(folder, CPU)


# Classifiers and backbones


def test_a_classifier_that_crops(tmp_path: Path) -> None:
    folder = encoders.save_vit(tmp_path / "net", classes=3)
    view = Classifier(folder, CPU).encode(IMAGES)
    model = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(pixel_values=seen_by(folder)).logits
    np.testing.assert_allclose(view.probabilities, logits.softmax(dim=1), atol=1e-5)


def test_images_that_a_network_cannot_take(tmp_path: Path) -> None:
    folder = encoders.save_vit(tmp_path / "net", classes=3)
    uncropped = encoders.PROCESSING | {"do_center_crop": False}
    (folder / "preprocessor_config.json").write_text(json.dumps(uncropped))
    Classifier(folder, CPU).encode(smooth(1, 20, 20))
    with pytest.raises(RunError, match="the encoder in net can't take images of 20 × 28 pixels") as error:
        Classifier(folder, CPU).encode(IMAGES)
    assert "preprocessor_config.json" in error.value.remedy


@pytest.mark.parametrize("kind", ["dinov2", "vit", "vit without pooler", "classifier", "resnet"])
def test_backbones(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "net"
    if kind == "dinov2":
        encoders.save_dinov2(folder)
    elif kind == "resnet":
        encoders.save_resnet(folder)
    else:
        encoders.save_vit(folder, pooler=kind == "vit", classes=3 if kind == "classifier" else 0)
    view = Backbone(folder, CPU).encode(IMAGES)
    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        output = model(pixel_values=seen_by(folder))
    pooled = kind in ("dinov2", "vit", "resnet")
    wanted = output.pooler_output.flatten(1) if pooled else output.last_hidden_state[:, 0]
    np.testing.assert_allclose(view.features, wanted, atol=1e-5)
    assert view.features.dtype == np.float32
    assert view.probabilities.shape == (4, 0)
    assert view.features.std(axis=0).min() > 1e-4


def test_a_backbone_lacks_nothing_but_its_pooler(tmp_path: Path) -> None:
    folder = encoders.save_vit(tmp_path / "net")
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in sorted(weights) if name.startswith("layers.0") or "layer.0" in name))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match="1 of its weights are missing or misshapen"):
        Backbone(folder, CPU)


def test_half_precision_weights_are_used_in_single_precision(tmp_path: Path) -> None:
    folder = encoders.save_dinov2(tmp_path / "net")
    whole = Backbone(folder, CPU).encode(IMAGES).features
    AutoModel.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    half = Backbone(folder, CPU)
    assert next(half._inner.network.parameters()).dtype == torch.float32
    np.testing.assert_allclose(half.encode(IMAGES).features, whole, atol=0.2)


# CLIP and its kin


@pytest.fixture(scope="module", params=["clip", "siglip"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nets") / str(request.param)
    return encoders.save_clip(folder) if request.param == "clip" else encoders.save_siglip(folder)


def by_library(folder: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Image features, text features and logits (N, C) as transformers' own forward pass gives them."""
    model, words = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    siglip = folder.name == "siglip"
    padding = "max_length" if siglip else True
    inputs = words(list(TEXTS), padding=padding, truncation=True, max_length=LENGTH, return_tensors="pt")
    mask = {} if siglip else {"attention_mask": inputs["attention_mask"]}
    with torch.no_grad():
        output = model(pixel_values=seen_by(folder), input_ids=inputs["input_ids"], **mask)
    return output.image_embeds, output.text_embeds, output.logits_per_image


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_features_of_images_and_texts(shared: Path) -> None:
    encoder = Clip(shared, CPU)
    view, texts = encoder.encode(IMAGES), encoder.encode_texts(TEXTS)
    images, wanted, _ = by_library(shared)
    np.testing.assert_allclose(unit(view.features), images, atol=1e-5)
    np.testing.assert_allclose(unit(texts), wanted, atol=1e-5)
    assert view.features.shape == texts.shape
    assert view.probabilities.shape == (4, 0)
    assert np.abs(np.linalg.norm(view.features, axis=1) - 1).max() > 1e-3, "features are not scaled"


def test_zero_shot_probabilities_are_softmaxes_of_each_attribute(shared: Path) -> None:
    view = Clip(shared, CPU, TEXTS, (0, 0, 1, 1)).encode(IMAGES)
    logits = by_library(shared)[2]
    wanted = torch.cat([logits[:, :2].softmax(dim=1), logits[:, 2:].softmax(dim=1)], dim=1)
    np.testing.assert_allclose(view.probabilities, wanted, atol=1e-5)
    assert view.probabilities.std(axis=0).max() > 1e-3
    whole = Clip(shared, CPU, TEXTS, (0,) * 4).encode(IMAGES)
    np.testing.assert_allclose(whole.probabilities, logits.softmax(dim=1), atol=1e-5)
    np.testing.assert_array_equal(whole.features, view.features)


def test_texts_do_not_depend_on_each_other_and_long_ones_are_cut_off(shared: Path) -> None:
    encoder = Clip(shared, CPU)
    together = encoder.encode_texts(TEXTS)
    for position, text in enumerate(TEXTS):
        np.testing.assert_allclose(encoder.encode_texts([text])[0], together[position], atol=1e-5)
    longer = encoder.encode_texts([TEXTS[2] + " three" * 400, TEXTS[2] + " three"])
    np.testing.assert_allclose(longer[0], longer[1], atol=1e-5)
    many = encoder.encode_texts(TEXTS * 70)
    np.testing.assert_allclose(many[-4:], together, atol=1e-5)


def test_a_clip_with_a_damaged_tokenizer(tmp_path: Path) -> None:
    folder = encoders.save_clip(tmp_path / "net")
    for path in (folder / "tokenizer.json", folder / "tokenizer_config.json"):
        path.write_text("{")
    with pytest.raises(RunError, match="the encoder in net can't be loaded"):
        Clip(folder, CPU)
    with pytest.raises(RunError, match="the encoder in net can't be loaded"):
        Clip(encoders.save_vit(tmp_path / "other" / "net"), CPU)


# LPIPS


def lpips_by_definition(path: Path, one: np.ndarray, other: np.ndarray) -> float:
    """Zhang et al. 2018, equation 1, layer by layer, with torch's modules."""
    weights = load_file(path)
    places = list(VGG16)
    distance = 0.0
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    a, b = ((torch.from_numpy(x)[None].permute(0, 3, 1, 2).float() / 255 * 2 - 1 - shift) / scale for x in (one, other))
    for index in places:
        if index is None:
            a, b = (torch.nn.MaxPool2d(2, 2)(x) for x in (a, b))
            continue
        weight, bias = weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]
        a, b = (torch.relu(torch.nn.functional.conv2d(x, weight, bias, padding=1)) for x in (a, b))
        if index in LPIPS_LAYERS:
            linear = weights[f"lin{LPIPS_LAYERS.index(index)}"]
            normed = [x / (torch.sqrt((x**2).sum(dim=1, keepdim=True)) + 1e-10) for x in (a, b)]
            difference = (normed[0] - normed[1]) ** 2
            distance += float(torch.nn.functional.conv2d(difference, linear).mean())
    return distance


def test_squared_distances_are_lpips(tmp_path: Path) -> None:
    path = encoders.save_lpips(tmp_path / "lpips.safetensors")
    images = smooth(9, 48, 40)
    features = Lpips(path, CPU).encode(images).features.astype(np.float64)
    assert features.shape == (9, LPIPS_FEATURES)
    pairs = [(i, j) for i in range(9) for j in range(i)]
    wanted = np.array([lpips_by_definition(path, images[i], images[j]) for i, j in pairs])
    found = np.array([((features[i] - features[j]) ** 2).sum() for i, j in pairs])
    assert wanted.min() > 0.01
    error = found / wanted - 1
    bound = (2 / LPIPS_FEATURES) ** 0.5
    assert np.abs(error).max() < 4 * bound
    assert np.sqrt((error**2).mean()) < 1.5 * bound
    assert abs(found.mean() / wanted.mean() - 1) < bound


def test_activations_are_exact_and_their_projection_keeps_its_seed(tmp_path: Path) -> None:
    path = encoders.save_lpips(tmp_path / "lpips.safetensors")
    encoder = Lpips(path, CPU)
    images = smooth(2, 32, 32)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    whole = torch.cat([each.flatten(1) for each in encoder.activations(pixels)], dim=1).double()
    exact = float((whole[0] - whole[1]).square().sum())
    assert exact == pytest.approx(lpips_by_definition(path, *images), rel=1e-4)
    where, signs = encoder._sketch(0, 5)
    assert where.tolist() == [3503, 1524, 1359, 492, 1179]
    assert signs.tolist() == [1, -1, -1, 1, -1]
    counts = torch.bincount(encoder._sketch(0, 400_000)[0], minlength=LPIPS_FEATURES)
    assert counts.min() > 45
    assert counts.max() < 160
    assert abs(float(encoder._sketch(0, 400_000)[1].mean())) < 0.01


def test_sizes_that_lpips_compares_at(tmp_path: Path) -> None:
    assert fitting(64, 100) == (64, 100)
    assert fitting(512, 512) == (LARGEST, LARGEST)
    assert fitting(1024, 512) == (LARGEST, LARGEST // 2)
    assert fitting(8, 8) == (SMALLEST, SMALLEST)
    encoder = Lpips(encoders.save_lpips(tmp_path / "lpips.safetensors"), CPU)
    tiny = smooth(2, 8, 8, 1)
    colour = encoder.encode(np.repeat(tiny, 3, axis=3)).features
    np.testing.assert_allclose(encoder.encode(tiny).features, colour, atol=1e-5)
    many = encoder.encode(np.repeat(tiny, 20, axis=0)).features
    np.testing.assert_allclose(many[-1], colour[1], atol=1e-4)


def test_negative_linear_weights_are_no_distance(tmp_path: Path) -> None:
    path = encoders.save_lpips(tmp_path / "lpips.safetensors")
    weights = load_file(path)
    save_file(weights | {"lin3": -weights["lin3"]}, path)
    with pytest.raises(RunError, match="its linear weights are negative"):
        Lpips(path, CPU)
    path.write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"the encoder in lpips.safetensors can't be loaded"):
        Lpips(path, CPU)


# Pixels and Inception


def test_pixels_are_the_image_scaled() -> None:
    images = smooth(3, 20, 20)
    view = Pixels(20, CPU).encode(images)
    np.testing.assert_allclose(view.features, images.reshape(3, -1) / 255, atol=1e-6)
    assert view.probabilities.shape == (3, 0)
    small = Pixels(8, CPU).encode(IMAGES).features
    assert small.shape == (4, 8 * 8 * 3)
    scaled = torch.nn.functional.interpolate(
        torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float(), (8, 8), mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(small.reshape(4, 8, 8, 3), scaled.permute(0, 2, 3, 1) / 255, atol=1e-5)


class FakeInception(torch.nn.Module):
    """With the interface of torch-fidelity's, small enough to be made here."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str | None = None) -> None:
        super().__init__()
        self.asked = features_list
        self.fc = torch.nn.Linear(3, 5)
        if feature_extractor_weights_path is not None:
            self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        assert x.dtype == torch.uint8
        pooled = x.float().mean(dim=(2, 3)) / 255
        found = {"2048": pooled, "logits_unbiased": pooled @ self.fc.weight.T}
        return tuple(found[name] for name in self.asked)


def test_inception_through_torch_fidelity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.ModuleType("torch_fidelity")
    module: Any = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = FakeInception
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    weight = torch.arange(15.0).view(5, 3)
    save_file({"fc.weight": weight, "fc.bias": torch.ones(5)}, tmp_path / "inception.safetensors")
    view = Inception(tmp_path / "inception.safetensors", CPU).encode(smooth(2, 9, 9, 1))
    assert view.features.shape == (2, 3)
    logits = torch.from_numpy(view.features) @ weight.T
    np.testing.assert_allclose(view.probabilities, logits.softmax(dim=1), atol=1e-6)
    grey = Inception(tmp_path / "inception.safetensors", CPU).encode(IMAGES)
    assert grey.probabilities.shape == (4, 5)
    save_file({"fc.weight": weight}, tmp_path / "inception.safetensors")
    with pytest.raises(RunError, match=r"the encoder in inception.safetensors can't be loaded"):
        Inception(tmp_path / "inception.safetensors", CPU)


def test_inception_without_torch_fidelity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(MissingExtraError) as error:
        Inception(tmp_path / "inception.safetensors", CPU)
    assert error.value.remedy == 'pip install "surrogateshap[fid]"'


# The factory


def test_every_kind_is_made(tmp_path: Path) -> None:
    paths = {
        "classifier": encoders.save_vit(tmp_path / "classifier", classes=3),
        "clip": encoders.save_clip(tmp_path / "clip"),
        "backbone": encoders.save_dinov2(tmp_path / "backbone"),
        "lpips": encoders.save_lpips(tmp_path / "lpips.safetensors"),
        "pixels": None,
    }
    made: dict[str, Encoder] = {}
    for kind, path in paths.items():
        known = EncoderInput(kind, 0, path, "", (), None, kind=kind, size=8)
        made[kind] = make_encoder(known, CPU)
        view = made[kind].encode(IMAGES)
        assert len(view.features) == len(view.probabilities) == len(IMAGES)
        assert view.features.dtype == view.probabilities.dtype == np.float32
    assert len({type(encoder) for encoder in made.values()}) == len(paths)
    with pytest.raises(RunError, match="can't be loaded here"):
        make_encoder(EncoderInput("mine", 0, None, "", (), None, kind="plugin"), CPU)
