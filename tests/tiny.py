"""A whole project small enough to be run in a second: random weights, five contributors, a spec of few steps."""

import io
import json
import shutil
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from surrogateshap import api
from surrogateshap.plan.model import Plan
from surrogateshap.record.results import GameResult, Results

LABELS = ("zero", "one", "two", "three")
MIXES = {
    "amber": (6, 3, 2, 1),
    "basil": (1, 6, 3, 2),
    "basil-copy": (1, 6, 3, 2),
    "coral": (2, 1, 6, 3),
    "dill": (3, 3, 3, 3),
}
OWNERS = tuple(MIXES)
SIDE = 8
STORE = ".surrogateshap"

SPEC: dict[str, Any] = {
    "spec_version": 1,
    "name": "tiny",
    "seed": 3,
    "model": {"source": "model"},
    "proxy": {"kind": ["prompt", "image"], "strength": 0.5},
    "sampling": {"steps": 4, "guidance_scale": 2.0},
    "contributors": {
        "manifest": "data.parquet",
        "condition": "label",
        "image": "image",
        "grouping": [{"name": "owner", "by": ["owner"]}, {"name": "region", "by": ["region"]}],
    },
    "encoder": [{"name": "eye", "source": "eye"}],
    "utility": [
        {"name": "right", "kind": "score", "score": "condition"},
        {"name": "tail", "kind": "score", "statistic": {"quantile": 0.3}},
        {"name": "quality", "kind": "frechet", "reference": "manifest"},
        {"name": "variety", "kind": "inception"},
        {"name": "threes", "kind": "rate", "class": "three"},
    ],
    "budget": {"images_per_contributor": 8},
    "intervals": {"resamples": 20},
    "execution": {"batch_size": 16, "devices": "cpu", "threads": 1},
}


def toml(document: Mapping[str, Any]) -> str:
    """A document of scalars, tables and arrays of tables as TOML."""

    def inline(value: Any) -> str:
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{json.dumps(key)} = {inline(item)}" for key, item in value.items()) + " }"
        if isinstance(value, list):
            return "[" + ", ".join(map(inline, value)) + "]"
        return json.dumps(value)

    tables = {key: value for key, value in document.items() if isinstance(value, dict)}
    lines = [f"{key} = {inline(value)}" for key, value in document.items() if key not in tables]
    for key, table in tables.items():
        lines += [f"[{key}]", *(f"{name} = {inline(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def png(pixels: np.ndarray) -> bytes:
    """Pixels (H, W) uint8, encoded."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def rows() -> pl.DataFrame:
    """Sixty rows: five owners of twelve each; `basil-copy` has other images with the labels of `basil`."""
    rng = np.random.default_rng(0)
    made: list[dict[str, Any]] = []
    for number, (owner, mix) in enumerate(MIXES.items()):
        for position, label in enumerate(np.repeat(LABELS, mix)):
            image = np.clip(rng.normal(40 + 40 * LABELS.index(label), 30 + 10 * number, (SIDE, SIDE)), 0, 255)
            region = ("north", "south", "west")[(number + position // 8) % 3]
            made.append({"owner": owner, "region": region, "label": str(label), "image": png(image.astype(np.uint8))})
    return pl.DataFrame(made)


def build(folder: Path) -> None:
    """Writes the model, the classifier, the manifest and the spec."""
    import torch
    from diffusers import DDIMScheduler, UNet2DModel
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=SIDE,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        num_class_embeds=len(LABELS) + 1,
    )
    with torch.no_grad():
        unet.class_embedding.weight *= 4  # labels must matter
    unet.save_pretrained(folder / "model" / "unet")
    DDIMScheduler(clip_sample=False, steps_offset=1).save_pretrained(folder / "model" / "scheduler")
    names = dict(enumerate(LABELS))
    index = {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"], "id2label": names}
    (folder / "model" / "model_index.json").write_text(json.dumps(index))

    config = ResNetConfig(
        num_channels=1,
        embedding_size=8,
        hidden_sizes=[8, 12],
        depths=[1, 1],
        layer_type="basic",
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
    classifier = ResNetForImageClassification(config)
    with torch.no_grad():
        classifier.classifier[1].weight *= 12  # random weights are sure of nothing
    classifier.save_pretrained(folder / "eye")
    preprocessing = {
        "size": {"height": 16, "width": 16},
        "resample": 2,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "image_mean": [0.5],
        "image_std": [0.5],
    }
    (folder / "eye" / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    rows().write_parquet(folder / "data.parquet")


class Project:
    """A copy of the tiny project in a folder of its own."""

    def __init__(self, master: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(master, folder, dirs_exist_ok=True)

    def spec(self, changes: Mapping[str, Any] | None = None, name: str = "spec.toml") -> Path:
        """Writes the spec with some dotted keys changed; None removes a key."""
        document = deepcopy(SPEC)
        for dotted, value in (changes or {}).items():
            table = document
            *parents, last = dotted.split(".")
            for parent in parents:
                table = table.setdefault(parent, {})
            if value is None:
                table.pop(last, None)
            else:
                table[last] = value
        path = self.folder / name
        path.write_text(toml(document))
        return path

    def manifest(self, frame: pl.DataFrame) -> None:
        """Writes another manifest."""
        frame.write_parquet(self.folder / "data.parquet")

    def plan(self, changes: Mapping[str, Any] | None = None) -> Plan:
        """The plan of a changed spec."""
        return api.plan(self.spec(changes))

    def apply(self, changes: Mapping[str, Any] | None = None, **more: Any) -> Results:
        """Runs a changed spec."""
        return api.apply(self.spec(changes), **more)

    @property
    def store(self) -> Path:
        return self.folder / STORE


def game(results: Results, text: str) -> GameResult:
    """The game named `grouping / utility / proxy`."""
    return next(game for game in results.games if f"{game.grouping} / {game.utility} / {game.proxy}" == text)


def values(results: Results, text: str) -> dict[str, float]:
    """Shapley values of one game by contributor."""
    return {row.name: row.value for row in game(results, text).contributors}


def run_files(store: Path, run: str) -> dict[str, bytes]:
    """Files of a run's folder."""
    return {path.name: path.read_bytes() for path in sorted((store / "runs" / run).iterdir())}
