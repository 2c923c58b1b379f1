"""Plans and results to show, peaceful and hostile, and the comparison with golden files."""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from surrogateshap.events import GameInfo
from surrogateshap.plan.model import Cost, GamePlan, GroupingPlan, InputFile, Plan, PoolPlan, Stage
from surrogateshap.record.fidelity import described
from surrogateshap.record.results import (
    AnchorPoint,
    CalibrationBin,
    ClosedGap,
    ContributorFlags,
    ContributorResult,
    Fidelity,
    GameResult,
    Interaction,
    Measured,
    Payout,
    PayoutShare,
    Results,
    SurrogateDiagnostics,
)
from surrogateshap.record.sample import Sample
from surrogateshap.report import ReportData

HOSTILE = (
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "[red]markup[/] [link=file:///etc]x[/link]",
    "=cmd|' /C calc'!A0",
    "\u202egnp.exe\u2066",
    "long" * 125,
    "two\nlines\r\nand | a `pipe` <script>alert(1)</script>",
    "\t+1",
    "\x9b2J & c1",
    "名前名前名前名前名前名前名前",
    "@SUM(A1)",
)


def golden(path: Path, text: str) -> None:
    """Compares `text`, as bytes, with the file; GOLDEN=write writes it instead, for a person to read the difference."""
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())
    assert text.encode() == path.read_bytes()


def contributor(name: str, rank: int, value: float, spread: float, **more: Any) -> ContributorResult:
    fields: dict[str, Any] = {
        "rows": 10 * rank,
        "rank_low": max(1, rank - 1),
        "rank_high": rank + 1,
        "share": value / 2,
    }
    return ContributorResult(
        name=name,
        rank=rank,
        value=value,
        low=value - spread,
        high=value + spread,
        sd_images=spread / 2,
        sd_coalitions=spread / 4,
        **(fields | more),
    )


def flags(name: str, loss: float, *words: str, **more: Any) -> ContributorFlags:
    fields: dict[str, Any] = {"grouping": "artist", "images": 100, "conditional": loss, "unconditional": loss + 0.0625}
    return ContributorFlags(name=name, flags=words, **(fields | more))


def game(contributors: tuple[ContributorResult, ...], **more: Any) -> GameResult:
    fields: dict[str, Any] = {
        "grouping": "artist",
        "utility": "aesthetics",
        "proxy": "image",
        "v_empty": 0.125,
        "v_full": 2.125,
        "efficiency_gap": 0.0,
        "estimator": "exact",
        "coalitions": 16,
        "images": 1400,
        "level": 0.9,
        "surrogate": None,
        "indistinguishable": (),
        "contributors": contributors,
    }
    return GameResult(**(fields | more))


def peaceful_results() -> Results:
    artists = (
        contributor("Hilma af Klint", 1, 1.25, 0.25, rank_low=1, rank_high=1, in_top=1.0),
        contributor("Katsushika Hokusai", 2, 0.75, 0.5, in_top=0.96875),
        contributor("Zoë", 3, 0.0625, 0.125, in_top=0.03125),
        contributor("noise", 4, -0.0625, 0.125, rank_high=4, in_top=0.0),
    )
    labels = (
        contributor("even", 1, 120.5, 10.0, share=None, rank_low=1, rank_high=2),
        contributor("odd", 2, -120.5, 10.0, share=None, rank_low=1, rank_high=2),
    )
    return Results(
        run="artists-0a1b2c",
        plan_id="0a1b2c3d4e5f" + "0" * 52,
        name="artists",
        games=(
            game(artists, indistinguishable=(("Zoë", "noise"),), top=2),
            game(
                labels,
                grouping="label",
                utility="quality",
                proxy="prompt",
                estimator="surrogate",
                coalitions=4000,
                efficiency_gap=0.0123456,
                v_empty=3.0,
                v_full=3.0,
                surrogate=SurrogateDiagnostics(cv_r2=0.98765, trees=600),
            ),
        ),
        flags=(
            flags("Hilma af Klint", 0.25),
            flags("Katsushika Hokusai", 0.5, "loss higher with its conditions than without: wrong ones?"),
            flags("Zoë", 0.28, note="too few images to tell: 10 of 20"),
            flags("noise", 0.75, "loss 2.5 times the others': unlike their images, or corrupted?"),
            flags("odd", 0.25, grouping="label"),
        ),
    )


