"""How near Shapley values come to the truth on simulated mixture games: the published recipe and this project's.

    python bench/estimator.py            # the figures of RESULTS.md
    python bench/estimator.py --quick    # under a minute

A world has K conditions, each with a Gaussian in feature space and a score, and contributors with their own
distribution over conditions and their own row counts. Needs `pip install surrogateshap[bench]`.
"""

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import scipy.sparse as sp
from pydantic import TypeAdapter

from surrogateshap.estimate import (
    TreeSettings,
    all_masks,
    draw_pairs,
    exact_shapley,
    fit_surrogate,
    kernel_shapley,
)
from surrogateshap.estimate.fit import share_gap
from surrogateshap.estimate.surrogate import train, with_full
from surrogateshap.games import FreshGame, Membership, MixtureGame, Utility, coalition_shares, make_utility
from surrogateshap.games.encoded import Bools, Encoded, Floats, Ints
from surrogateshap.spec.model import UtilitySection

CONDITIONS, DIMENSIONS = 20, 6
UTILITIES = ("mean", "quantile", "frechet", "pairwise")
PUBLISHED_COALITIONS = 300
SECTION: TypeAdapter[UtilitySection] = TypeAdapter(UtilitySection)


@dataclass(frozen=True)
class World:
    """Contributors' rows and shares, and the distribution of images under each condition (the last: none)."""

    rows: Ints
    shares: Floats
    means: Floats
    factors: Floats
    scores: Floats
    reference: Encoded

    @property
    def n(self) -> int:
        """Contributors."""
        return len(self.rows)

    def images(self, cells: Ints, rng: np.random.Generator) -> Encoded:
        """One image for each entry of `cells`."""
        noise = rng.normal(size=(len(cells), DIMENSIONS))
        features = self.means[cells] + np.einsum("nij,nj->ni", self.factors[cells], noise)
        # Two classes, of which the first has the score: a hundredth is fine enough for its quantiles.
        logit = self.scores[cells] + 0.6 * rng.normal(size=len(cells))
        score = np.round(1 / (1 + np.exp(-logit)), 2)
        return Encoded(features, np.column_stack([score, 1 - score]), np.zeros(len(cells), dtype=np.int64), ("a", "b"))

    def pool(self, each: int, rng: np.random.Generator) -> tuple[Encoded, Membership]:
        """A pool with `each` images of every condition, and of none."""
        cells = np.repeat(np.arange(CONDITIONS + 1), each)
        names = tuple(map(str, range(self.n)))
        return self.images(cells, rng), Membership(names, self.rows, sp.csr_array(self.shares), cells, CONDITIONS)

    def fresh(self, masks: Bools, each: int, rng: np.random.Generator) -> tuple[Encoded, Ints]:
        """`each` new images for every coalition, and the coalition of each image."""
        mixture = coalition_shares(masks, self.rows) @ self.shares
        mixture[~masks.any(axis=1), CONDITIONS] = 1
        cells = [rng.choice(CONDITIONS + 1, size=each, p=p / p.sum()) for p in mixture]
        return self.images(np.concatenate(cells), rng), np.repeat(np.arange(len(masks)), each)


def make_world(n: int, seed: int) -> World:
    """Dirichlet shares (concentration 0.3), log-normal row counts (sd of log 0.8, at least 5)."""
    rng = np.random.default_rng([n, seed])
    means = rng.normal(size=(CONDITIONS + 1, DIMENSIONS))
    size = rng.uniform(0.25, 1, size=(CONDITIONS + 1, 1, 1)) / np.sqrt(DIMENSIONS)
    factors = size * rng.normal(size=(CONDITIONS + 1, DIMENSIONS, DIMENSIONS))
    means[-1], factors[-1] = 0, 1.2 * np.eye(DIMENSIONS)
    scores = 0.7 * rng.normal(size=CONDITIONS + 1)
    shares = np.hstack([rng.dirichlet(np.full(CONDITIONS, 0.3), size=n), np.zeros((n, 1))])
    rows = np.maximum(5, rng.lognormal(4, 0.8, size=n)).astype(np.int64)
    target = rng.normal(size=(2_000, DIMENSIONS)) * np.linspace(0.7, 1.5, DIMENSIONS)
    reference = Encoded(target, np.full((2_000, 2), 0.5), np.zeros(2_000, dtype=np.int64), ("a", "b"))
    return World(rows, shares, means, factors, scores, reference)


