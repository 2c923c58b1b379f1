"""What games take at scale, and how the making of images spreads over workers.

    python bench/scale.py evaluate            # 100,000 images x 768 features, 1,000 contributors x 20,000 coalitions
    python bench/scale.py evaluate --small    # seconds
    python bench/scale.py workers             # 1, 2 and 4 processes on this machine's CPU; see workers.py

`evaluate`: seconds and peak memory of each utility, in a process of its own. Beside each: the loop that finds a
coalition's value from its images' features, on a few coalitions, and by how much it is slower for all of them. Both
must give the same values, with no finite pool's bias taken off. A kernel distance has every pair of a coalition's
images in that loop: it is timed on small coalitions, and scaled with the square of their images.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from plan import measure
from pydantic import TypeAdapter
from workers import compare

from surrogateshap.games import Encoded, Membership, MixtureGame, make_utility
from surrogateshap.games.coalitions import draw_pairs
from surrogateshap.games.encoded import Floats, Views
from surrogateshap.games.spill import spill_to
from surrogateshap.spec.utilities import UtilitySection

SECTIONS = {
    "mean": {"kind": "score", "score": {"class": "a"}},
    "quantile": {"kind": "score", "score": {"class": "a"}, "statistic": {"quantile": 0.9}},
    "pairwise": {"kind": "pairwise"},
    "frechet": {"kind": "frechet"},
    "kernel": {"kind": "kernel"},
}
CONDITIONS_OF_EACH = 2


@dataclass(frozen=True)
class Size:
    """Of a case."""

    images: int
    features: int
    contributors: int
    coalitions: int
    frechet: int
    """Coalitions whose Fréchet distance is found."""
    reference: int
    looped: int
    """Coalitions in the loop."""


FULL = Size(100_000, 768, 1_000, 20_000, 16, 2_000, 5)
SMALL = Size(4_000, 64, 60, 1_000, 100, 500, 5)


def build(folder: Path, size: Size) -> None:
    """Features of images that lie around their conditions' means, in directions of uneven spread."""
    rng = np.random.default_rng(0)
    conditions, d = size.contributors, size.features
    spread = (1 / np.sqrt(1 + np.arange(d))).astype(np.float32)
    means = rng.normal(size=(conditions, d)).astype(np.float32) * spread
    cells = np.arange(size.images) % conditions
    features = np.lib.format.open_memmap(folder / "features.npy", "w+", np.float32, (size.images, d))
    for start in range(0, size.images, 4_096):
        part = slice(start, start + 4_096)
        features[part] = means[cells[part]] + rng.normal(size=(len(cells[part]), d)).astype(np.float32) * spread
    features.flush()
    np.save(folder / "reference.npy", (1.1 * rng.normal(size=(size.reference, d)) * spread).astype(np.float32))
    shares = np.zeros((size.contributors, conditions))
    for own in shares:
        own[rng.choice(conditions, CONDITIONS_OF_EACH, replace=False)] = rng.dirichlet(np.ones(CONDITIONS_OF_EACH))
    rows = np.ceil(10 * rng.lognormal(0, 1, size.contributors)).astype(np.int64)
    np.savez(folder / "pool.npz", shares=shares, rows=rows, cells=cells)


