"""Every method on three designs of real digits, against really retrained coalitions, with what each costs.

    python bench/compare.py                                   # all methods, three designs: over an hour on one core
    python bench/compare.py --quick                           # one design, the methods that train nothing: minutes
    python bench/compare.py --designs harms --methods trak,nda

Prints a table per design: means over the utilities of the linear datamodeling score and of the agreement of v, in how
many of the pairs of a harmful contributor and its clean twin the harmful one is ranked lower, and costs. Each design's
report is written beside as JSON. What was finished is kept in the folder, so that it can be stopped and goes on.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from designs import BAD, DESIGNS, TABLES, UTILITIES, make_design

import surrogateshap
from surrogateshap import api
from surrogateshap.comparing import ALL
from surrogateshap.record.comparison import ComparedMethod, ComparisonReport
from surrogateshap.record.results import Measured
from surrogateshap.units import duration

SPEC = """
spec_version = 1
name = "{design}"
model = {{ source = "model" }}
proxy = {{ kind = ["prompt", "image"] }}
sampling = {{ steps = 20, guidance_scale = 2.0 }}
budget = {{ images_per_contributor = {images} }}
execution = {{ threads = 1, devices = "cpu" }}
contributors = {{ manifest = "rows.parquet", condition = "label", image = "image", grouping = [{grouping}] }}
[[encoder]]
name = "digits"
source = "example:digits/classifier"
{utilities}
[compare]
images = {compared}
{settings}
"""
GROUPING = '{ name = "contributor", by = ["contributor"] }'
SETTINGS = """
# As the retrained models' recipe: their frozen model was trained for 300 steps in batches of 64.
fine_tuning = { coalitions = 40, steps = 50, learning_rate = 1e-3 }
sparse_fine_tuning = { coalitions = 40, steps = 50, batch = 64, learning_rate = 1e-3, recovery_steps = 100 }
group_unlearning = { steps = 50, learning_rate = 1e-4 }
surrogateshap_paper = { coalitions = 60, images = 256 }
trak = { dimension = 4096 }
d_trak = { dimension = 4096 }
journey_trak = { dimension = 4096 }
nda = { side = 8, patch = 3, coarse_patch = 6 }
"""
HARMED = ("quality", "recognisable")
"""Utilities that the harmful contributors lower."""


def prepare(folder: Path, design: str, images: int, compared: int) -> tuple[Path, Path]:
    """A design's spec, and the table of its retrained coalitions."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(TABLES / design, folder / "model", dirs_exist_ok=True)
    make_design(design).write_parquet(folder / "rows.parquet")
    truth = pl.read_parquet(TABLES / f"{design}-retrain.parquet")
    truth.drop("use").write_parquet(folder / "truth.parquet")
    utilities = "\n".join(f'[[utility]]\nname = "{name}"\n{rest}' for name, rest in UTILITIES.items())
    filled = {"design": design, "grouping": GROUPING, "images": images, "compared": compared}
    spec = folder / "spec.toml"
    spec.write_text(SPEC.format(**filled, utilities=utilities, settings=SETTINGS))
    return spec, folder / "truth.parquet"


def mean(found: Sequence[Measured | None]) -> str:
    """Of what is known of several utilities."""
    known = [one.value for one in found if one is not None]
    return f"{np.mean(known):.2f}" if known else "–"


def caught(report: ComparisonReport, method: ComparedMethod) -> str:
    """`3 of 4`: pairs of a harmful contributor and its twin, on the utilities that harm lowers, in the right order."""
    of = {name: at for at, name in enumerate(report.contributors)}
    pairs = [
        one.values[of[bad]] < one.values[of[twin]]
        for one in method.utilities
        if one.utility in HARMED
        for bad, twin in BAD[report.name].items()
    ]
    return f"{sum(pairs)} of {len(pairs)}" if pairs else "–"


def table(report: ComparisonReport) -> str:
    """Markdown, the best LDS first."""
    lines = [
        "| Method | LDS | Agreement of v | Harm found | Images | Training steps | Gradients | Time |",
        "|:---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    done = [method for method in report.methods if method.spent is not None]
    for method in sorted(done, key=lambda one: mean([each.lds for each in one.utilities]), reverse=True):
        cost = method.spent
        assert cost is not None
        cells = [
            method.title,
            mean([one.lds for one in method.utilities]),
            mean([one.agreement for one in method.utilities]),
            caught(report, method),
            *(f"{number:,}" for number in (cost.images, cost.training_steps, cost.gradients)),
            duration(cost.seconds),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"\n{method.title}: {method.refused}." for method in report.methods if method.refused]
    return "\n".join(lines)


def main() -> None:
    """Prints a table per design."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", default=",".join(DESIGNS))
    parser.add_argument("--methods", help="names with commas, or all; by default all, with --quick cheap ones")
    parser.add_argument("--quick", action="store_true", help="one design, few images, nothing that trains")
    parser.add_argument("--folder", type=Path, default=Path(".bench") / "compare")
    given = parser.parse_args()
    images, compared = (20, 100) if given.quick else (100, 400)
    for design in given.designs.split(",")[: 1 if given.quick else None]:
        folder = given.folder / (f"{design}-quick" if given.quick else design)
        spec, truth = prepare(folder, design, images, compared)
        surrogateshap.apply(spec)
        report = api.compare_methods(
            str(spec),
            methods=given.methods.split(",") if given.methods else None if given.quick else [ALL],
            against=truth,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
        (folder / "comparison.json").write_text(report.model_dump_json(indent=1) + "\n")
        anchors = max(one.anchors for one in report.utilities)
        print(f"\n## {design}: {len(report.contributors)} contributors, {anchors} retrained coalitions\n", flush=True)
        print(table(report), flush=True)


if __name__ == "__main__":
    main()
