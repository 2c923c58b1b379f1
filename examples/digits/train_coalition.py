"""
Train the diffusion model of one coalition: the trainer of `surrogateshap anchors train` for this example.

    python examples/digits/train_coalition.py ROWS OUT [--steps N] [--batch N] [--seed S] [--finetune]

ROWS is a Parquet file with columns `label` and `image`, OUT the folder that the model goes to, in diffusers layout.
From scratch it takes about twenty seconds on one core. The same arguments give the same weights on one machine.
"""

import argparse
import os
from pathlib import Path

import polars as pl
import torch
from diffusers.utils import logging as diffusers_logging
from digits_data import decode_images
from digits_models import train_diffusion
from make import load_diffusion, save_diffusion

STEPS, BATCH = 300, 64
"""A quarter of the images that the shipped model was trained on: as good within a percent, and four times as fast."""
TUNING_STEPS, TUNING_RATE = 100, 1e-3


def main(arguments: list[str] | None = None) -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description="Train the diffusion model of one coalition.")
    parser.add_argument("rows", type=Path, help="Parquet file with columns label and image")
    parser.add_argument("out", type=Path, help="folder to write the model to")
    parser.add_argument("--steps", type=int, help=f"default {STEPS}, with --finetune {TUNING_STEPS}")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--seed", type=int, help="default: SURROGATESHAP_SEED, or 0")
    parser.add_argument("--finetune", action="store_true", help="go on from the shipped model; biased in level")
    options = parser.parse_args(arguments)
    steps = (TUNING_STEPS if options.finetune else STEPS) if options.steps is None else options.steps
    if steps < 1 or options.batch < 1:
        parser.error("--steps and --batch must be at least 1")
    seed = int(os.environ.get("SURROGATESHAP_SEED", "0")) if options.seed is None else options.seed
    torch.set_num_threads(1)  # sums over several threads are not reproducible to the bit
    diffusers_logging.disable_progress_bar()
    frame = pl.read_parquet(options.rows, columns=["label", "image"])
    images, labels = decode_images(frame["image"]), frame["label"].to_numpy()
    if options.finetune:
        start, _ = load_diffusion(Path(__file__).parent / "model")
        unet = train_diffusion(
            images, labels, steps=steps, seed=seed, batch=options.batch, start=start, rate=TUNING_RATE
        )
    else:
        unet = train_diffusion(images, labels, steps=steps, seed=seed, batch=options.batch)
    save_diffusion(unet, options.out)
    print(f"trained for {steps} steps on {len(labels)} rows")


if __name__ == "__main__":
    main()
