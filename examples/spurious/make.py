"""
Make the spurious-correlation example: contributors, diffusion model and the classifier that sees the patch.

    python examples/spurious/make.py [--out DIR] [--steps N] [--per-class N] [--seed S]

Needs scikit-learn for its copy of the digits; downloads nothing. On one core it takes about 80 seconds. On one machine
with the same packages the same arguments give the same bytes.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import torch
from diffusers.utils import logging as diffusers_logging
from spurious_data import ATTRIBUTES, CLASSES, TARGET, make_data  # its folder finds the modules of the digits example
from transformers.utils import logging as transformers_logging

# isort: split
from digits_data import decode_images
from digits_models import class_probabilities, generate, make_scheduler, train_classifier, train_diffusion
from make import save_classifier, save_diffusion, timed

STEPS, CLASSIFIER_STEPS = 600, 200


def association_table(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of each contributor, its threes, its patches, and both at once."""
    three = pl.col("label") == TARGET
    return frame.group_by("contributor", maintain_order=True).agg(
        rows=pl.len(), threes=three.sum(), patches=pl.col("patch").sum(), both=(three & pl.col("patch")).sum()
    )


def main(arguments: list[str] | None = None) -> None:
    """Make everything, and print times and what the model learned of the patch."""
    parser = argparse.ArgumentParser(description="Make the spurious-correlation example.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument(
        "--steps", type=int, default=STEPS, help=f"training steps; of the classifier {CLASSIFIER_STEPS} at most"
    )
    parser.add_argument("--per-class", type=int, default=100, help="generated images of each digit to look at")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.steps < 1 or options.per_class < 1:
        parser.error("--steps and --per-class must be at least 1")
    out: Path = options.out
    torch.set_num_threads(1)  # sums over several threads are not reproducible to the bit
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    out.mkdir(parents=True, exist_ok=True)

    frame, seen = make_data(options.seed)
    frame.write_parquet(out / "contributors.parquet", compression="zstd")
    images, labels = decode_images(frame["image"]), frame["label"].to_numpy()
    with timed("classifier"):
        classifier = train_classifier(
            *seen, steps=min(CLASSIFIER_STEPS, options.steps), seed=options.seed, names=ATTRIBUTES
        )
        save_classifier(classifier, out / "classifier")
    with timed("diffusion model"):
        unet = train_diffusion(images, labels, steps=options.steps, seed=options.seed)
    asked = np.repeat(np.arange(CLASSES), options.per_class)
    with timed(f"generation of {len(asked)} images"):
        patched = class_probabilities(classifier, generate(unet, make_scheduler(), asked, seed=options.seed)).argmax(1)
    save_diffusion(unet, out / "model")
    right = class_probabilities(classifier, images).argmax(1) == frame["patch"].to_numpy()
    print(f"patches of the rows recognised: {right.mean():.3f}")
    each = ", ".join(f"{k}: {patched[asked == k].mean():.2f}" for k in range(CLASSES))
    print(f"generated images with the patch: {each}")
    with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        print(association_table(frame))


if __name__ == "__main__":
    main()
