"""Whether the contributor that ties a patch to the threes is found, on several draws of the data; and the truth.

    OMP_NUM_THREADS=1 python bench/spurious.py

The association (phi) of patch and three on `examples/spurious`: Shapley values by the image proxy, on the shipped data
and on two other draws of it, each with a model of its own; then phi of models that were really retrained without one
contributor each (300 steps of 64 images), on 1,000 images asked for as the rows are.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from designs import EXAMPLE as DIGITS  # its folder finds the modules of the digits example
from digits_data import CLASSES, decode_images
from digits_models import class_probabilities, generate, make_scheduler, train_diffusion
from transformers import ResNetForImageClassification

from surrogateshap import api

ROOT = DIGITS.parents[1]
EXAMPLE = DIGITS.with_name("spurious")
TARGET = 3
"""The class that the patch is tied to."""
STEPS, IMAGES = 300, 1_000
RUNS = ((0, 0, 60), (0, 1, 60), (0, 2, 100), (1, 0, 60), (1, 1, 60), (2, 0, 60), (2, 1, 60))
"""Draw of the data (0 is the shipped one), seed of the run, images of each contributor."""


def found(data: Path, seed: int, images: int) -> str:
    """The culprit's value, the next highest, and v(N), as a row of a table."""
    text = (ROOT / "specs" / "spurious-digits.toml").read_text()
    changes = {
        "\nseed = 0": f"\nseed = {seed}",
        "example:spurious/": "",
        'kind = ["image", "prompt"]': 'kind = "image"',
        "images_per_contributor = 60": f"images_per_contributor = {images}",
    }
    for old, new in changes.items():
        if old not in text:
            raise SystemExit(f"the spec has no {old!r} any more")
        text = text.replace(old, new)
    spec = data / f"run-{seed}-{images}.toml"
    spec.write_text(text)
    game = next(game for game in api.apply(spec).games if game.utility == "tied")
    first, second = game.contributors[:2]
    shown = [f"{row.name} {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in (first, second)]
    return f"{shown[0]} | {shown[1]} | {game.v_full:.2f}"


def phi(three: np.ndarray, patch: np.ndarray) -> float:
    """Correlation of two yes-or-no attributes."""
    return float(np.corrcoef(three, patch)[0, 1])


def retrained(left_out: str | None) -> float:
    """Of a model trained without a contributor's rows."""
    rows = pl.read_parquet(EXAMPLE / "contributors.parquet").filter(pl.col("contributor") != (left_out or ""))
    labels = rows["label"].to_numpy()
    unet = train_diffusion(decode_images(rows["image"]), labels, steps=STEPS, seed=0)
    exact = np.bincount(labels, minlength=CLASSES) / len(labels) * IMAGES
    asked = np.repeat(np.arange(CLASSES), np.diff(np.concatenate([[0], exact.cumsum().round().astype(int)])))
    classifier = ResNetForImageClassification.from_pretrained(EXAMPLE / "classifier").eval()
    seen = class_probabilities(classifier, generate(unet, make_scheduler(), asked, seed=1)).argmax(axis=1)
    return phi(asked == TARGET, seen == 1)


def main() -> None:
    """Prints both tables."""
    torch.set_num_threads(1)
    began = time.monotonic()
    print("| draw, seed, images each | first | next highest | v(N) |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        for draw, seed, images in RUNS:
            data = Path(made) / str(draw)
            if not data.exists():
                if draw == 0:
                    shutil.copytree(EXAMPLE, data)
                else:
                    command = [sys.executable, EXAMPLE / "make.py", "--out", data, "--seed", str(draw)]
                    subprocess.run([*command, "--steps", str(STEPS)], check=True, capture_output=True)
            print(f"| {draw}, {seed}, {images} | {found(data, seed, images)} |", flush=True)
    print("\n| retrained without | phi |\n|---|---|")
    names = pl.read_parquet(EXAMPLE / "contributors.parquet")["contributor"].unique().sort()
    for name in (None, *names):
        print(f"| {name or 'nobody'} | {retrained(name):.2f} |", flush=True)
    print(f"\n{time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