def one(name: str, folder: Path, size: Size) -> None:
    """Prints one utility's figures as JSON."""
    spill_to(folder)
    pool, features = np.load(folder / "pool.npz"), np.load(folder / "features.npy", mmap_mode="r")
    reference = np.load(folder / "reference.npy")
    held = 1 / (1 + np.exp(-features[:, 0].astype(np.float64) - features[:, 1]))
    encoded = view(np.asarray(features), np.column_stack([held, 1 - held]))
    section = TypeAdapter(UtilitySection).validate_python({"name": "u", **SECTIONS[name]})
    names = tuple(map(str, range(size.contributors)))
    membership = Membership(names, pool["rows"], sp.csr_array(pool["shares"]), pool["cells"])
    masks = draw_pairs(size.contributors, size.coalitions // 2, 0)
    if name == "frechet":
        masks = masks[: size.frechet]
    began = time.perf_counter()
    game = MixtureGame(
        make_utility(section, encoded, view(reference, np.full((len(reference), 2), 0.5))), membership, 0
    )
    prepared = time.perf_counter() - began
    values = game(masks)
    seconds = time.perf_counter() - began
    if not np.isfinite(values).all():
        raise SystemExit(f"{name}: values that are not finite")
    print(json.dumps({"prepared": prepared, "seconds": seconds, "coalitions": len(masks)}), flush=True)


def loop(name: str, folder: Path, size: Size) -> None:
    """Prints the loop's seconds for a coalition, and by how much its values differ from the game's, as JSON."""
    spill_to(folder)
    pool, features = np.load(folder / "pool.npz"), np.load(folder / "features.npy", mmap_mode="r")
    reference = np.load(folder / "reference.npy")
    held = 1 / (1 + np.exp(-features[:, 0].astype(np.float64) - features[:, 1]))
    # A kernel distance's loop, and all that checks a game, works on the images of some contributors.
    n = min(size.contributors, 20 if name in ("kernel", "frechet") else size.contributors)
    some = np.flatnonzero((pool["shares"][:n] > 0).any(axis=0)[pool["cells"]])
    encoded = view(features[some], np.column_stack([held, 1 - held])[some])
    names, shares = tuple(map(str, range(n))), sp.csr_array(pool["shares"][:n])
    membership = Membership(names, pool["rows"][:n], shares, pool["cells"][some])
    section = TypeAdapter(UtilitySection).validate_python({"name": "u", **SECTIONS[name]})
    utility = make_utility(section, encoded, view(reference, np.full((len(reference), 2), 0.5)))
    game = MixtureGame(utility, membership, 0).resampled(np.ones(len(some)))
    masks, weights = draw_pairs(n, size.looped, 1)[: size.looped], membership.weights()
    found, images = [], []
    began = time.perf_counter()
    for mask in masks:
        w = weights[mask].T @ (pool["rows"][:n][mask] / pool["rows"][:n][mask].sum())
        kept = np.flatnonzero(w)
        images.append(len(kept))
        found.append(again(name, encoded, kept, w[kept], reference))
    seconds = (time.perf_counter() - began) / len(masks)
    np.testing.assert_allclose(game(masks), found, rtol=1e-6, atol=1e-9)
    print(json.dumps({"seconds": seconds, "images": float(np.mean(images))}))


def again(name: str, encoded: Encoded, images: np.ndarray, w: Floats, reference: Views) -> float:
    """A utility of weighted images, by its definition."""
    if name in ("mean", "quantile"):
        scores = encoded.probabilities[images, 0]
        order = scores.argsort()
        if name == "mean":
            return float(w @ scores)
        return float(scores[order][np.searchsorted(np.cumsum(w[order]), 0.9 - 1e-12)])
    x, y = encoded.features[images].astype(np.float64), reference.astype(np.float64)
    mean = w @ x
    if name == "pairwise":
        return float(2 * (w @ ((x - mean) ** 2).sum(axis=1)))
    if name == "frechet":
        root = scipy.linalg.sqrtm(np.cov(y.T, ddof=0))
        covariance = np.cov(x.T, aweights=w, ddof=0)
        overlap = np.sqrt(np.maximum(scipy.linalg.eigvalsh(root @ covariance @ root), 0)).sum()
        return float(2 * overlap - ((mean - y.mean(axis=0)) ** 2).sum() - np.trace(covariance) - y.var(axis=0).sum())
    d, m = x.shape[1], len(y)
    inside = 0.0
    for at in range(0, len(x), 1_000):
        part = slice(at, at + 1_000)
        inside += float(w[part] @ ((x[part] @ x.T / d + 1) ** 3 @ w))
    across = float((w @ (x @ y.T / d + 1) ** 3).mean())
    apart = (y @ y.T / d + 1) ** 3
    return -(inside - 2 * across + float(apart.sum() - np.trace(apart)) / (m * (m - 1)))


def view(features: Views, probabilities: Floats) -> Encoded:
    """An encoder's view of images that were asked to show nothing."""
    return Encoded(features, probabilities, np.full(len(features), -1), ("a", "b"))


def evaluate(small: bool, only: list[str] | None) -> None:
    """Every utility in turn."""
    size = SMALL if small else FULL
    print(f"{size.images:,} images x {size.features:,} features, {size.contributors:,} contributors", flush=True)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        build(folder, size)
        for name in only or SECTIONS:
            command = [sys.executable, __file__, "evaluate", *(["--small"] if small else []), "--folder", made]
            _, busy, memory, output = measure([*command, "--one", name])
            _, _, _, looped = measure([*command, "--loop", name])
            found, slow = json.loads(output), json.loads(looped)
            each = slow["seconds"]
            if name in ("kernel", "frechet"):  # a coalition of half the contributors has nearly all images
                whole = size.images * (1 - 0.5**CONDITIONS_OF_EACH)
                each *= (whole / slow["images"]) ** 2 if name == "kernel" else 1
            m, seconds = found["coalitions"], found["seconds"]
            line = f"{name:<9}{m:7,} coalitions{seconds:8.1f} s ({found['prepared']:.1f} s before the first)"
            line += f"{m / seconds:11,.3g} a second{memory:7.2f} GB{busy:8.1f} s of CPU"
            print(f"{line}   loop {each:.3g} s each, {each * m / seconds:,.3g} x", flush=True)


def main() -> None:
    """Runs one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["evaluate", "workers"])
    parser.add_argument("--small", action="store_true", help="a small case; seconds")
    parser.add_argument("--images", type=int, default=150, help="of workers: for each contributor and proxy")
    parser.add_argument("--only", action="append", choices=list(SECTIONS), help="a utility; may be given again")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", choices=list(SECTIONS), help=argparse.SUPPRESS)
    parser.add_argument("--loop", choices=list(SECTIONS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    size = SMALL if given.small else FULL
    if given.one:
        one(given.one, given.folder, size)
    elif given.loop:
        loop(given.loop, given.folder, size)
    elif given.part == "workers":
        compare(given.images)
    else:
        evaluate(given.small, given.only)


if __name__ == "__main__":
    main()
