"""What an adaptive budget saves on simulated mixture games: images for an interval width, error at equal images.

    python bench/allocation.py            # the figures of RESULTS.md
    python bench/allocation.py --quick    # under a minute

Worlds are those of estimator.py. `shared`: contributors share the conditions' images, as under the prompt proxy;
`own`: each has images of its own, as under the image proxy. An even split gives images by mean share of rows; the
adaptive one starts with an even pilot of a quarter of the budget, grows by half from round to round, and gives each
round's images where `surrogateshap.estimate.neyman` says. All coalitions are evaluated, so that images alone matter.

The rule is an interval width that an even split of six tenths of the budget reaches on another pool. Coverage is the
share of intervals that hold the truth: with the whole budget, and where the rule stopped the adaptive one.
"""

import argparse
import statistics
import time
from dataclasses import dataclass
from math import ceil
from statistics import NormalDist

import numpy as np
import scipy.sparse as sp
from estimator import CONDITIONS, UTILITIES, World, error, make, make_world

from surrogateshap.estimate import all_masks, exact_shapley, image_draws
from surrogateshap.estimate.neyman import Need, spreads, unit_draws, units_of
from surrogateshap.games import Membership, MixtureGame
from surrogateshap.games.encoded import Encoded, Floats, Ints
from surrogateshap.plan.allocation import allocate, extend
from surrogateshap.plan.rounds import GROWTH, PILOT, PILOT_IMAGES

CONTRIBUTORS = 8
LEVEL = 0.9
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
TRUTH = 200_000
"""Images of the pool that stands for the truth."""


