"""How often 90 % intervals hold the truth, on the simulated mixture games of estimator.py.

    python bench/coverage.py            # the figures of RESULTS.md; minutes
    python bench/coverage.py --quick    # under a minute
    python bench/coverage.py kinds      # utilities of other kinds; two minutes

*Images*: worlds with 8 contributors, whose coalitions are all evaluated, so that the pool alone is unsure. Pools are
drawn again and again, with as many images without a condition as a plan gives them, and intervals come from each.
*Bias* is what a finite pool does to v on average, before and after its correction, by the size of coalitions.
*Coalitions*: a world with 20 contributors and one pool, from which coalitions are drawn again and again. *Both*: pools
and coalitions are drawn anew.
"""

if __name__ == "coverage":  # numba looks for the package of that name, and mustn't find this
    raise ImportError("this is a bench, not the package `coverage`")

import argparse
import time
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import numpy as np
from estimator import CONDITIONS, DIMENSIONS, World, make, make_world

from surrogateshap.estimate import (
    Intervals,
    TreeSettings,
    all_masks,
    coalition_draws,
    draw_pairs,
    exact_shapley,
    fit_surrogate,
    image_draws,
    intervals,
    ranks,
)
from surrogateshap.games import Encoded, Membership, MixtureGame, coalition_shares
from surrogateshap.games.encoded import Bools, Floats

UTILITIES = ("mean", "quantile", "frechet", "pairwise", "inception", "kernel")
KINDS = ("vendi", "clusters", "phi", "information", "coverage", "ms_ssim")
FEW, MANY = 8, 20
"""Contributors where all coalitions are evaluated, and where they are sampled."""
LEVEL, TOP = 0.9, 3
WORLDS = 4
TRUTH = 20_000
"""Images per condition of the pool that stands for the truth."""
PAIRED = 500
"""The same where images are compared in pairs."""
BINS = (0.0, 0.1, 0.3, 0.7, 0.9, 1.0)


def even(game: MixtureGame) -> MixtureGame:
    """The same game with no bias taken off."""
    return game.resampled(np.ones_like(game.resample(np.random.default_rng(0))))