def anchored_results() -> Results:
    """The peaceful ones, one of their games measured on anchors."""
    results = peaceful_results()
    first, second = results.games
    closed = tuple(row.model_copy(update={"value": 1.5 * row.value, "share": None}) for row in first.contributors)
    fidelity = Fidelity(
        kind="fine_tuned",
        anchors=12,
        spearman=Measured(value=0.918, low=0.88, high=0.951),
        lds=Measured(value=-0.107, low=-0.421, high=0.178),
        intercept=0.1234567,
        slope=-1.75,
        calibration=(
            CalibrationBin(anchors=6, proxy=0.5, retrained=1.25),
            CalibrationBin(anchors=6, proxy=0.75, retrained=1.5),
        ),
        closed=ClosedGap(
            anchors=12, r2=Measured(value=0.953, low=0.921, high=0.968), proxy_r2=-18.25, contributors=closed
        ),
        notes=("Left out of the anchors: 1 row of ∅.",),
        points=tuple(AnchorPoint(proxy=0.5 + i / 40, retrained=1.125 + (i * 5 % 12) / 24) for i in range(12)),
    )
    games = (first.model_copy(update={"fidelity": fidelity}), second)
    said = described([game.fidelity for game in games])
    return results.model_copy(update={"games": games, "fidelity": said})


def hostile_results() -> Results:
    ranked = tuple(contributor(name, i + 1, 1.0 / (i + 1), 0.125) for i, name in enumerate(HOSTILE))
    return Results(
        run="run-\x1b[2J",
        plan_id="f" * 64,
        name="[bold]x[/]",
        games=(game(ranked, grouping="=1+1|x", utility="[blink]u[/]", indistinguishable=(HOSTILE,)),),
        flags=tuple(flags(name, 1.5, name, name, grouping="=1+1|x", note=name) for name in HOSTILE),
    )


def paying_results() -> Results:
    """The hostile names, in pairs and paid."""
    results = hostile_results()
    (one,) = results.games
    shares = tuple(
        PayoutShare(name=row.name, share=0.1, low=0.0, high=0.25, amount=1234.5 if row.rank > 1 else 0.0)
        for row in one.contributors
    )
    pairs = tuple(Interaction(a=HOSTILE[i], b=HOSTILE[j], value=0.5 - i) for i in range(4) for j in range(i + 1, 5))
    paid = one.model_copy(update={"payout": Payout(rule="in proportion | to `values`", shares=shares)})
    return results.model_copy(update={"games": (paid.model_copy(update={"interactions": pairs[:12]}),)})


def sampled(data: ReportData) -> ReportData:
    """The same with two images of each contributor: one of 8 × 8 pixels and one larger."""
    from PIL import Image

    found = []
    for game in data.results.games:
        for number, row in enumerate(game.contributors):
            images = []
            for side in (8, 96):
                buffer = io.BytesIO()
                Image.new("RGB", (side, side), (20 * number % 256, 90, 160)).save(buffer, "PNG")
                images.append(buffer.getvalue())
            found.append(Sample(game.grouping, game.proxy, row.name, tuple(images)))
    return replace(data, samples=tuple(found))


def _stage(id: str, kind: str, title: str, unit: str, total: int, cached: int, **more: Any) -> Stage:
    state = "cached" if cached == total else "partial" if cached else "new"
    fields: dict[str, Any] = {"state": state, "because": "", "seconds": 0.0, "basis": ""}
    return Stage.model_validate(
        {"id": id, "kind": kind, "title": title, "unit": unit, "total": total, "cached": cached} | fields | more
    )


