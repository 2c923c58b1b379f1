"""Digests of what a plan depends on, and what is read of models and encoders."""

import json
from pathlib import Path
from typing import Any

import pytest

from surrogateshap.plan.cards import read_model_card
from surrogateshap.plan.configs import class_index
from surrogateshap.plan.encoders import read_classifier_labels
from surrogateshap.plan.inputs import digest_path
from surrogateshap.spec.model import ModelSection, SamplingSection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "weights").write_bytes(b"0123")
    (folder / "index.json").write_text("{}")
    return folder


def test_a_folder_is_its_names_and_its_bytes(folder: Path, tmp_path: Path) -> None:
    before, size = digest_path(folder)
    assert size == 6
    moved = folder.rename(tmp_path / "elsewhere")
    assert digest_path(moved)[0] == before
    (moved / "unet" / "weights").write_bytes(b"0124")
    changed = digest_path(moved)[0]
    (moved / "unet" / "weights").write_bytes(b"0123")
    (moved / "index.json").rename(moved / "indey.json")
    renamed = digest_path(moved)[0]
    (moved / "indey.json").rename(moved / "index.json")
    (moved / "unet" / "more").write_bytes(b"")
    grown = digest_path(moved)[0]
    assert len({before, changed, renamed, grown}) == 4


def test_hidden_files_do_not_count(folder: Path) -> None:
    before = digest_path(folder)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").write_text("x")
    (folder / ".DS_Store").write_text("x")
    assert digest_path(folder) == before


def test_links_inside_are_followed_and_links_out_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "again").symlink_to(folder / "index.json")
    digest_path(folder)
    (tmp_path / "secret").write_text("x")
    (folder / "again").unlink()
    (folder / "again").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="again is a link that leads out of the folder"):
        digest_path(folder)


UNET = {"_class_name": "UNet2DModel", "num_class_embeds": 4, "sample_size": [8, 16], "in_channels": 1}


def complete(folder: Path) -> None:
    """Adds what else a loadable folder has; the weights are not looked into."""
    for name in ("unet/diffusion_pytorch_model.safetensors", "model.safetensors"):
        (folder / name).touch()
    (folder / "scheduler").mkdir(exist_ok=True)
    for name in ("scheduler/scheduler_config.json", "preprocessor_config.json"):
        (folder / name).write_text("{}")


def card_of(folder: Path, null_class: int | None = None, index: Any = None, **unet: Any) -> Any:
    complete(folder)
    (folder / "model_index.json").write_text(json.dumps({"unet": []} if index is None else index))
    (folder / "unet" / "config.json").write_text(json.dumps({k: v for k, v in (UNET | unet).items() if v is not ...}))
    return read_model_card(folder, ModelSection(source="x", null_class=null_class), SamplingSection())


NAMES = {"0": "cat", "1": "7", "2": "dog"}


@pytest.mark.parametrize(
    ("names", "given", "labels", "null"),
    [
        (NAMES, None, ("cat", "7", "dog"), 3),
        (NAMES | {"3": "owl"}, None, ("cat", "7", "dog", "owl"), None),
        (NAMES, 0, ("cat", "7", "dog"), 0),
        (None, None, ("0", "1", "2"), 3),
        (None, 2, ("0", "1"), 2),
    ],
)
def test_classes_and_the_null_class(
    folder: Path, names: Any, given: int | None, labels: tuple[str, ...], null: int | None
) -> None:
    index = {"unet": []} | ({"id2label": names} if names else {})
    card = card_of(folder, given, index)
    assert (card.labels, card.null_class) == (labels, null)
    assert (card.height, card.width, card.channels) == (8, 16, 1)


def test_classes_are_found_by_name_before_number() -> None:
    labels = ("cat", "7", "dog")
    assert [class_index(name, labels) for name in ("dog", "7", "0", "2")] == [2, 1, 0, 2]
    assert [class_index(name, labels) for name in ("3", "-1", "1.0", "", "²", "1" * 5000)] == [None] * 6


@pytest.mark.parametrize(
    ("index", "unet", "message"),
    [
        ([], {}, "not a JSON object"),
        ({"_class_name": "FluxPipeline"}, {}, "holds a FluxPipeline"),
        (None, {"_class_name": "UNet2DConditionModel"}, "takes no class labels"),
        (None, {"num_class_embeds": None}, "takes no class labels"),
        (None, {"num_class_embeds": "10"}, "takes no class labels"),
        (None, {"sample_size": ...}, "no `sample_size`"),
        (None, {"sample_size": 0}, "no `sample_size`"),
        (None, {"sample_size": [8]}, "no `sample_size`"),
        (None, {"sample_size": "8"}, "no `sample_size`"),
        (None, {"in_channels": 4}, "channels"),
        (None, {"in_channels": "1"}, "channels"),
        (None, {"in_channels": 1, "out_channels": 2}, "channels"),
    ],
)
def test_folders_that_hold_something_else(folder: Path, index: Any, unet: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        card_of(folder, None, index, **unet)


def test_a_null_class_that_the_model_lacks(folder: Path) -> None:
    with pytest.raises(ValueError, match="`null_class` can be 3 at most"):
        card_of(folder, 4)


@pytest.mark.parametrize("text", ["", "{", "\ud800", '{"a": ' * 100_000])
def test_configs_that_cannot_be_read(folder: Path, text: str) -> None:
    (folder / "model_index.json").write_text(text, errors="surrogatepass")
    with pytest.raises(ValueError, match=r"model_index\.json can't be read"):
        read_model_card(folder, ModelSection(source="x"), SamplingSection())
    with pytest.raises(ValueError, match=r"has no config\.json"):
        read_classifier_labels(folder)


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"id2label": {"0": "a", "1": "b"}}, ("a", "b")),
        ({"num_labels": 3}, ("0", "1", "2")),
        ({"id2label": {"0": "a", "2": "b"}}, ("a", "1")),
    ],
)
def test_classes_of_a_classifier(folder: Path, config: Any, labels: tuple[str, ...]) -> None:
    complete(folder)
    (folder / "config.json").write_text(json.dumps(config))
    assert read_classifier_labels(folder) == labels


@pytest.mark.parametrize("config", [{"id2label": {"0": "a"}}, {"num_labels": "3"}, {"num_labels": 0}])
def test_a_classifier_needs_two_classes(folder: Path, config: Any) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="doesn't name 2 to 100,000 classes"):
        read_classifier_labels(folder)


def test_linked_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "inside").mkdir()
    (folder / "linked").symlink_to(folder / "inside")
    with pytest.raises(OSError, match="linked is a linked folder"):
        digest_path(folder)
    (folder / "linked").unlink()
    (tmp_path / "outside").mkdir()
    (folder / "linked").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="leads out of the folder"):
        digest_path(folder)


@pytest.mark.parametrize("shard", ["../model.safetensors", "/etc/passwd", "absent.safetensors", 3])
def test_weights_named_elsewhere_are_refused(folder: Path, shard: Any) -> None:
    complete(folder)
    (folder / "config.json").write_text(json.dumps({"num_labels": 3}))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model.safetensors"}}))
    assert len(read_classifier_labels(folder)) == 3
    index.write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(ValueError, match="names weights that are not files beside it"):
        read_classifier_labels(folder)


def test_adapters_are_refused(folder: Path) -> None:
    complete(folder)
    (folder / "config.json").write_text(json.dumps({"num_labels": 3}))
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="would load another model"):
        read_classifier_labels(folder)
