"""Where a command's data go, and where they don't."""

from collections.abc import Callable
from pathlib import Path

import pytest

from surrogateshap import api
from surrogateshap.errors import PlanError
from tests.tiny import Project


def test_no_command_writes_over_what_it_reads(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    table = tmp_path / "t.csv"
    text = "a,b,value\n1,0,1.0\n0,1,2.0\n"
    table.write_text(text)
    assert run("estimate", str(table), "--empty", "0", "--full", "3", "-o", str(table))[0] == 2
    assert table.read_text() == text


def test_a_plan_replaces_plans_alone(tiny: Project) -> None:
    spec = tiny.spec()
    made, text = api.plan(spec), spec.read_text()
    with pytest.raises(PlanError, match="is there already, and is no plan"):
        api.save_plan(made, spec)
    assert spec.read_text() == text
    for _ in range(2):
        api.save_plan(made, tiny.folder / "plan.out")


def test_names_of_any_length_are_no_files(run: Callable[..., tuple[int, str, str]]) -> None:
    for command in ("show", "plan"):
        assert run(command, "a" * 300)[0] in (2, 3, 6)
