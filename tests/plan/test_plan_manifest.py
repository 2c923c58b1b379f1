"""Manifests as strangers write them."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from surrogateshap.errors import Problem
from surrogateshap.plan.manifest import Manifest, read_images, read_manifest
from surrogateshap.spec.load import load_spec
from tests.tiny import Project, png

FRAME = {
    "artist": ["b", "a", "b", "c", "a"],
    "label": ["two", "one", "one", "two", "one"],
    "site": [1, 1, 2, 2, 1],
    "image": [b"0", b"1", b"2", b"3", b"4"],
}


def section(*by: str, **more: Any) -> dict[str, Any]:
    return {
        "manifest": "data.parquet",
        "condition": "label",
        "image": "image",
        "grouping": [{"name": "g", "by": list(by or ("artist",)), **more}],
    }


class Reader:
    """Writes a manifest and reads it as a spec's `[contributors]` say."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def both(self, frame: Any, contributors: dict[str, Any] | None = None) -> tuple[Manifest | None, list[Problem]]:
        if isinstance(frame, bytes):
            (self.project.folder / "data.parquet").write_bytes(frame)
        else:
            self.project.manifest(pl.DataFrame(frame))
        loaded = load_spec(self.project.spec({"contributors": contributors or section()}))
        return read_manifest(loaded, self.project.folder / "data.parquet")

    def good(self, frame: Any, contributors: dict[str, Any] | None = None) -> Manifest:
        manifest, problems = self.both(frame, contributors)
        assert problems == []
        assert manifest is not None
        return manifest

    def bad(self, frame: Any, contributors: dict[str, Any] | None = None) -> Problem:
        """The only problem."""
        manifest, problems = self.both(frame, contributors)
        assert manifest is None
        (problem,) = problems
        assert problem.remedy
        line = Path(problem.file).read_text().splitlines()[problem.line - 1]
        # Groupings stand inline on one line in these specs.
        assert line.startswith(("grouping" if "grouping" in problem.key else problem.key.split(".")[-1],))
        return problem


@pytest.fixture
def reader(tiny: Project) -> Reader:
    return Reader(tiny)


def test_contributors_and_conditions_are_sorted_and_rows_keep_their_order(reader: Reader) -> None:
    manifest = reader.good(FRAME)
    (grouping,) = manifest.groupings
    assert grouping.contributors == ("a", "b", "c")
    assert grouping.of_row.tolist() == [1, 0, 1, 2, 0]
    assert grouping.rows.tolist() == [2, 2, 1]
    assert manifest.conditions == ("one", "two")
    assert manifest.condition_of_row.tolist() == [1, 0, 0, 1, 0]
    assert manifest.rows == 5


def test_two_columns_name_a_contributor_together(reader: Reader) -> None:
    (grouping,) = reader.good(FRAME, section("artist", "site")).groupings
    assert grouping.contributors == ("a / 1", "b / 1", "b / 2", "c / 2")
    assert grouping.rows.tolist() == [2, 1, 1, 1]


def test_joined_names_that_collide_are_refused(reader: Reader) -> None:
    frame = FRAME | {"artist": ["x / y", "x", "a", "a", "a"], "site": ["z", "y / z", "1", "1", "1"]}
    problem = reader.bad(frame, section("artist", "site"))
    assert "the same name" in problem.message
    assert problem.key == "contributors.grouping[0].by"


def test_small_contributors_are_pooled(reader: Reader) -> None:
    (grouping,) = reader.good(FRAME, section(min_rows=2, other="rest")).groupings
    assert grouping.contributors == ("a", "b", "rest")
    assert grouping.of_row.tolist() == [1, 0, 1, 2, 0]
    assert grouping.rows.tolist() == [2, 2, 1]


def test_a_small_contributor_may_be_called_as_the_pooled_ones(reader: Reader) -> None:
    (grouping,) = reader.good(FRAME, section(min_rows=2, other="c")).groupings
    assert grouping.contributors == ("a", "b", "c")


def test_small_contributors_without_a_place_to_go(reader: Reader) -> None:
    problem = reader.bad(FRAME, section(min_rows=2))
    assert problem.key == "contributors.grouping[0].min_rows"
    assert problem.message.endswith(": c")


def test_the_pooled_name_must_be_free(reader: Reader) -> None:
    assert reader.bad(FRAME, section(min_rows=2, other="a")).key == "contributors.grouping[0].other"


@pytest.mark.parametrize("empty", [None, ""])
def test_rows_without_a_contributor_or_a_condition(reader: Reader, empty: str | None) -> None:
    assert "1 rows have no `artist`" in reader.bad(FRAME | {"artist": ["b", empty, "b", "c", "a"]}).message
    assert "2 rows have no `label`" in reader.bad(FRAME | {"label": [empty, empty, "one", "two", "one"]}).message