def make(name: str, images: Encoded, world: World) -> Utility:
    """One of UTILITIES on some images."""
    score: dict[str, Any] = {"kind": "score", "score": {"class": 0}}
    section: dict[str, Any] = {
        "mean": score,
        "quantile": {**score, "statistic": {"quantile": 0.9}},
        "frechet": {"kind": "frechet"},
        "pairwise": {"kind": "pairwise"},
    }[name]
    return make_utility(SECTION.validate_python({"name": name, **section}), images, world.reference)


def truth(game: MixtureGame, orderings: int) -> tuple[Floats, float]:
    """Shapley values and their relative standard error: all coalitions up to 20 contributors, else orderings.

    Orderings come in reversed pairs and are spent on what a surrogate misses, whose own Shapley values are known: it
    only lowers the variance.
    """
    n = game.n
    if n <= 20:
        return exact_shapley(game(all_masks(n)), n), 0.0
    masks = draw_pairs(n, 2_000, seed=10**6)
    linear = train(*with_full(masks, game(masks), game.v_full), game.rows, TreeSettings(trees=1), 0)
    rng, batches = np.random.default_rng(10**6), []
    for _ in range(max(2, orderings // 100)):
        order = rng.random((50, n)).argsort(axis=1)
        order = np.vstack([order, order[:, ::-1]])
        place = order.argsort(axis=1)
        chain = (place[:, None, :] < np.arange(n + 1)[None, :, None]).reshape(-1, n)
        missed = (game(chain) - linear.predict(chain)).reshape(100, n + 1)
        missed[:, 0] = 0  # the jump at ∅ is worth the same to all, so it needs no sampling
        gains = np.empty((100, n))
        np.put_along_axis(gains, order, np.diff(missed, axis=1), axis=1)
        batches.append(gains.mean(axis=0))
    values, _ = share_gap(linear.shapley() + np.mean(batches, axis=0), game.v_full - game.v_empty)
    error = np.std(batches, axis=0, ddof=1) / np.sqrt(len(batches))
    return values, float(np.linalg.norm(error) / np.linalg.norm(values - values.mean()))


def published(masks: Bools, values: Floats, v_empty: float, v_full: float) -> Floats:
    """XGBoost (900 trees, depth 5, else its defaults) on the coalitions, ∅ and N, then interventional TreeSHAP."""
    import shap
    import xgboost

    n = masks.shape[1]
    ends = np.array([np.zeros(n), np.ones(n)])
    model = xgboost.XGBRegressor(n_estimators=900, max_depth=5, n_jobs=1, random_state=0)
    model.fit(np.vstack([masks, ends]), np.append(values, [v_empty, v_full]))
    explainer = shap.TreeExplainer(model, data=ends[:1], feature_perturbation="interventional")
    return np.asarray(explainer.shap_values(ends[1:])[0], dtype=np.float64)


def shapiq_kernel(game: MixtureGame, budget: int, seed: int) -> Floats:
    """Shapiq's KernelSHAP, with its own draw of `budget` coalitions."""
    import shapiq

    found = shapiq.KernelSHAP(n=game.n, pairing_trick=True, random_state=seed).approximate(budget, game)
    return np.asarray(found.get_n_order_values(1))


def error(values: Floats, known: Floats) -> float:
    """Relative L2 error of Shapley values centred on their mean."""
    centred = known - known.mean()
    return float(np.linalg.norm(values - values.mean() - centred) / np.linalg.norm(centred))


Estimator = Callable[[MixtureGame, Bools, Floats, int], Floats]


def ours(game: MixtureGame | FreshGame, masks: Bools, values: Floats, seed: int, rows: Ints | None) -> Floats:
    """The surrogate of this project; `rows` None: without knowing row counts."""
    return fit_surrogate(
        masks, values, game.v_empty, game.v_full, TreeSettings(), seed, rows, cross_validate=False
    ).values


ESTIMATORS: dict[str, Estimator] = {
    "published": lambda g, m, v, s: published(m, v, g.v_empty, g.v_full),
    "ours": lambda g, m, v, s: ours(g, m, v, s, g.rows),
    "ours, no row counts": lambda g, m, v, s: ours(g, m, v, s, None),
    "KernelSHAP": lambda g, m, v, s: kernel_shapley(m, v, g.v_empty, g.v_full),
    "shapiq KernelSHAP": lambda g, m, v, s: shapiq_kernel(g, len(m), s),
}


def table(title: str, head: list[str], lines: dict[tuple[str, ...], dict[str, list[float]]]) -> None:
    """Prints medians as a Markdown table."""
    columns = list(next(iter(lines.values())))
    print(f"\n### {title}\n\n| {' | '.join(head + columns)} |\n|{'---|' * (len(head) + len(columns))}")
    for key, cells in lines.items():
        medians = [f"{statistics.median(cells[c]):.3f}" for c in columns]
        print(f"| {' | '.join([*key, *medians])} |", flush=True)


def main() -> None:
    """Runs both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="smaller worlds; under a minute")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")  # of the compared packages, not of this one
    sizes, seeds = ((12, 30), 1) if quick else ((20, 100), 3)
    budgets = {n: (200,) if quick else ((300, 1_000) if n <= 20 else (1_000, 4_000)) for n in sizes}
    per_coalition = (16,) if quick else (8, 64)
    population, orderings = (300, 1_000) if quick else (1_000, 10_000)
    started = time.perf_counter()
    packages = ("numpy", "scipy", "lightgbm", "shap", "xgboost-cpu", "shapiq")
    print(f"Python {platform.python_version()}; {', '.join(f'{p} {version(p)}' for p in packages)}; {seeds} seeds")
    coalitions: dict[tuple[str, ...], dict[str, list[float]]] = {}
    images: dict[tuple[str, ...], dict[str, list[float]]] = {}
    worst = 0.0
    for n in sizes:
        for seed in range(seeds):
            world = make_world(n, seed)
            everything, membership = world.pool(population, np.random.default_rng([n, seed, 1]))
            known = {}
            for name in UTILITIES:
                game = MixtureGame(make(name, everything, world), membership)
                known[name], doubt = truth(game, orderings)
                worst = max(worst, doubt)
                for m in budgets[n]:
                    masks = draw_pairs(n, m // 2, seed)
                    values = game(masks)
                    line = coalitions.setdefault((str(n), name, f"{m:,}"), {e: [] for e in ESTIMATORS})
                    for label, estimator in ESTIMATORS.items():
                        line[label].append(error(estimator(game, masks, values, seed), known[name]))
            for each in per_coalition:
                equal_images(world, each, seed, known, images)
            print(f"<!-- {n} contributors, seed {seed}: {time.perf_counter() - started:.0f} s -->", flush=True)
    table("On the same coalitions, with exact values of v", ["contributors", "utility", "coalitions"], coalitions)
    table("With as many generated images", ["contributors", "utility", "images"], images)
    print(f"\nLargest relative standard error of a truth: {worst:.4f}. {time.perf_counter() - started:.0f} s.")


def equal_images(
    world: World,
    each: int,
    seed: int,
    known: dict[str, Floats],
    lines: dict[tuple[str, ...], dict[str, list[float]]],
) -> None:
    """The published recipe on fresh images of each of its coalitions, and ours on one pool of as many images."""
    n, rng = world.n, np.random.default_rng([world.n, seed, each])
    masks = np.vstack([draw_pairs(n, PUBLISHED_COALITIONS // 2, seed), np.zeros((1, n)), np.ones((1, n))]).astype(bool)
    new, of_image = world.fresh(masks, each, rng)
    pool, membership = world.pool(len(new.features) // (CONDITIONS + 1), rng)
    drawn = draw_pairs(n, 1_000, seed)
    for name in UTILITIES:
        line = lines.setdefault(
            (str(n), name, f"{len(new.features):,}"),
            {"published, fresh images": [], "ours, fresh images": [], "ours, one pool": []},
        )
        fresh = FreshGame(make(name, new, world), masks, of_image)
        values = fresh.values()[:-2]
        line["published, fresh images"].append(
            error(published(masks[:-2], values, fresh.v_empty, fresh.v_full), known[name])
        )
        line["ours, fresh images"].append(error(ours(fresh, masks[:-2], values, seed, world.rows), known[name]))
        game = MixtureGame(make(name, pool, world), membership)
        line["ours, one pool"].append(error(ours(game, drawn, game(drawn), seed, world.rows), known[name]))


if __name__ == "__main__":
    main()
