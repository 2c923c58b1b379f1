"""A small finished run, made by hand."""

from typing import Any

from surrogateshap.events import GameInfo
from surrogateshap.plan.model import Cost, GamePlan, GroupingPlan, InputFile, Plan, PoolPlan, Stage
from surrogateshap.record.results import ContributorResult, GameResult, Results, SurrogateDiagnostics
from surrogateshap.record.statement import Device, Environment
from surrogateshap.text import digest

SPEC = b'name = "digits"\n'
ENVIRONMENT = Environment(
    versions={"surrogateshap": "0.1.0", "torch": "2.9.0"},
    devices=(Device(device="cpu", dtype="float32", threads=1),),
    batch_size=256,
)


def contributor(name: str, value: float, rank: int) -> ContributorResult:
    return ContributorResult(
        name=name,
        rows=10,
        value=value,
        low=value - 0.1,
        high=value + 0.1,
        sd_images=0.05,
        sd_coalitions=0.0,
        rank=rank,
        rank_low=rank,
        rank_high=rank,
        share=None,
    )


def game(proxy: str, **changes: Any) -> GameResult:
    rows = (contributor("ada", 0.7, 1), contributor("bob\x1b[31m", -0.1, 2), contributor("cy", -0.1, 3))
    fields = {
        "grouping": "artist",
        "utility": "quality",
        "proxy": proxy,
        "v_empty": 0.25,
        "v_full": 0.75,
        "efficiency_gap": 0.001,
        "estimator": "exact",
        "coalitions": 8,
        "images": 300,
        "level": 0.9,
        "surrogate": None,
        "indistinguishable": (),
        "contributors": rows,
    }
    return GameResult(**(fields | changes))


def results() -> Results:
    trees = SurrogateDiagnostics(cv_r2=0.93, trees=600)
    blind = (("bob\x1b[31m", "cy"),)
    return Results(
        run="digits-1",
        plan_id="f" * 64,
        name="digits",
        games=(game("prompt", indistinguishable=blind), game("image", estimator="surrogate", surrogate=trees)),
    )


def plan() -> Plan:
    return Plan(
        plan_id="f" * 64,
        run="digits-1",
        name="digits",
        spec_file="digits.toml",
        spec={"spec_version": 1, "name": "digits", "seed": 7, "sampling": {"steps": 20, "guidance_scale": 1.5}},
        inputs=(
            InputFile(role="spec", name="digits.toml", digest=digest(SPEC), bytes=100),
            InputFile(role="model", name="example:digits/model", digest="2" * 64, bytes=1000),
        ),
        groupings=(GroupingPlan(name="artist", contributors=3, rows=30, rows_min=10, rows_max=10),),
        pools=(
            PoolPlan(
                proxy="prompt",
                images=300,
                unconditional=0,
                conditions=10,
                steps_per_image=20,
                per_contributor_min=100,
                per_contributor_max=100,
                digest="3" * 64,
            ),
        ),
        games=(
            GamePlan(
                info=GameInfo(grouping="artist", utility="quality", proxy="prompt"),
                estimator="exact",
                coalitions=8,
                indistinguishable=(),
            ),
        ),
        stages=(
            Stage(
                id="generate",
                kind="generate",
                title="Generate",
                unit="images",
                total=300,
                cached=0,
                state="new",
                because="nothing of it is there",
                seconds=1.0,
                basis="measured",
            ),
        ),
        cost=Cost(
            images=300,
            denoising_steps=6000,
            seconds=1.0,
            disk_bytes=1,
            memory_bytes=1,
            fresh_images=2400,
            retrainings=8,
        ),
        warnings=(),
    )
