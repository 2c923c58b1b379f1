"""How near proxy games come to really retrained models on three designs of real digits, and what a few anchors add.

    python bench/fidelity.py            # about 15 minutes on one core, most of them for the pools of five strengths
    python bench/fidelity.py --quick    # one design and one strength, under two minutes

Truth: the tables of `retrain.py` in bench/retrained, one model per coalition. Proxy games: this package's own runs on
the frozen model of each design, 100 images per contributor. Agreement is measured on coalitions that no fit has seen:
30 of half size and 20 of Shapley-kernel sizes for each design. Anchors are other coalitions of half size.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
from designs import BAD, DESIGNS, TABLES, UTILITIES, make_design
from scipy.stats import rankdata, spearmanr

import surrogateshap
from surrogateshap.estimate import exact_shapley
from surrogateshap.estimate.gap import close_gap
from surrogateshap.games.encoded import Bools, Floats, Ints

STRENGTHS = (0.4, 0.5, 0.6, 0.7, 0.8)
DEFAULT_STRENGTH = 0.6
ANCHORS = (10, 20, 40, 80)
CHOICE = 20
"""Anchors that a strength is chosen by: the one whose corrected game has the highest cross-validated R² on them."""
SPEC = """
spec_version = 1
name = "{name}"
model = {{ source = "model" }}
proxy = {{ kind = {kind}, strength = {strength} }}
sampling = {{ steps = 20, guidance_scale = 2.0 }}
budget = {{ images_per_contributor = 100 }}
execution = {{ threads = 1 }}
contributors = {{ manifest = "rows.parquet", condition = "label", image = "image", grouping = [{grouping}] }}
[[encoder]]
name = "digits"
source = "example:digits/classifier"
{utilities}
"""
GROUPING = '{ name = "contributor", by = ["contributor"] }'


@dataclass(frozen=True)
class Truth:
    """Retrained coalitions of one design."""

    names: tuple[str, ...]
    rows: Ints
    masks: Bools
    use: tuple[str, ...]
    values: dict[str, Floats]
    tuned: dict[str, Floats]
    """Values of models that were fine-tuned for a few steps, on the same coalitions; NaN where there is none."""

    def where(self, use: str) -> Bools:
        """(M,): the coalitions for one use."""
        return np.array([each == use for each in self.use])


@dataclass(frozen=True)
class Proxy:
    """All 2^n values of one proxy game, and its Shapley values."""

    values: Floats
    shapley: Floats

    def at(self, masks: Bools) -> Floats:
        """(M,)."""
        return np.asarray(self.values[masks @ (1 << np.arange(masks.shape[1]))])


def read_truth(design: str) -> Truth:
    """From the shipped tables."""
    table, tuned = (pl.read_parquet(TABLES / f"{design}{part}.parquet") for part in ("-retrain", "-finetune"))
    names = tuple(column for column in table.columns if column != "use" and not column.startswith("value."))
    frame = make_design(design)
    rows = np.array([int((frame["contributor"] == name).sum()) for name in names])
    masks, other = (each.select(names).to_numpy().astype(bool) for each in (table, tuned))
    place = {mask.tobytes(): row for row, mask in enumerate(other)}
    same = np.array([place.get(mask.tobytes(), len(other)) for mask in masks])
    return Truth(
        names,
        rows,
        masks,
        tuple(table["use"]),
        {name: table[f"value.{name}"].to_numpy() for name in UTILITIES},
        {name: np.append(tuned[f"value.{name}"].to_numpy(), np.nan)[same] for name in UTILITIES},
    )


def run_proxies(design: str, strengths: Iterable[float], folder: Path) -> dict[str, dict[str, Proxy]]:
    """Proxy games by name (`prompt`, `image 0.6`, …) and utility."""
    shutil.copytree(TABLES / design, folder / "model")
    make_design(design).write_parquet(folder / "rows.parquet")
    utilities = "\n".join(f'[[utility]]\nname = "{name}"\n{rest}' for name, rest in UTILITIES.items())
    found: dict[str, dict[str, Proxy]] = {}
    for kind, strength in [("prompt", DEFAULT_STRENGTH), *(("image", strength) for strength in strengths)]:
        spec = folder / f"{kind}-{strength}.toml"
        spec.write_text(
            SPEC.format(name=spec.stem, kind=f'"{kind}"', strength=strength, grouping=GROUPING, utilities=utilities)
        )
        results = surrogateshap.apply(spec)
        table = pl.read_parquet(folder / ".surrogateshap" / "runs" / results.run / "coalitions-contributor.parquet")
        games = {}
        for name in UTILITIES:
            values = table[f"value.{name}.{kind}"].to_numpy()
            games[name] = Proxy(values, exact_shapley(values, len(results.games[0].contributors)))
        found[kind if kind == "prompt" else f"image {strength}"] = games
    return found


def r2(predicted: Floats, truth: Floats) -> float:
    """Share of the variance that is explained."""
    return float(1 - ((truth - predicted) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman; 0 where one of the two is constant."""
    return float(spearmanr(one, other).statistic) if np.ptp(one) > 0 and np.ptp(other) > 0 else 0.0


