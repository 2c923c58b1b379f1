"""How often 90 % intervals hold the truth, on the simulated mixture games of estimator.py.

    python bench/coverage.py            # the figures of RESULTS.md
    python bench/coverage.py --quick    # under a minute

One world with 8 contributors, whose coalitions are all evaluated: what is unsure is the pool's images alone. For each
utility and number of images per condition, pools are drawn again and again, and intervals come from each. Bias is the
mean error of the values in units of their standard error: it is what a small pool does to a curved utility, and what no
interval around the estimate covers.
"""

import argparse
import time

import numpy as np
from estimator import UTILITIES, make, make_world

from surrogateshap.estimate import all_masks, exact_shapley, image_draws, intervals
from surrogateshap.games import MixtureGame

CONTRIBUTORS = 8
LEVEL = 0.9
TRUTH = 20_000
"""Images per condition of the pool that stands for the truth."""


def coverage(utility: str, each: int, pools: int, resamples: int) -> tuple[float, float]:
    """Share of intervals that hold the truth, and the largest bias of a contributor, in standard errors."""
    world, masks = make_world(CONTRIBUTORS, 0), all_masks(CONTRIBUTORS)
    images, membership = world.pool(TRUTH, np.random.default_rng(10**6))
    true = exact_shapley(MixtureGame(make(utility, images, world), membership)(masks), CONTRIBUTORS)
    held, found = [], []
    for pool in range(pools):
        images, membership = world.pool(each, np.random.default_rng([each, pool]))
        game = MixtureGame(make(utility, images, world), membership)
        values = exact_shapley(game(masks), CONTRIBUTORS)
        sure = intervals(values, image_draws(game, resamples, pool), None, LEVEL)
        held.append((sure.low <= true) & (true <= sure.high))
        found.append(values)
    bias = (np.mean(found, axis=0) - true) / np.std(found, axis=0, ddof=1)
    return float(np.mean(held)), float(bias[np.abs(bias).argmax()])


def main() -> None:
    """Prints a table of coverage and bias."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer pools and sizes; other figures")
    quick = parser.parse_args().quick
    sizes, pools, resamples = ((10, 50), 20, 50) if quick else ((5, 10, 30, 100), 100, 100)
    began = time.perf_counter()
    print(f"\n| utility | {' | '.join(f'{each} images per condition' for each in sizes)} |")
    print("|---" * (len(sizes) + 1) + "|")
    for utility in UTILITIES:
        cells = [coverage(utility, each, pools, resamples) for each in sizes]
        print(f"| {utility} | {' | '.join(f'{share:.0%} (bias {bias:+.1f})' for share, bias in cells)} |", flush=True)
    print(f"\n{pools} pools each. {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
