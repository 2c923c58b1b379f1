"""How often contributors without fault are flagged, and how often noise and wrong labels are found, by simulation.

    OMP_NUM_THREADS=1 python bench/flags.py

Losses of images are log-normal: contributors differ by a factor whose logarithm has the standard deviation `between`,
their images by one with `within`. A condition lowers an image's loss by a share around 20 %, of which half varies by
contributor and image alike. `noise` has twice the loss; of `wrong labels` the conditions raise it by 5 %.
"""

import itertools

import numpy as np

from surrogateshap.estimate.flags import Losses, judge

WORLDS = 400


def losses(rng: np.random.Generator, n: int, images: int, between: float, within: float, harm: str) -> list[Losses]:
    """One grouping; the first contributor has the harm."""
    found = []
    for contributor in range(n):
        level = between * rng.normal() + (np.log(2) if harm == "noise" and contributor == 0 else 0.0)
        alone = np.exp(level + within * rng.normal(size=images))
        helped = 0.2 * (1 + 0.25 * rng.normal() + 0.25 * rng.normal(size=images))
        if harm == "wrong labels" and contributor == 0:
            helped = -0.05 * (1 + 0.5 * rng.normal(size=images))
        found.append(Losses(alone * (1 - helped), alone))
    return found


def main() -> None:
    """Prints one table."""
    print("| contributors | images each | between | within | flagged without fault | noise | wrong labels |")
    print("|---|---|---|---|---|---|---|")
    worst = 0.0
    cases = itertools.product((6, 14, 50), (20, 100), (0.05, 0.2), (0.3, 0.8))
    for number, (n, images, between, within) in enumerate(cases):
        shares = []
        for harm in ("", "noise", "wrong labels"):
            rng = np.random.default_rng([number, len(harm)])
            verdicts = [judge(losses(rng, n, images, between, within, harm)) for _ in range(WORLDS)]
            hits = [any(one.flags for one in found) if harm == "" else bool(found[0].flags) for found in verdicts]
            shares.append(float(np.mean(hits)))
        worst = max(worst, shares[0])
        print(f"| {n} | {images} | {between} | {within} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    print(f"\nWorst without fault: {worst:.0%} of the groupings have a flag.")


if __name__ == "__main__":
    main()
