"""Tables of anchors: what is read, and what is wrong with them, in words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from surrogateshap.errors import SpecError
from surrogateshap.plan import anchors as module
from surrogateshap.plan.anchors import Anchors, anchors_of, read_anchors
from tests.tiny import Project

NAMES = ("ada", "bob", "cy")
TABLE: dict[str, list[Any]] = {
    "bob": [1, 0, 1, 0, 1],
    "ada": [0, 1, 1, 0, 1],
    "cy": [0, 0, 0, 1, 1],
    "value.q": [0.1, 0.2, 0.4, 0.5, 0.7],
}


def read(table: dict[str, list[Any]], utilities: tuple[str, ...] = ("q", "r"), only: str | None = None) -> Anchors:
    return anchors_of(pl.DataFrame(table, strict=False), "anchors.csv", NAMES, utilities, only)


def told(table: dict[str, list[Any]], utilities: tuple[str, ...] = ("q", "r"), only: str | None = None) -> str:
    with pytest.raises(SpecError) as caught:
        read(table, utilities, only)
    return str(caught.value)


def test_columns_come_in_the_order_of_the_contributors() -> None:
    found = read(TABLE)
    assert found.masks.tolist() == [[0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]]
    assert {name: level.tolist() for name, level in found.values.items()} == {"q": TABLE["value.q"]}
    assert found.notes == ("There are only 5 anchors: their agreement says little.",)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_every_kind_of_file_says_the_same(tmp_path: Path, kind: str) -> None:
    path, frame = tmp_path / "anchors", pl.DataFrame(TABLE)
    if kind == "csv":
        frame.write_csv(path)
    elif kind == "parquet":
        frame.with_columns(pl.col("ada").cast(pl.Boolean)).write_parquet(path)
    else:
        path.write_text("\n".join(map(json.dumps, frame.to_dicts())))
    found = read_anchors(path, NAMES, ("q",))
    assert found.masks.tolist() == read(TABLE).masks.tolist()
    assert found.values["q"].tolist() == TABLE["value.q"]


def test_repeated_coalitions_are_averaged_and_the_empty_one_left_out() -> None:
    more = {"ada": [1, 0, 1], "bob": [0, 0, 1], "cy": [0, 0, 0], "value.q": [0.6, 9.0, 0.4]}
    found = read({name: [*column, *more[name]] for name, column in TABLE.items()})
    assert found.masks.tolist() == read(TABLE).masks.tolist()
    assert found.values["q"].tolist() == pytest.approx([0.1, 0.4, 0.4, 0.5, 0.7])
    assert found.notes[:2] == (
        "Left out of the anchors: 1 row of ∅.",
        "Averaged, because rows of the same coalition differ: 1 anchor.",
    )


def test_value_belongs_to_the_only_utility() -> None:
    table = {**TABLE, "value": [1.0, 2.0, 3.0, 4.0, 5.0]}
    table.pop("value.q")
    assert list(read(table, ("q",)).values) == list(read(table, ("q", "r"), "q").values) == ["q"]
    assert "which utility's values are they?" in told(table)
    both = {**TABLE, "value": TABLE["value.q"]}
    assert "`value` and `value.q` are there" in told(both, ("q",))
    extra = {**TABLE, "value.elsewhere": TABLE["value.q"], "value.r": TABLE["value.q"]}
    assert list(read(extra).values) == ["q", "r"]
    assert list(read(extra, only="r").values) == ["r"]


def test_contributors_are_matched_exactly() -> None:
    wrong = {("Ada" if name == "ada" else name): column for name, column in TABLE.items()}
    said = told({**wrong, "zoe\x1b": [0, 0, 0, 0, 0]})
    assert "there is no column of 1 contributor: ada" in said
    assert "2 columns of no contributor of the grouping: Ada, zoe\ufffd" in said
    assert "Did you mean ada?" in said
    assert "\x1b" not in said


def test_bad_cells_are_told_with_their_rows() -> None:
    said = told({**TABLE, "ada": [0, 1, "maybe", 0, 1], "value.q": [0.1, 0.2, float("nan"), 0.5, float("inf")]})
    assert "ada: row 3: `maybe` is neither 0 nor 1" in said
    assert "value.q: no finite number in row 3, 5" in said
    renamed = {("value.qualty" if name == "value.q" else name): column for name, column in TABLE.items()}
    said = told(renamed, ("quality", "variety"))
    assert "there is no column with values of a utility of the spec\n    Did you mean `value.quality`?" in said
    short = {name: column[:2] for name, column in TABLE.items()}
    assert "there are 2 different coalitions in it besides ∅; at least 3 are needed" in told(short)


def test_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 4)
    assert "5 different coalitions in it; 4 are the most" in told(TABLE)


def test_a_spec_tells_what_is_wrong_with_its_table(tiny: Project) -> None:
    frame = pl.DataFrame({name: [1, 0, 1] for name in ("amber", "basil", "basil-copy", "coral", "dil")})
    frame.with_columns(pl.Series("value.rigth", [1.0, 2.0, 3.0])).write_csv(tiny.folder / "a.csv")
    with pytest.raises(SpecError) as caught:
        tiny.plan({"fidelity.anchors": "a.csv", "fidelity.grouping": "owner"})
    assert {problem.key for problem in caught.value.problems} == {"fidelity.anchors"}
    assert len(caught.value.problems) == 3
    assert all(problem.line > 0 and "`a.csv`" in problem.message for problem in caught.value.problems)
    for changes, said in (
        ({"fidelity.anchors": "none.csv"}, "does not exist"),
        ({"fidelity.anchors": "../a.csv"}, "fidelity.anchors: `../a.csv`"),
        ({"fidelity.anchors": "a.csv", "fidelity.grouping": "regoin"}, "did you mean `region`?"),
    ):
        with pytest.raises(SpecError, match="fidelity") as caught:
            tiny.plan(changes)
        assert said in str(caught.value)


def test_the_table_counts_by_content(tiny: Project) -> None:
    def table(name: str, last: float) -> None:
        rows = {owner: [i == k for i in range(4)] for k, owner in enumerate(("amber", "basil", "basil-copy", "coral"))}
        frame = pl.DataFrame({**rows, "dill": [True] * 4, "value.right": [0.1, 0.2, 0.3, last]})
        frame.write_parquet(tiny.folder / name)

    before = tiny.plan().plan_id
    table("a.parquet", 0.4)
    table("b.parquet", 0.4)
    plan = tiny.plan({"fidelity.anchors": "a.parquet"})
    assert plan.plan_id != before
    assert tiny.plan({"fidelity.anchors": "b.parquet"}).plan_id == plan.plan_id
    assert [(stage.total, stage.cached) for stage in plan.stages if stage.kind == "fidelity"] == [(2, 0)]
    assert any("only 4 anchors" in warning for warning in plan.warnings)
    table("b.parquet", np.pi)
    assert tiny.plan({"fidelity.anchors": "b.parquet"}).plan_id != plan.plan_id