def peaceful_plan(*, cached: bool = False) -> Plan:
    there = (1500, 1500, 16) if cached else (1380, 0, 0)
    measured = "13.2 images/s measured on this machine (cpu)"
    return Plan(
        plan_id="0a1b2c3d4e5f" + "0" * 52,
        run="artists-0a1b2c",
        name="artists",
        spec_file="specs/my artists.toml",
        spec={"spec_version": 1, "name": "artists"},
        inputs=(
            InputFile(role="spec", name="specs/my artists.toml", digest="1" * 64, bytes=812),
            InputFile(role="model", name="example:digits", digest="2" * 64, bytes=3_456_789),
            InputFile(role="manifest", name="artbench.parquet", digest="3" * 64, bytes=123_456_789),
        ),
        groupings=(
            GroupingPlan(name="artist", contributors=4, rows=100, rows_min=10, rows_max=40),
            GroupingPlan(name="label", contributors=1, rows=100, rows_min=100, rows_max=100),
        ),
        pools=(
            PoolPlan(
                proxy="image",
                images=1500,
                unconditional=100,
                conditions=10,
                steps_per_image=12,
                per_contributor_min=350,
                per_contributor_max=350,
                digest="4" * 64,
            ),
        ),
        games=(
            GamePlan(
                info=GameInfo(grouping="artist", utility="aesthetics", proxy="image"),
                estimator="exact",
                coalitions=16,
                indistinguishable=(("Zoë", "noise"),),
            ),
            GamePlan(
                info=GameInfo(grouping="artist", utility="diversity", proxy="image"),
                estimator="surrogate",
                coalitions=4000,
                indistinguishable=(("Zoë", "noise"),),
            ),
        ),
        stages=(
            _stage(
                "generate-image",
                "generate",
                "Generate with the image proxy",
                "images",
                1500,
                there[0],
                **({} if cached else {"because": "budget.images changed", "seconds": 9.1, "basis": measured}),
            ),
            _stage(
                "encode",
                "encode",
                "Encode with digits",
                "images",
                1500,
                there[1],
                **(
                    {}
                    if cached
                    else {"because": "nothing of it is there", "seconds": 200.0, "basis": "no measurement yet: a guess"}
                ),
            ),
            _stage("evaluate", "evaluate", "Evaluate artist / aesthetics / image", "coalitions", 16, there[2]),
        ),
        cost=Cost(
            images=0 if cached else 120,
            denoising_steps=0 if cached else 2880,
            seconds=0.0 if cached else 209.1,
            disk_bytes=0 if cached else 1_234_567,
            memory_bytes=0 if cached else 2_000_000_000,
            fresh_images=1_028_096,
            retrainings=4016,
        ),
        warnings=() if cached else ("The manifest has 3 rows without an artist; they belong to nobody.",),
    )


def hostile_plan() -> Plan:
    plan = peaceful_plan()
    return plan.model_copy(
        update={
            "name": "[red]x[/]",
            "run": "\x1b[2J" + "r" * 300,
            "spec_file": "a'b;\x1b[2J$(reboot).toml",
            "inputs": tuple(InputFile(role=name, name=name, digest="5" * 64, bytes=1) for name in HOSTILE),
            "groupings": tuple(
                GroupingPlan(name=name, contributors=2**40, rows=2**60, rows_min=1, rows_max=2**60) for name in HOSTILE
            ),
            "games": tuple(
                GamePlan(
                    info=GameInfo(grouping=name, utility=name, proxy=name),
                    estimator="exact",
                    coalitions=2**40,
                    indistinguishable=(HOSTILE,),
                )
                for name in HOSTILE
            ),
            "stages": tuple(
                _stage("s", "generate", name, name, 10, 2, because=name, basis=name, seconds=1e9) for name in HOSTILE
            ),
            "warnings": HOSTILE,
        }
    )
