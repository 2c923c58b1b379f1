"""How near Shapley values come to the truth on simulated mixture games: the published recipe and this project's.

    python bench/estimator.py               # every estimator, on the same coalitions and with as many images
    python bench/estimator.py scale         # error and seconds by number of coalitions, up to 258 contributors
    python bench/estimator.py adjusted      # the surrogate with its residual estimated without bias
    python bench/estimator.py [PART] --quick

A world has K conditions, each with a Gaussian in feature space and a score, and contributors with their own
distribution over conditions and their own row counts. Needs `pip install surrogateshap[bench]`.
"""

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import scipy.sparse as sp
from pydantic import TypeAdapter

from surrogateshap.estimate import (
    ESTIMATORS,
    Options,
    Sample,
    TreeSettings,
    all_masks,
    draw_pairs,
    estimate_game,
    exact_shapley,
    fit_surrogate,
)
from surrogateshap.estimate.fit import share_gap
from surrogateshap.estimate.surrogate import train, with_full
from surrogateshap.games import FreshGame, Membership, MixtureGame, Utility, coalition_shares, make_utility
from surrogateshap.games.encoded import Bools, Encoded, Floats, Ints
from surrogateshap.spec.utilities import UtilitySection

CONDITIONS, DIMENSIONS = 20, 6
UTILITIES = ("mean", "quantile", "frechet", "pairwise")
PUBLISHED_COALITIONS = 300
VIEW = ("features", "probabilities", "conditions")
COVERED = 50
"""Reference images of a coverage."""
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
        noise = rng.normal(size=(len(cells), self.means.shape[1]))
        features = self.means[cells] + np.einsum("nij,nj->ni", self.factors[cells], noise)
        # Two classes, of which the first has the score: a hundredth is fine enough for its quantiles.
        logit = self.scores[cells] + 0.6 * rng.normal(size=len(cells))
        score = np.round(1 / (1 + np.exp(-logit)), 2)
        return Encoded(features, np.column_stack([score, 1 - score]), np.zeros(len(cells), dtype=np.int64), ("a", "b"))

    def pool(self, each: int, rng: np.random.Generator, without: int | None = None) -> tuple[Encoded, Membership]:
        """A pool with `each` images of every condition, and of none; or `without` of none."""
        counts = [each] * CONDITIONS + [each if without is None else without]
        cells = np.repeat(np.arange(CONDITIONS + 1), counts)
        names = tuple(map(str, range(self.n)))
        return self.images(cells, rng), Membership(names, self.rows, sp.csr_array(self.shares), cells, CONDITIONS)

    def fresh(self, masks: Bools, each: int, rng: np.random.Generator) -> tuple[Encoded, Ints]:
        """`each` new images for every coalition, and the coalition of each image."""
        mixture = coalition_shares(masks, self.rows) @ self.shares
        mixture[~masks.any(axis=1), CONDITIONS] = 1
        cells = [rng.choice(CONDITIONS + 1, size=each, p=p / p.sum()) for p in mixture]
        return self.images(np.concatenate(cells), rng), np.repeat(np.arange(len(masks)), each)


def make_world(n: int, seed: int, dimensions: int = DIMENSIONS) -> World:
    """Dirichlet shares (concentration 0.3), log-normal row counts (sd of log 0.8, at least 5)."""
    rng = np.random.default_rng([n, seed])
    means = rng.normal(size=(CONDITIONS + 1, dimensions))
    size = rng.uniform(0.25, 1, size=(CONDITIONS + 1, 1, 1)) / np.sqrt(dimensions)
    factors = size * rng.normal(size=(CONDITIONS + 1, dimensions, dimensions))
    means[-1], factors[-1] = 0, 1.2 * np.eye(dimensions)
    scores = 0.7 * rng.normal(size=CONDITIONS + 1)
    shares = np.hstack([rng.dirichlet(np.full(CONDITIONS, 0.3), size=n), np.zeros((n, 1))])
    rows = np.maximum(5, rng.lognormal(4, 0.8, size=n)).astype(np.int64)
    target = rng.normal(size=(2_000, dimensions)) * np.linspace(0.7, 1.5, dimensions)
    reference = Encoded(target, np.full((2_000, 2), 0.5), np.zeros(2_000, dtype=np.int64), ("a", "b"))
    return World(rows, shares, means, factors, scores, reference)


def make(name: str, images: Encoded, world: World) -> Utility:
    """A utility on some images: one of UTILITIES, or of those in coverage.py."""
    score: dict[str, Any] = {"kind": "score", "score": {"class": 0}}
    section: dict[str, Any] = {
        "mean": score,
        "quantile": {**score, "statistic": {"quantile": 0.9}},
        "frechet": {"kind": "frechet"},
        "pairwise": {"kind": "pairwise"},
        "kernel": {"kind": "kernel"},
        "inception": {"kind": "inception"},
        "vendi": {"kind": "vendi"},
        "clusters": {"kind": "cluster_entropy"},
        "phi": {"kind": "association", "between": ({"class": 0}, {"class": 0})},
        "information": {
            "kind": "association",
            "between": ({"class": 0}, {"class": 0}),
            "measure": "mutual_information",
        },
        "coverage": {"kind": "coverage"},
        "ms_ssim": {"kind": "ms_ssim"},
    }[name]
    reference, second = world.reference, None
    if name == "coverage":
        reference = replace(reference, **{part: getattr(reference, part)[:COVERED] for part in VIEW})
    if name in ("phi", "information"):
        positive = images.features[:, 0] > 0
        second = replace(images, probabilities=np.column_stack([positive, ~positive]) * 1.0)
    if name == "ms_ssim":
        images = replace(images, features=pictures(images.features))
    return make_utility(SECTION.validate_python({"name": name, **section}), images, reference, second)