def test_several_problems_come_together(reader: Reader) -> None:
    frame = FRAME | {"artist": ["b", None, "b", "c", "a"], "label": [None, "one", "one", "two", "one"]}
    _, problems = reader.both(frame)
    assert {problem.key for problem in problems} == {"contributors.condition", "contributors.grouping[0].by"}
    _, problems = reader.both({"nothing": [1]})
    keys = ["contributors.condition", "contributors.grouping[0].by", "contributors.image"]
    assert sorted(problem.key for problem in problems) == keys


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([1, 0, 0, 1, 0], dtype=pl.Int8),
        pl.Series([1, 0, 0, 1, 0], dtype=pl.UInt64),
        pl.Series(["1", "0", "0", "1", "0"], dtype=pl.Categorical),
    ],
    ids=lambda series: str(series.dtype),
)
def test_numbers_and_categories_name_conditions(reader: Reader, values: pl.Series) -> None:
    manifest = reader.good(pl.DataFrame(FRAME).with_columns(values.alias("label")))
    assert manifest.conditions == ("0", "1")
    assert manifest.condition_of_row.tolist() == [1, 0, 0, 1, 0]


def test_images_as_hugging_face_datasets_writes_them(reader: Reader) -> None:
    structs = [{"bytes": data, "path": None} for data in FRAME["image"]]
    manifest = reader.good(pl.DataFrame(FRAME).with_columns(pl.Series("image", structs)))
    assert manifest.images(np.array([3, 1])) == {1: b"1", 3: b"3"}


def test_paths_need_files(reader: Reader) -> None:
    structs = pl.Series(
        [{"bytes": None, "path": "x.png"}] * 5, dtype=pl.Struct({"bytes": pl.Binary, "path": pl.String})
    )
    assert (
        "the image x.png of row 0 is not there"
        in reader.bad(pl.DataFrame(FRAME).with_columns(structs.alias("image"))).message
    )


def test_rows_without_an_image(reader: Reader) -> None:
    problem = reader.bad(FRAME | {"image": [b"0", None, b"2", None, b"4"]})
    assert (problem.key, problem.message) == ("contributors.image", "2 rows have no image")


def test_the_nearest_column_is_offered(reader: Reader) -> None:
    problem = reader.bad(FRAME, section() | {"condition": "lable"})
    assert "no column `lable`" in problem.message
    assert problem.remedy == "Did you mean `label`?"
    assert "artist, label, site, image" in reader.bad(FRAME, section("xyzzy")).remedy


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"image": [7] * 5}, "contributors.image"),
        ({"label": [["one"]] * 5}, "contributors.condition"),
        ({"artist": [b"b"] * 5}, "contributors.grouping[0].by"),
    ],
)
def test_columns_of_the_wrong_type(reader: Reader, change: dict[str, Any], key: str) -> None:
    problem = reader.bad(FRAME | change)
    assert problem.key == key
    assert "holds" in problem.message


def test_no_rows(reader: Reader) -> None:
    assert "has no rows" in reader.bad(pl.DataFrame(FRAME).clear()).message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"PAR1" + bytes(50) + b"PAR1", "it is not a Parquet file"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "it is not a Parquet file, and no text either"),
        (b"[{}]", "it holds a JSON array"),
        (b"ARROW1\0\0", "only Arrow streams"),
        (b"\xff\xff\xff\xff\x10\x00\x00\x00", "it is not a whole Arrow stream"),
        (b"a,b,a\n1,2,3\n", "appear more than once: `a`"),
    ],
)
def test_not_a_manifest(reader: Reader, data: bytes, message: str) -> None:
    problem = reader.bad(data)
    assert problem.key == "contributors.manifest"
    assert message in problem.message


def test_a_file_that_was_cut_short(reader: Reader) -> None:
    reader.good(FRAME)
    whole = (reader.project.folder / "data.parquet").read_bytes()
    for length in range(4, len(whole), 97):
        assert "it is not a Parquet file" in reader.bad(whole[:length]).message


def test_damage_inside(reader: Reader) -> None:
    path = reader.project.folder / "data.parquet"
    pl.DataFrame(FRAME | {"label": ["first"] * 5}).write_parquet(path, compression="uncompressed", statistics=False)
    problem = reader.bad(path.read_bytes().replace(b"first", b"fi\xff\xfet"))
    assert problem.key == "contributors.manifest"
    assert "it looks damaged" in problem.message


def test_patterns_in_file_names_are_no_patterns(tmp_path: Path) -> None:
    for name in ("a[12].parquet", "a1.parquet", "a2.parquet"):
        pl.DataFrame({"image": [name.encode()]}).write_parquet(tmp_path / name)
    assert list(read_images(tmp_path / "a[12].parquet", "image")) == [(0, b"a[12].parquet")]


def test_a_long_reference_is_thinned_evenly(tmp_path: Path) -> None:
    path = tmp_path / "reference.parquet"
    pl.DataFrame({"image": [png(np.full((2, 2), i, np.uint8)) for i in range(100)]}).write_parquet(path)
    assert [row for row, _ in read_images(path, "image", at_most=4)] == [0, 33, 66, 99]
    assert len(list(read_images(path, "image", at_most=100))) == 100
