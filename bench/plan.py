"""What planning takes at scale: seconds and peak memory, each case in a process of its own.

    python bench/plan.py                  # a million rows, ten thousand contributors
    python bench/plan.py --rows 100000    # fewer

`surrogateshap plan` as a user calls it. `labels`: a class-conditional model with 1,000 classes. `captions`: every row
has a caption of its own, for Stable Diffusion. Manifests are Parquet without images, models are configs without
weights.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import save_file

CLASSES = 1_000
SPEC = """spec_version = 1
name = "scale"
model = {{ source = "{model}" }}
proxy = {{ kind = "prompt" }}
contributors = {{ manifest = "{case}.parquet", condition = "{condition}", grouping = [{groupings}] }}
encoder = [{{ name = "eye", source = "eye" }}]
utility = [{{ name = "sure", kind = "score" }}, {{ name = "first", kind = "rate", class = 0 }}]
budget = {{ images = {images} }}
"""
GROUPING = '{ name = "artist", by = ["artist"] }'
REGIONS = '{ name = "region", by = ["region", "kind"] }'


def build(folder: Path, rows: int, contributors: int, images: int) -> None:
    """Writes the manifests, the specs, and configs of a model and a classifier."""
    rng = np.random.default_rng(0)
    # Contributors differ in size by a factor of a hundred or so, and each has a few favourite classes.
    size = rng.lognormal(0, 1, contributors)
    others = rng.choice(contributors, rows - contributors, p=size / size.sum())
    artist = np.concatenate([np.arange(contributors), others])
    favourite = (artist * 7 + rng.integers(0, 8, rows)) % CLASSES
    label = np.where(rng.random(rows) < 0.7, favourite, rng.integers(0, CLASSES, rows))
    table = pl.DataFrame({"artist": artist, "label": label, "region": artist % 50, "kind": label % 7}).select(
        pl.format("artist {}", pl.col("artist")).alias("artist"),
        pl.format("class {}", pl.col("label")).alias("label"),
        pl.format("region {}", pl.col("region")).alias("region"),
        pl.format("kind {}", pl.col("kind")).alias("kind"),
    )
    table.write_parquet(folder / "labels.parquet")
    caption = pl.format("a painting of {} by {}, number {}", pl.col("label"), pl.col("artist"), pl.int_range(rows))
    table.with_columns(caption.alias("caption")).write_parquet(folder / "captions.parquet")
    for case, condition, model in (("labels", "label", "model"), ("captions", "caption", "pipeline")):
        groupings = f"{GROUPING}, {REGIONS}"
        text = SPEC.format(case=case, condition=condition, model=model, groupings=groupings, images=images)
        (folder / f"{case}.toml").write_text(text)
    pipeline(folder / "pipeline")
    labels = {str(index): f"class {index}" for index in range(CLASSES)}
    write(folder / "model" / "model_index.json", {"unet": ["diffusers", "UNet2DModel"], "id2label": labels})
    size = {"sample_size": 64, "in_channels": 3, "out_channels": 3}
    write(
        folder / "model" / "unet" / "config.json",
        {"_class_name": "UNet2DModel", "num_class_embeds": CLASSES + 1, **size},
    )
    write(folder / "model" / "scheduler" / "scheduler_config.json", {"prediction_type": "epsilon"})
    write(folder / "eye" / "config.json", {"id2label": labels, "architectures": ["ResNetForImageClassification"]})
    write(folder / "eye" / "preprocessor_config.json", {})
    for place in ("model/unet", "eye"):
        (folder / place / "model.safetensors").write_bytes(bytes(8))


def write(path: Path, document: object) -> None:
    """A JSON file, in a folder that need not be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def pipeline(folder: Path) -> None:
    """Stable Diffusion's configs, beside weights of one number each."""
    parts = {
        "vae": ("diffusers", "AutoencoderKL", {"block_out_channels": [128, 256, 512, 512], "latent_channels": 4}),
        "text_encoder": ("transformers", "CLIPTextModel", {"model_type": "clip_text_model", "hidden_size": 768}),
        "tokenizer": ("transformers", "CLIPTokenizer", {}),
        "unet": ("diffusers", "UNet2DConditionModel", {"sample_size": 64, "in_channels": 4, "out_channels": 4}),
        "scheduler": ("diffusers", "PNDMScheduler", {"prediction_type": "epsilon"}),
    }
    index = {name: [library, class_name] for name, (library, class_name, _) in parts.items()}
    write(folder / "model_index.json", {"_class_name": "StableDiffusionPipeline", **index})
    for name, (library, class_name, config) in parts.items():
        if name == "tokenizer":
            write(folder / name / "vocab.json", {})
            continue
        file = "scheduler_config.json" if name == "scheduler" else "config.json"
        write(folder / name / file, {"_class_name": class_name, **config})
        if name != "scheduler":
            weights = "model" if library == "transformers" else "diffusion_pytorch_model"
            save_file({"weight": np.zeros(1, np.float32)}, folder / name / f"{weights}.safetensors")


def measure(command: Sequence[str | Path]) -> tuple[float, float, float, str]:
    """Seconds, seconds of CPU, peak GB and output of a process of its own."""
    began = time.perf_counter()
    child = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    output = child.stdout.read() if child.stdout is not None else ""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command} ended with {child.returncode}")
    peak = usage.ru_maxrss * (1024 if sys.platform == "linux" else 1) / 1e9
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, peak, output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--contributors", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keeps what it makes there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        build(folder, options.rows, options.contributors, options.images)
        print(f"{options.rows:,} rows, {options.contributors:,} contributors, {options.images:,} images")
        for case in ("labels", "captions"):
            command = [sys.executable, "-m", "surrogateshap", "plan", folder / f"{case}.toml"]
            seconds, busy, memory, output = measure(command)
            print(f"{case:<10}{seconds:6.1f} s ({busy:.1f} s of CPU){memory:8.2f} GB")
            print("\n".join(f"    {line}" for line in output.splitlines() if "image" in line or "contributor" in line))


if __name__ == "__main__":
    main()
