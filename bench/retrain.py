"""Retrains coalitions of the digits designs, for real, once; what comes out ships as tables.

    python bench/retrain.py train [--cache DIR] [--workers 2]   # what the tables lack; goes on where it was stopped
    python bench/retrain.py table [--cache DIR]                 # writes bench/retrained from the cache

Every coalition gets a model of its own with the same recipe, seed and number of steps, and one that goes on from the
frozen model for a few steps; then 400 images conditioned as its rows are. Their encodings are kept in the cache.
"""

import argparse
import multiprocessing
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import tomli
from designs import DESIGNS, EXAMPLE, TABLES, UTILITIES, coalitions, make_design
from digits_data import CLASSES, decode_images
from pydantic import TypeAdapter

from surrogateshap.games import Encoded, make_utility
from surrogateshap.spec.utilities import UtilitySection

if TYPE_CHECKING:
    from surrogateshap.execute.encoders.classifier import Classifier

STEPS, BATCH, IMAGES = 300, 64, 400
"""A quarter of the images that the shipped model was trained on, and its digits are recognised as often."""
TUNING_STEPS, TUNING_RATE = 100, 1e-3
FROZEN = -1
"""Number of the job that trains N's model."""


def rows_of(frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Images, labels, contributor of each row, and contributors' names."""
    names = sorted(frame["contributor"].unique())
    of_row = np.array([names.index(name) for name in frame["contributor"]])
    return decode_images(frame["image"]), frame["label"].to_numpy(), of_row, names


def jobs() -> list[tuple[str, str, int]]:
    """(design, recipe, coalition), the most useful first, so that any beginning of them can be used."""
    listed = [(design, "retrain", FROZEN) for design in DESIGNS]
    uses = np.array(coalitions(12).uses)  # the same for any number of contributors
    half, kernel, anchor = (np.flatnonzero(uses == use).tolist() for use in ("half", "kernel", "anchor"))
    first, rest = [*half, *kernel[:10], *anchor[:40]], [*anchor[40:], *kernel[10:]]
    for recipe, some in (("retrain", first), ("finetune", first), ("retrain", rest), ("finetune", rest)):
        listed += [(design, recipe, at) for at in some for design in DESIGNS]
    return listed


def eye() -> "Classifier":
    """The example's classifier."""
    import torch

    from surrogateshap.execute.encoders.classifier import Classifier

    torch.set_num_threads(1)
    return Classifier(EXAMPLE / "classifier", torch.device("cpu"))


def work(cache: Path) -> None:
    """Takes jobs that nobody has taken until none is left."""
    from digits_models import generate, make_scheduler, train_diffusion
    from make import load_diffusion, save_diffusion

    classifier = eye()
    data = {design: rows_of(make_design(design)) for design in DESIGNS}
    shipped = {
        (design, recipe): shipped_rows(design, recipe) for design in DESIGNS for recipe in ("retrain", "finetune")
    }
    for design, recipe, at in jobs():
        done = cache / design / f"{recipe}-{at}.npz"
        known = (TABLES / design).exists() if at == FROZEN else at in shipped[design, recipe]
        if known or done.exists():
            continue
        taken = done.with_suffix(".taken")
        try:
            taken.touch(exist_ok=False)
        except FileExistsError:
            continue
        images, labels, of_row, names = data[design]
        mask = np.ones(len(names), bool) if at == FROZEN else coalitions(len(names)).masks[at]
        mine = mask[of_row]
        began = time.process_time()
        if recipe == "finetune":
            frozen = cache / design / "model"
            start, _ = load_diffusion(frozen if frozen.exists() else TABLES / design)
            tuning = {"steps": TUNING_STEPS, "rate": TUNING_RATE}
            unet = train_diffusion(images[mine], labels[mine], seed=0, batch=BATCH, start=start, **tuning)
        else:
            unet = train_diffusion(images[mine], labels[mine], seed=0, batch=BATCH, steps=STEPS)
        seconds = time.process_time() - began
        asked = np.repeat(np.arange(CLASSES), spread(np.bincount(labels[mine], minlength=CLASSES), IMAGES))
        view = classifier.encode(generate(unet, make_scheduler(), asked, seed=1)[..., None])
        part = done.with_suffix(".part.npz")
        np.savez_compressed(part, features=view.features, probabilities=view.probabilities, asked=asked, mask=mask)
        if at == FROZEN:
            (cache / design / "model").mkdir(exist_ok=True)
            save_diffusion(unet, cache / design / "model")
        part.rename(done)
        taken.unlink()
        print(design, recipe, at, f"{seconds:.1f} s", flush=True)


def spread(counts: np.ndarray, images: int) -> np.ndarray:
    """Whole numbers in proportion to counts: rounded down, the largest remainders first."""
    exact = counts / counts.sum() * images
    whole = np.floor(exact).astype(int)
    whole[np.argsort(-(exact - whole), kind="stable")[: images - whole.sum()]] += 1
    return whole


def encoded(kept: Mapping[str, np.ndarray]) -> Encoded:
    """The classifier's view of images, as it was kept."""
    probabilities = kept["probabilities"].astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = tuple(map(str, range(CLASSES)))
    return Encoded(kept["features"].astype(np.float64), probabilities, kept["asked"].astype(np.int64), labels)


def shipped_rows(design: str, recipe: str) -> dict[int, dict[str, Any]]:
    """Rows of the shipped table by the numbers of their coalitions: these need no training again."""
    path = TABLES / f"{design}-{recipe}.parquet"
    if not path.exists():
        return {}
    table = pl.read_parquet(path)
    names = [name for name in table.columns if name != "use" and not name.startswith("value.")]
    number = {mask.tobytes(): at for at, mask in enumerate(coalitions(len(names)).masks)}
    masks = table.select(names).to_numpy().astype(bool)
    return {number[mask.tobytes()]: row for mask, row in zip(masks, table.iter_rows(named=True), strict=True)}


def write_table(cache: Path, design: str, recipe: str, reference: Encoded) -> None:
    """Coalitions in their order, what each is for, and the retrained value of each utility."""
    _, _, _, names = rows_of(make_design(design))
    chosen = coalitions(len(names))
    adapter: TypeAdapter[UtilitySection] = TypeAdapter(UtilitySection)
    lines, there = [], shipped_rows(design, recipe)
    for at, (mask, use) in enumerate(zip(chosen.masks, chosen.uses, strict=True)):
        path = cache / design / f"{recipe}-{at}.npz"
        if not path.exists():
            lines += [there[at]] if at in there else []
            continue
        view = encoded(np.load(path))
        even = np.full((1, len(view.features)), 1 / len(view.features))
        values = {}
        for name, text in UTILITIES.items():
            utility = make_utility(adapter.validate_python(tomli.loads(text) | {"name": name}), view, reference)
            values[f"value.{name}"] = float(utility.value(utility.summarise(even))[0])
        lines.append(dict(zip(names, mask.tolist(), strict=True)) | {"use": use} | values)
    TABLES.mkdir(exist_ok=True)
    table = pl.DataFrame(lines)
    table.write_parquet(TABLES / f"{design}-{recipe}.parquet")
    if (design, recipe) == ("overlapping", "retrain"):
        table.drop("use").write_parquet(EXAMPLE / "retrained.parquet")
    print(f"{design}, {recipe}: {len(lines)} coalitions")


def main() -> None:
    """Trains, or writes the tables and copies the frozen models beside them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "table"])
    parser.add_argument("--cache", type=Path, default=Path(".bench") / "retrained")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    if given.what == "train":
        for design in DESIGNS:
            (given.cache / design).mkdir(parents=True, exist_ok=True)
            for left in (given.cache / design).glob("*.taken"):
                left.unlink()
        workers = [multiprocessing.Process(target=work, args=(given.cache,)) for _ in range(given.workers)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return
    images = decode_images(pl.read_parquet(EXAMPLE / "reference.parquet")["image"])
    view = eye().encode(images[..., None])
    kept = {"features": view.features, "probabilities": view.probabilities, "asked": np.full(len(images), -1)}
    for design in DESIGNS:
        for recipe in ("retrain", "finetune"):
            write_table(given.cache, design, recipe, encoded(kept))
        if (given.cache / design / "model").exists():
            shutil.copytree(given.cache / design / "model", TABLES / design, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