def pictures(features: Floats, size: int = 16) -> Floats:
    """(N, size²) pixels in [0, 1]: features (N, d) as the strengths of d fixed waves."""
    x, waves = np.linspace(0, 2 * np.pi, size), np.random.default_rng(0).integers(0, 4, size=(features.shape[1], 2))
    across = np.cos(waves[:, :1] * x + 1)[:, :, None] * np.cos(waves[:, 1:] * x + 2)[:, None, :]
    return np.asarray(1 / (1 + np.exp(-2 * features @ across.reshape(len(waves), -1))))


def truth(game: MixtureGame, orderings: int) -> tuple[Floats, float]:
    """Shapley values and their relative standard error: all coalitions up to 20 contributors, else orderings.

    Orderings come in reversed pairs and are spent on what a surrogate misses, whose own Shapley values are known: it
    only lowers the variance.
    """
    n = game.n
    if n <= 20:
        return exact_shapley(game(all_masks(n)), n), 0.0
    masks = draw_pairs(n, 2_000, seed=10**6)
    known = train(*with_full(masks, game(masks), game.v_full), game.rows, TreeSettings(trees=1), 0)
    rng, batches = np.random.default_rng(10**6), []
    for _ in range(max(2, orderings // 100)):
        order = rng.random((50, n)).argsort(axis=1)
        order = np.vstack([order, order[:, ::-1]])
        place = order.argsort(axis=1)
        chain = (place[:, None, :] < np.arange(n + 1)[None, :, None]).reshape(-1, n)
        missed = (game(chain) - known.predict(chain)).reshape(100, n + 1)
        missed[:, 0] = 0  # the jump at ∅ is worth the same to all, so it needs no sampling
        gains = np.empty((100, n))
        np.put_along_axis(gains, order, np.diff(missed, axis=1), axis=1)
        batches.append(gains.mean(axis=0))
    values, _ = share_gap(known.shapley() + np.mean(batches, axis=0), game.v_full - game.v_empty)
    error = np.std(batches, axis=0, ddof=1) / np.sqrt(len(batches))
    return values, float(np.linalg.norm(error) / np.linalg.norm(values - values.mean()))


def by_name(name: str, game: MixtureGame | FreshGame, masks: Bools, values: Floats, seed: int) -> Floats:
    """One of the project's estimators on coalitions that are given."""
    sample = Sample(masks, values, game.v_empty, game.v_full)
    return ESTIMATORS[name].fit(sample, Options(seed=seed, cross_validate=False)).values


def on_its_own(name: str, game: MixtureGame, coalitions: int, seed: int) -> Floats:
    """One of the project's estimators on coalitions that it draws itself."""
    return estimate_game(name, game, game.n, coalitions, Options(seed=seed)).values


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


def adjusted(game: MixtureGame, masks: Bools, values: Floats, seed: int, folds: int = 5) -> Floats:
    """The surrogate as a control variate (Witter et al. 2025): what it misses on coalitions that it wasn't fitted to.

    φ = φ(f) + E[(n [i ∈ S] − s) r(S)] Σ_s 1/(s (n − s)) over the Shapley kernel, with the residual r = v − f.
    """
    n, sizes = game.n, masks.sum(axis=1)
    fold = np.random.default_rng(seed).permutation(len(masks) // 2).repeat(2) % folds
    span = np.arange(1, n)
    whole = (1 / (span * (n - span))).sum()
    found = np.zeros(n)
    for k in range(folds):
        out = fold == k
        model = train(*with_full(masks[~out], values[~out], game.v_full), game.rows, TreeSettings(), seed)
        top = float(model.predict(np.ones((1, n), dtype=np.bool_))[0])
        base, _ = share_gap(model.shapley(), top - game.v_empty)
        missed = values[out] - model.predict(masks[out])
        signs = n * masks[out] - sizes[out][:, None]
        found += base + (game.v_full - top) / n + whole * (signs * missed[:, None]).mean(axis=0)
    return found / folds


COMPARED: dict[str, Estimator] = {
    "published": lambda g, m, v, s: by_name("surrogateshap_paper", g, m, v, s),
    "ours": lambda g, m, v, s: ours(g, m, v, s, g.rows),
    "ours, no row counts": lambda g, m, v, s: ours(g, m, v, s, None),
    "KernelSHAP": lambda g, m, v, s: by_name("kernel", g, m, v, s),
    "shapiq KernelSHAP": lambda g, m, v, s: shapiq_kernel(g, len(m), s),
    "permutation": lambda g, m, v, s: on_its_own("permutation", g, len(m), s),
    "leave-one-out": lambda g, m, v, s: on_its_own("leave_one_out", g, len(m), s),
}


def table(title: str, head: list[str], lines: dict[tuple[str, ...], dict[str, list[float]]]) -> None:
    """Prints medians as a Markdown table."""
    columns = list(next(iter(lines.values())))
    print(f"\n### {title}\n\n| {' | '.join(head + columns)} |\n|{'---|' * (len(head) + len(columns))}")
    for key, cells in lines.items():
        medians = [f"{statistics.median(cells[c]):.3f}" for c in columns]
        print(f"| {' | '.join([*key, *medians])} |", flush=True)


def main() -> None:
    """Runs one part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("part", nargs="?", default="compare", choices=["compare", "scale", "adjusted"])
    parser.add_argument("--quick", action="store_true", help="smaller worlds; under a minute")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")  # of the compared packages, not of this one
    started = time.perf_counter()
    packages = ("numpy", "scipy", "lightgbm", "shap", "xgboost-cpu", "shapiq")
    print(f"Python {platform.python_version()}; {', '.join(f'{p} {version(p)}' for p in packages)}")
    worst = {"compare": compare, "scale": scale, "adjusted": control}[given.part](given.quick)
    print(f"\nLargest relative standard error of a truth: {worst:.4f}. {time.perf_counter() - started:.0f} s.")


def compare(quick: bool) -> float:
    """Every estimator; returns the largest relative standard error of a truth."""
    sizes, seeds = ((12, 30), 1) if quick else ((20, 100), 3)
    budgets = {n: (200,) if quick else ((300, 1_000) if n <= 20 else (1_000, 4_000)) for n in sizes}
    per_coalition = (16,) if quick else (8, 64)
    population, orderings = (300, 1_000) if quick else (1_000, 10_000)
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
                    line = coalitions.setdefault((str(n), name, f"{m:,}"), {e: [] for e in COMPARED})
                    for label, estimator in COMPARED.items():
                        line[label].append(error(estimator(game, masks, values, seed), known[name]))
            for each in per_coalition:
                equal_images(world, each, seed, known, images)
    table("On the same coalitions, with exact values of v", ["contributors", "utility", "coalitions"], coalitions)
    table("With as many generated images", ["contributors", "utility", "images"], images)
    return worst


def scale(quick: bool) -> float:
    """Ours by number of coalitions: error, and seconds of drawing, evaluating and fitting."""
    budgets: dict[int, tuple[int, ...]] = {
        20: (1_000, 4_000, 16_000),
        100: (4_000, 8_000, 16_000, 32_000),
        258: (4_000, 8_000, 16_000),
    }
    return _by_coalitions(
        {30: (500, 1_000)} if quick else budgets,
        {"ours": lambda g, m, v, s: ours(g, m, v, s, g.rows)},
        1 if quick else 2,
        "By number of coalitions",
        quick,
    )


def control(quick: bool) -> float:
    """Ours, and ours with its residual estimated without bias."""
    return _by_coalitions(
        {20: (500,)} if quick else {20: (1_000, 16_000), 100: (4_000,)},
        {"ours": lambda g, m, v, s: ours(g, m, v, s, g.rows), "regression-adjusted": adjusted},
        1,
        "The surrogate as a control variate",
        quick,
    )


def _by_coalitions(
    budgets: dict[int, tuple[int, ...]], estimators: dict[str, Estimator], seeds: int, title: str, quick: bool
) -> float:
    lines: dict[tuple[str, ...], dict[str, list[float]]] = {}
    worst = 0.0
    for n, most in budgets.items():
        for seed in range(seeds if n <= 100 else 1):
            world = make_world(n, seed)
            everything, membership = world.pool(300 if quick else 1_000, np.random.default_rng([n, seed, 1]))
            for name in UTILITIES:
                game = MixtureGame(make(name, everything, world), membership)
                known, doubt = truth(game, 1_000 if quick else (10_000 if n <= 100 else 3_000))
                worst = max(worst, doubt)
                for m in most:
                    line = lines.setdefault(
                        (str(n), name, f"{m:,}"), {c: [] for e in estimators for c in (e, f"{e}: seconds")}
                    )
                    for label, estimator in estimators.items():
                        since = time.perf_counter()
                        masks = draw_pairs(n, m // 2, seed)
                        values = estimator(game, masks, game(masks), seed)
                        line[f"{label}: seconds"].append(time.perf_counter() - since)
                        line[label].append(error(values, known))
    table(title, ["contributors", "utility", "coalitions"], lines)
    return worst


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
            error(by_name("surrogateshap_paper", fresh, masks[:-2], values, seed), known[name])
        )
        line["ours, fresh images"].append(error(ours(fresh, masks[:-2], values, seed, world.rows), known[name]))
        game = MixtureGame(make(name, pool, world), membership)
        line["ours, one pool"].append(error(ours(game, drawn, game(drawn), seed, world.rows), known[name]))


if __name__ == "__main__":
    main()