@dataclass(frozen=True)
class Cells:
    """A world's cells, the last of which is nobody's, with who has which share of them."""

    world: World
    condition: Ints
    shares: Floats

    def game(self, utility: str, counts: Ints, seed: int) -> MixtureGame:
        """The game on a pool with these counts. Pools of one seed share their images: the larger holds the smaller."""
        parts = []
        for cell, count in enumerate(counts.tolist()):
            # Drawn in blocks, so that more images only append.
            blocks = np.full(-(-count // 64) * 64, self.condition[cell])
            rng = np.random.default_rng([seed, cell])
            parts += [self.world.images(blocks[at : at + 64], rng) for at in range(0, len(blocks), 64)]
        kept = np.concatenate([np.arange(-(-count // 64) * 64) < count for count in counts.tolist()])
        images = Encoded(
            np.concatenate([part.features for part in parts])[kept],
            np.concatenate([part.probabilities for part in parts])[kept],
            np.zeros(counts.sum(), dtype=np.int64),
            ("a", "b"),
        )
        names = tuple(map(str, range(self.world.n)))
        cells = np.repeat(np.arange(len(counts)), counts)
        membership = Membership(names, self.world.rows, sp.csr_array(self.shares), cells, len(counts) - 1)
        return MixtureGame(make(utility, images, self.world), membership)

    def even(self, images: int) -> Ints:
        """Counts of an even split, unconditional images for as much as one contributor has."""
        sizes = self.shares.mean(axis=0)[:-1]
        return np.append(allocate(sizes, images, least=2), max(2, images // self.world.n))

    def sizes(self) -> Floats:
        """As the executor has them."""
        sizes = self.shares.mean(axis=0)
        sizes[-1] = 1 / self.world.n
        return sizes


def cells_of(world: World, own: bool) -> Cells:
    """The cells of a world."""
    if not own:
        return Cells(world, np.arange(CONDITIONS + 1), world.shares)
    owner, condition = np.nonzero(world.shares > 0.02)
    shares = np.zeros((world.n, len(owner) + 1))
    shares[owner, np.arange(len(owner))] = world.shares[owner, condition]
    shares /= shares.sum(axis=1, keepdims=True)
    return Cells(world, np.append(condition, CONDITIONS), shares)


@dataclass(frozen=True)
class Look:
    """A pool's game."""

    game: MixtureGame
    counts: Ints
    values: Floats
    sd: Floats

    @property
    def width(self) -> float:
        """The widest interval as a share of the largest value."""
        return float(2 * Z * self.sd.max() / np.abs(self.values).max())

    def covered(self, true: Floats) -> float:
        """Share of the intervals that hold the truth."""
        return float((np.abs(self.values - true) <= Z * self.sd).mean())


def look(cells: Cells, utility: str, counts: Ints, seed: int, resamples: int) -> Look:
    """The game with its values and their standard errors."""
    game = cells.game(utility, counts, seed)
    values = exact_shapley(game(all_masks(game.n)), game.n)
    return Look(game, counts, values, image_draws(game, resamples, seed).std(axis=0, ddof=1))


def adaptive(cells: Cells, utility: str, budget: int, seed: int, resamples: int) -> list[Look]:
    """All rounds, until the budget is spent."""
    whole = cells.even(budget)
    pilot = cells.even(min(budget, max(ceil(budget / PILOT), PILOT_IMAGES * cells.world.n)))
    unit = units_of(np.append(cells.shares[:, :-1].argmax(axis=0), cells.world.n))
    rounds = [look(cells, utility, np.minimum(whole, np.maximum(pilot, 2)), seed, resamples)]
    while (images := int(rounds[-1].counts.sum())) < whole.sum():
        last = rounds[-1]
        draws = unit_draws(last.game, np.repeat(unit, last.counts), int(unit.max()) + 1, seed)
        need = Need(draws, last.sd, np.full(last.game.n, np.abs(last.values).max()))
        spread = spreads([need], last.counts, cells.sizes(), unit)
        counts = extend(last.counts, spread, min(int(whole.sum()), ceil(images * GROWTH)) - images)
        rounds.append(look(cells, utility, counts, seed, resamples))
    return rounds


def stopping(rounds: list[Look], wanted: float) -> Look:
    """The first round without a wider interval, or the last."""
    return next((one for one in rounds if one.width <= wanted), rounds[-1])


def truth_of(cells: Cells, utility: str) -> Floats:
    """Values on a pool that is as good as infinite."""
    game = cells.game(utility, np.full(len(cells.condition), TRUTH // len(cells.condition)), 10**6)
    return exact_shapley(game(all_masks(game.n)), game.n)


def compared(own: bool, utility: str, budget: int, pools: int, resamples: int) -> str:
    """One line of the table: medians over pools, and shares of intervals."""
    found = []
    worlds = [cells_of(make_world(CONTRIBUTORS, seed), own) for seed in range(min(3, pools))]
    truths = [truth_of(cells, utility) for cells in worlds]
    for seed in range(pools):
        cells, true = worlds[seed % len(worlds)], truths[seed % len(worlds)]
        wanted = look(cells, utility, cells.even(round(0.6 * budget)), 10**5 + seed, resamples).width
        grown = adaptive(cells, utility, budget, seed, resamples)
        even = [look(cells, utility, grown[0].counts, seed, resamples)]
        sizes = [int(one.counts.sum()) for one in grown]
        split = [cells.even(round(budget * size / sizes[-1])) for size in sizes[1:]]
        even += [look(cells, utility, counts, seed, resamples) for counts in split]
        stopped = stopping(grown, wanted)
        found.append(
            [
                even[-1].width,
                grown[-1].width,
                (even[-1].width / grown[-1].width) ** 2,
                error(even[-1].values, true),
                error(grown[-1].values, true),
                float(stopping(even, wanted).counts.sum()),
                float(stopped.counts.sum()),
                even[-1].covered(true),
                grown[-1].covered(true),
                stopped.covered(true),
            ]
        )
    columns = list(zip(*found, strict=True))
    numbers = [f"{statistics.median(column):.2f}" for column in columns[:5]]
    images = [f"{statistics.mean(column):,.0f}" for column in columns[5:7]]
    shares = [f"{statistics.mean(column):.0%}" for column in columns[7:]]
    return " | ".join([f"{sizes[-1]:,}", *numbers[:2], f"× {numbers[2]}", *numbers[3:], *images, *shares])


HEAD = (
    "cells",
    "utility",
    "budget",
    "width: even",
    "adaptive",
    "even needs",
    "error: even",
    "adaptive",
    "images to the rule: even",
    "adaptive",
    "coverage: even",
    "adaptive",
    "stopped by the rule",
)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer pools and images; other figures")
    quick = parser.parse_args().quick
    budget, pools, resamples = (600, 2, 30) if quick else (1_000, 8, 60)
    began = time.process_time()
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    for own in (False, True):
        for utility in UTILITIES:
            line = compared(own, utility, budget, pools, resamples)
            print(f"| {'own' if own else 'shared'} | {utility} | {line} |", flush=True)
    print(f"\n{pools} pools each, on {min(3, pools)} worlds. {time.process_time() - began:.0f} s of CPU time.")


if __name__ == "__main__":
    main()
