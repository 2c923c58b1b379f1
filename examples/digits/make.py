"""
Make the digits example: contributors, reference, diffusion model, classifier and contact sheet.

    python examples/digits/make.py [--out DIR] [--steps N] [--per-class N] [--seed S]

Needs scikit-learn for its copy of the digits; downloads nothing. On one core it takes about 75 seconds. On one machine
with the same packages the same arguments give the same bytes.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import diffusers
import numpy as np
import polars as pl
import torch
from diffusers import DDIMScheduler, UNet2DModel
from diffusers.utils import logging as diffusers_logging
from digits_data import CLASSES, decode_images, make_data
from digits_models import (
    CLASSIFIER_SIZE,
    class_probabilities,
    generate,
    make_scheduler,
    train_classifier,
    train_diffusion,
)
from digits_sheet import COLUMNS, contact_sheet, spread_over_labels
from transformers import AutoModelForImageClassification, ResNetForImageClassification
from transformers.utils import logging as transformers_logging

STEPS = 600
ON_SHEET = ("noisy", "noisy-twin", "mislabelled", "mislabelled-twin")


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Print how long a step took."""
    start = time.perf_counter()
    yield
    print(f"{step}: {time.perf_counter() - start:.1f} s", flush=True)


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def save_diffusion(unet: UNet2DModel, folder: Path) -> None:
    """Save in diffusers layout, weights in half precision (converts `unet` in place)."""
    unet.half().save_pretrained(folder / "unet")
    make_scheduler().save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "DDPMPipeline",
        "_diffusers_version": diffusers.__version__,
        "id2label": {str(k): str(k) for k in range(CLASSES)},
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    write_json(folder / "model_index.json", index)


def load_diffusion(folder: Path) -> tuple[UNet2DModel, DDIMScheduler]:
    """Load what `save_diffusion` wrote, for sampling in float32."""
    unet = UNet2DModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    return unet.eval(), DDIMScheduler.from_pretrained(folder / "scheduler")


def save_classifier(classifier: ResNetForImageClassification, folder: Path) -> None:
    """Save in Hugging Face layout with the preprocessing that `classifier_input` does."""
    classifier.save_pretrained(folder)
    preprocessing = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5],
        "image_processor_type": "ViTImageProcessor",
        "image_std": [0.5],
        "resample": 2,  # bilinear
        "rescale_factor": 1 / 255,
        "size": {"height": CLASSIFIER_SIZE, "width": CLASSIFIER_SIZE},
    }
    write_json(folder / "preprocessor_config.json", preprocessing)


def class_table(contributors: pl.DataFrame) -> pl.DataFrame:
    """Rows of each contributor, in all and for each label."""
    counts = [pl.len().alias("rows"), *((pl.col("label") == k).sum().alias(str(k)) for k in range(CLASSES))]
    return contributors.group_by("contributor", maintain_order=True).agg(counts)


def main(arguments: list[str] | None = None) -> None:
    """Make everything and print times, accuracies, sizes and the contributors' class counts."""
    parser = argparse.ArgumentParser(description="Make the digits example.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps of either network")
    parser.add_argument("--per-class", type=int, default=100, help="generated images of each digit, 10 or more")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error("--steps must be at least 1")
    if options.per_class < COLUMNS:
        parser.error(f"--per-class must be at least {COLUMNS}: the contact sheet shows that many of each digit")
    out: Path = options.out
    torch.set_num_threads(1)  # sums over several threads are not reproducible to the bit
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    out.mkdir(parents=True, exist_ok=True)

    with timed("contributors and reference"):
        contributors, reference, clean = make_data(options.seed)
        contributors.write_parquet(out / "contributors.parquet", compression="zstd")
        reference.write_parquet(out / "reference.parquet", compression="zstd")
    images, labels = decode_images(contributors["image"]), contributors["label"].to_numpy()
    with timed("classifier"):
        save_classifier(train_classifier(*clean, steps=options.steps, seed=options.seed), out / "classifier")
    with timed("diffusion model"):
        save_diffusion(train_diffusion(images, labels, steps=options.steps, seed=options.seed), out / "model")

    classifier = AutoModelForImageClassification.from_pretrained(out / "classifier").eval()
    unet, scheduler = load_diffusion(out / "model")
    asked = np.repeat(np.arange(CLASSES), options.per_class)
    with timed(f"generation of {len(asked)} images"):
        generated = generate(unet, scheduler, asked, seed=options.seed)
    with timed("contact sheet"):
        rows = {name: (contributors["contributor"] == name).to_numpy() for name in ON_SHEET}
        samples = {name: spread_over_labels(images[mask], labels[mask]) for name, mask in rows.items()}
        first = np.arange(len(asked)) % options.per_class < COLUMNS
        contact_sheet(generated[first], samples).save(out / "contact-sheet.png", optimize=True)

    held_out = class_probabilities(classifier, decode_images(reference["image"]))
    hits = held_out.argmax(1) == reference["label"].to_numpy()
    quantiles = np.quantile(held_out.max(1), (0.05, 0.25, 0.5, 0.75, 0.95)).round(3).tolist()
    print(f"classifier on {len(hits)} held-out images: {hits.mean():.3f} right; confidence quantiles {quantiles}")
    hits = class_probabilities(classifier, generated).argmax(1) == asked
    each = ", ".join(f"{k}: {hits[asked == k].mean():.2f}" for k in range(CLASSES))
    print(f"generated digits recognised: {hits.mean():.3f} ({each})")
    hits = class_probabilities(classifier, images).argmax(1) == labels
    print(f"rows recognised as their label: {', '.join(f'{n} {hits[mask].mean():.2f}' for n, mask in rows.items())}")
    for path in sorted(out.rglob("*")):
        if path.suffix in {".parquet", ".safetensors", ".json", ".png"}:
            print(f"{path.stat().st_size:>8,} bytes  {path.relative_to(out)}")
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        print(class_table(contributors))


if __name__ == "__main__":
    main()