@dataclass(frozen=True)
class Corrected:
    """A corrected game: predictions at coalitions, Shapley values, and R² as the anchors themselves tell it."""

    shapley: Floats
    predicted: Floats
    told: float


def corrected(truth: Truth, proxy: Proxy | None, targets: Floats, count: int, at: Bools) -> Corrected:
    """From the first `count` anchors; `proxy` None: from anchors alone."""
    n = len(truth.names)
    there = np.flatnonzero(truth.where("anchor") & np.isfinite(targets))[:count]
    masks, values = truth.masks[there], targets[there]
    level, shapley, empty = (
        (proxy.at(masks), proxy.shapley, float(proxy.values[0])) if proxy else (np.zeros(count), np.zeros(n), 0.0)
    )
    closing = close_gap(masks, level, values, shapley, empty, truth.rows)
    if closing is None:
        raise ValueError("too few anchors")
    base = proxy.at(at) if proxy else np.zeros(len(at))
    return Corrected(closing.values, closing.predict(at, base), closing.r2)


def choose_strength(truth: Truth, games: dict[str, dict[str, Proxy]], name: str) -> str:
    """The image proxy whose corrected game explains most of the first anchors when they are left out."""
    images = [kind for kind in games if kind.startswith("image")]
    told = {k: corrected(truth, games[k][name], truth.values[name], CHOICE, truth.masks[:1]).told for k in images}
    return max(told, key=lambda kind: told[kind])


def line(cells: Iterable[object]) -> None:
    """One row of a Markdown table."""
    print("| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |")


def head(title: str, columns: list[str]) -> None:
    """Title and head of a table."""
    print(f"\n### {title}\n")
    line(columns)
    print("|" + "---|" * len(columns), flush=True)


def agreement(design: str, truth: Truth, games: dict[str, dict[str, Proxy]]) -> None:
    """Spearman of v on test coalitions, by utility."""
    head(f"{design}: Spearman of v with retrained values, half size / kernel sizes", ["proxy", *UTILITIES])
    for kind, by_name in games.items():
        cells = []
        for name, game in by_name.items():
            both = [truth.where(use) for use in ("half", "kernel")]
            found = [rank_correlation(game.at(truth.masks[w]), truth.values[name][w]) for w in both]
            cells.append(" / ".join(f"{each:.2f}" for each in found))
        line([kind, *cells])
    cells = []
    for name in UTILITIES:
        both = [truth.where(use) & np.isfinite(truth.tuned[name]) for use in ("half", "kernel")]
        cells.append(" / ".join(f"{rank_correlation(truth.tuned[name][w], truth.values[name][w]):.2f}" for w in both))
    line(["fine-tuned models", *cells])


