from pathlib import Path

import pytest
from rich.cells import cell_len

from surrogateshap.plan.explain import explain
from surrogateshap.plan.model import Plan
from tests.samples import golden, hostile_plan, peaceful_plan

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("name", "plan"),
    [("pending", peaceful_plan()), ("cached", peaceful_plan(cached=True)), ("hostile", hostile_plan())],
)
def test_text_of_a_plan(name: str, plan: Plan) -> None:
    golden(GOLDEN / f"{name}.txt", explain(plan))


def test_nothing_hostile_reaches_the_terminal_and_no_line_is_too_wide() -> None:
    text = explain(hostile_plan())
    assert all(character.isprintable() or character == "\n" for character in text)
    assert max(map(cell_len, text.splitlines())) <= 100


def test_the_closing_command_keeps_a_long_path_whole_and_quoted() -> None:
    path = f"{'very/' * 40}long name.toml"
    assert explain(peaceful_plan().model_copy(update={"spec_file": path})).endswith(
        f"\n\nApply with `surrogateshap apply '{path}'`.\n"
    )


def test_every_warning_of_the_plan_is_shown() -> None:
    shown = explain(peaceful_plan().model_copy(update={"warnings": ("one thing", "another thing")}))
    assert "! one thing\n  ! another thing\n" in shown


def test_an_empty_plan_is_text_too() -> None:
    empty = dict.fromkeys(("inputs", "groupings", "pools", "games", "stages", "warnings"), ())
    text = explain(peaceful_plan().model_copy(update=empty))
    assert "Stages" not in text
    assert text.endswith("Nothing to do: all stages are cached.\n")


def test_times_that_nobody_measured_are_said_to_be_unknown() -> None:
    plan = peaceful_plan()
    stages = tuple(stage.model_copy(update={"seconds": None}) for stage in plan.stages)
    cost = plan.cost.model_copy(update={"seconds": None})
    lines = explain(plan.model_copy(update={"stages": stages, "cost": cost})).splitlines()
    assert "  time             unknown until a run has measured it" in lines
    assert sum(line.endswith("  unknown") and line[2] in "+~" for line in lines) == 3


def test_conditions_without_an_image_are_said_to_be_there() -> None:
    plan = peaceful_plan()
    pools = tuple(pool.model_copy(update={"conditions": 1_000, "conditions_in_all": 90_000}) for pool in plan.pools)
    text = " ".join(explain(plan.model_copy(update={"pools": pools})).split())
    assert "; 1,000 of 90,000 conditions, which stand for the others; " in text