def pool(world: World, each: int, rng: np.random.Generator) -> tuple[Encoded, Membership]:
    """A pool with `each` images per condition, and as many without one as a plan gives."""
    return world.pool(each, rng, max(32, CONDITIONS * each // world.n))


def true_values(utility: str, world: World, masks: Bools) -> Floats:
    """(M,) values on so many images that they don't count any more."""
    if utility == "kernel":
        return _true_kernel(world, masks)
    images, membership = world.pool(PAIRED if utility == "ms_ssim" else TRUTH, np.random.default_rng(10**6))
    return even(MixtureGame(make(utility, images, world), membership))(masks)


def _true_kernel(world: World, masks: Bools) -> Floats:
    """By the kernel's own features: (x·y/d + 1)³ is an inner product of the third tensor powers of (x/√d, 1)."""

    def embedding(features: Floats) -> tuple[Floats, float]:
        z = np.column_stack([features / np.sqrt(features.shape[1]), np.ones(len(features))])
        square = np.einsum("xi,xj->xij", z, z).reshape(len(z), -1)
        return (square.T @ z).ravel() / len(z), float(((z**2).sum(axis=1) ** 3).mean())

    rng, target = np.random.default_rng(10**6), world.reference.features
    means = [embedding(world.images(np.full(TRUTH, cell), rng).features)[0] for cell in range(CONDITIONS + 1)]
    mixture = coalition_shares(masks, world.rows) @ world.shares
    mixture[~masks.any(axis=1), CONDITIONS] = 1
    reference, own = embedding(target)
    squared = ((mixture @ np.array(means) - reference) ** 2).sum(axis=1)
    return -squared - ((reference**2).sum() - own) / (len(target) - 1)


@dataclass
class Tally:
    """What intervals held, and where values lay."""

    true: list[Floats] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    sure: list[Intervals] = field(default_factory=list)

    def add(self, true: Floats, values: Floats, sure: Intervals) -> None:
        """One fit."""
        self.true.append(true)
        self.values.append(values)
        self.sure.append(sure)

    def held(self) -> float:
        """Share of values inside their intervals, up to rounding."""
        rounding = 1e-9 * np.abs(self.true).max()
        inside = [(s.low - rounding <= t) & (t <= s.high + rounding) for s, t in zip(self.sure, self.true, strict=True)]
        return float(np.mean(inside))

    def ranks_held(self) -> float:
        """Share of ranks inside their intervals."""
        places = [
            (s.rank_low <= ranks(t)) & (ranks(t) <= s.rank_high) for s, t in zip(self.sure, self.true, strict=True)
        ]
        return float(np.mean(places))

    def width(self) -> float:
        """Stated standard error over the real one, which the true values say."""
        stated = np.mean([s.sd_images**2 + s.sd_coalitions**2 for s in self.sure])
        return float(np.sqrt(stated / np.mean(np.square(np.subtract(self.values, self.true)))))

    def top(self) -> tuple[Floats, Floats]:
        """Stated probabilities of being in the top, and whether that is so."""
        stated = np.concatenate([s.in_top for s in self.sure if s.in_top is not None])
        return stated, np.concatenate([ranks(true) <= TOP for true in self.true])


@cache
def _known(utility: str, seed: int, dimensions: int) -> Floats:
    return true_values(utility, make_world(FEW, seed, dimensions), all_masks(FEW))


def images(
    utility: str, each: int, pools: int, resamples: int, dimensions: int, worlds: int
) -> tuple[Tally, Floats, Floats]:
    """Fits on pools of `each` images per condition; errors of v before and after correction, (pools, 2**FEW)."""
    masks, tally, before, after = all_masks(FEW), Tally(), [], []
    for seed in range(worlds):
        world = make_world(FEW, seed, dimensions)
        known = _known(utility, seed, dimensions)
        true = exact_shapley(known, FEW)
        for draw in range(pools // worlds):
            shown, membership = pool(world, each, np.random.default_rng([each, draw, seed]))
            game = MixtureGame(make(utility, shown, world), membership)
            values = exact_shapley(game(masks), FEW)
            tally.add(true, values, intervals(values, image_draws(game, resamples, draw), None, LEVEL, TOP))
            before.append(even(game)(masks) - known)
            after.append(game(masks) - known)
    return tally, np.array(before), np.array(after)


def coalitions(utility: str, each: int, drawn: int, times: int, resamples: int) -> tuple[Tally, Tally]:
    """Fits on drawn coalitions of one pool, against that pool's values; and on new pools, against the true values."""
    world, every = make_world(MANY, 0), all_masks(MANY)
    shown, membership = pool(world, each, np.random.default_rng(0))
    one = even(MixtureGame(make(utility, shown, world), membership))
    settings, alone, both = TreeSettings(), Tally(), Tally()
    known, true = exact_shapley(one(every), MANY), exact_shapley(true_values(utility, world, every), MANY)
    for seed in range(times):
        masks = draw_pairs(MANY, drawn // 2, seed)
        shown, membership = pool(world, each, np.random.default_rng([each, seed]))
        for game, target, tally in (
            (one, known, alone),
            (MixtureGame(make(utility, shown, world), membership), true, both),
        ):
            values, ends = game(masks), (game.v_empty, game.v_full)
            fit = fit_surrogate(masks, values, *ends, settings, seed, game.rows, cross_validate=False)
            between = coalition_draws(masks, values, *ends, settings, seed, rows=game.rows)
            within = image_draws(game, resamples, seed) if tally is both else np.zeros((2, MANY))
            tally.add(target, fit.values, intervals(fit.values, within, between, LEVEL, TOP))
    return alone, both


def row(*cells: str) -> None:
    """One row of a table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def table(*columns: str) -> None:
    """The head of a table."""
    print()
    row(*columns)
    print("|---" * len(columns) + "|")


def calibration(tallies: list[Tally]) -> None:
    """What became of those that are in the top with a stated probability."""
    stated, is_so = (np.concatenate(part) for part in zip(*(tally.top() for tally in tallies), strict=True))
    table(f"stated probability of the top {TOP}", "mean", "came true", "contributors")
    for low, high in pairwise(BINS):
        inside = (low <= stated) & ((stated < high) | (high == 1))
        if inside.any():
            row(
                f"{low:.0%} to {high:.0%}",
                f"{stated[inside].mean():.0%}",
                f"{is_so[inside].mean():.0%}",
                f"{inside.sum()}",
            )


def by_images(
    kinds: list[tuple[int, str]], sizes: tuple[int, ...], pools: int, worlds: int, resamples: int
) -> list[Tally]:
    """Prints what intervals from pools of several sizes hold, and how a finite pool biases coalitions' values."""
    tallies: list[Tally] = []
    per = [f"{each} per condition" for each in sizes]
    table("utility", *per, *(f"ranks, {each}" for each in per), *(f"stated/real error, {each}" for each in per))
    biases: list[tuple[str, int, Floats, Floats]] = []
    for dimensions, utility in kinds:
        name = utility if dimensions == DIMENSIONS else f"{utility}, {dimensions} features"
        found = []
        for each in sizes:
            tally, before, after = images(
                utility, each, pools if dimensions == DIMENSIONS else pools // 5, resamples, dimensions, worlds
            )
            found.append(tally)
            tallies.append(tally)
            biases.append((name, each, before, after))
        row(
            name,
            *(f"{tally.held():.0%}" for tally in found),
            *(f"{tally.ranks_held():.0%}" for tally in found),
            *(f"{tally.width():.2f}" for tally in found),
        )

    members = all_masks(FEW).sum(axis=1)
    shown = (0, 1, 2, 4, FEW)
    table("utility", "images per condition", *(f"{size} in S" for size in shown), "error of v")
    for name, each, before, after in biases:
        if name != "mean":
            cells = [f"{before[:, members == s].mean():+.4f} → {after[:, members == s].mean():+.4f}" for s in shown]
            errors = [float(np.sqrt((errors[:, 1:] ** 2).mean())) for errors in (before, after)]
            row(name, str(each), *cells, f"{errors[0]:.4f} → {errors[1]:.4f}")
    return tallies


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer pools, sizes and draws; other figures")
    parser.add_argument("part", nargs="?", choices=["kinds"], help="only utilities of other kinds")
    asked = parser.parse_args()
    if asked.part == "kinds":
        by_images([(DIMENSIONS, name) for name in KINDS], (10, 50), 24, 2, 30)
        return
    quick = asked.quick
    sizes, pools, worlds, resamples = ((10, 50), 12, 2, 30) if quick else ((5, 10, 30, 100), 60, WORLDS, 60)
    began = time.perf_counter()

    wide = [] if quick else [(24, "frechet")]
    tallies = by_images([*((DIMENSIONS, name) for name in UTILITIES), *wide], sizes, pools, worlds, resamples)

    drawn, times, chosen = (200, 1, ("pairwise",)) if quick else (300, 4, ("mean", "quantile", "frechet", "pairwise"))
    table("utility", "coalitions", "stated/real error", "coalitions and images", "stated/real error", "ranks")
    for utility in chosen:
        alone, both = coalitions(utility, 30, drawn, times, resamples)
        tallies.append(both)
        row(
            utility,
            f"{alone.held():.0%}",
            f"{alone.width():.2f}",
            f"{both.held():.0%}",
            f"{both.width():.2f}",
            f"{both.ranks_held():.0%}",
        )
    calibration(tallies)
    print(f"\n{pools} pools each, {drawn} coalitions drawn {times} times. {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