def closing_table(design: str, truth: Truth, games: dict[str, dict[str, Proxy]], image: dict[str, str]) -> None:
    """R² and LDS on test coalitions by number of anchors, medians over utilities (least in brackets)."""
    columns = ["anchors", "from", "R², half size", "R², kernel sizes", "LDS", "R² as told by the anchors"]
    head(f"{design}: with K retrained anchors, median over utilities (least)", columns)
    half, kernel = truth.where("half"), truth.where("kernel")
    sources = ("prompt proxy", "image proxy", "anchors alone", "image proxy, fine-tuned anchors")
    for count in (0, *ANCHORS):
        for source in sources:
            targets = truth.tuned if "fine-tuned" in source else truth.values
            known = int((truth.where("anchor") & np.isfinite(targets["quality"])).sum())
            if count > known or (count == 0 and source not in sources[:2]):
                continue
            rows = []
            for name in UTILITIES:
                chosen = image[name] if count else f"image {DEFAULT_STRENGTH}"
                kind = "prompt" if source == "prompt proxy" else chosen
                proxy = None if source == "anchors alone" else games[kind][name]
                values = truth.values[name]
                if count == 0 and proxy is not None:
                    made = Corrected(proxy.shapley, proxy.at(truth.masks), float("nan"))
                else:
                    made = corrected(truth, proxy, targets[name], count, truth.masks)
                lds = rank_correlation(truth.masks[half] @ made.shapley, values[half])
                rows.append(
                    (r2(made.predicted[half], values[half]), r2(made.predicted[kernel], values[kernel]), lds, made.told)
                )
            cells = [f"{median(column):.2f} ({min(column):.2f})" for column in zip(*rows, strict=True)]
            line([count, source, *cells[:3], "–" if count == 0 else cells[3]])


def ranks_table(design: str, truth: Truth, games: dict[str, dict[str, Proxy]], image: dict[str, str]) -> None:
    """Ranks of the contributors that harm and of their twins."""
    pairs = BAD[design].items()
    if not pairs:
        return
    n = len(truth.names)
    counts = [count for count in ANCHORS if count <= truth.where("anchor").sum()]
    head(
        f"{design}: ranks among {n} of contributors that harm (their clean twins), for `quality` and `recognisable`",
        ["values from", *(f"{bad}, {name}" for name in ("quality", "recognisable") for bad, _ in pairs)],
    )

    def show(label: str, shapley: dict[str, Floats]) -> None:
        cells = []
        for name in ("quality", "recognisable"):
            rank = rankdata(-np.round(shapley[name], 9), method="min")
            cells += [f"{rank[truth.names.index(b)]:.0f} ({rank[truth.names.index(t)]:.0f})" for b, t in pairs]
        line([label, *cells])

    for label, kind in (("prompt proxy", "prompt"), ("image proxy", "")):
        show(label, {name: games[kind or image[name]][name].shapley for name in UTILITIES})
        for count in counts:
            made = {
                name: corrected(truth, games[kind or image[name]][name], truth.values[name], count, truth.masks).shapley
                for name in ("quality", "recognisable")
            }
            show(f"{label}, {count} anchors", made)
    for count in counts:
        alone = {name: corrected(truth, None, truth.values[name], count, truth.masks).shapley for name in UTILITIES}
        show(f"{count} anchors alone", alone)
    show(f"image proxy, all {len(truth.masks)} retrained coalitions", whole_truth(truth, games, image))


def whole_truth(truth: Truth, games: dict[str, dict[str, Proxy]], image: dict[str, str]) -> dict[str, Floats]:
    """The best there is: the image proxy corrected by all retrained coalitions, test ones included."""
    found = {}
    for name in ("quality", "recognisable"):
        proxy, known = games[image[name]][name], truth.values[name]
        closing = close_gap(
            truth.masks, proxy.at(truth.masks), known, proxy.shapley, float(proxy.values[0]), truth.rows
        )
        if closing is None:
            raise ValueError("too few anchors")
        found[name] = closing.values
    return found


def main() -> None:
    """Prints every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one design, one strength")
    quick = parser.parse_args().quick
    began = time.perf_counter()
    for design in DESIGNS[:1] if quick else DESIGNS:
        truth = read_truth(design)
        with tempfile.TemporaryDirectory() as folder:
            games = run_proxies(design, (DEFAULT_STRENGTH,) if quick else STRENGTHS, Path(folder))
        image = {name: choose_strength(truth, games, name) for name in UTILITIES}
        agreement(design, truth, games)
        print(f"\nStrengths chosen on {CHOICE} anchors: {', '.join(f'{k} {v[6:]}' for k, v in image.items())}")
        closing_table(design, truth, games, image)
        ranks_table(design, truth, games, image)
    print(f"\n{time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
