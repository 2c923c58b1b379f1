"""Which rows of a manifest count, whose they are, and where their images lie."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from surrogateshap import api
from surrogateshap.errors import Problem, SpecError
from surrogateshap.plan.compile import compile_spec
from surrogateshap.plan.manifest import Manifest, read_manifest
from surrogateshap.spec.load import load_spec
from tests.tiny import SPEC, Project, rows

FRAME = pl.DataFrame(
    {
        "artist": ["b", "a", "b", "c", "a", "d"],
        "label": ["two", "one", "one", "two", "one", "two"],
        "year": [1990, 2000, 2010, 2000, 1990, None],
        "sold": [True, False, True, True, None, True],
        "price": [0.5, 1.0, 1.5, 2.0, 2.5, 3.0],
        "image": [b"0", b"1", b"2", b"3", b"4", b"5"],
    }
)


class Reader:
    """Writes a manifest and reads it as a spec's `[contributors]` say."""

    def __init__(self, project: Project) -> None:
        self.project, self.folder = project, project.folder

    def both(
        self, frame: pl.DataFrame, name: str = "data.parquet", grouping: Any = None, **more: Any
    ) -> tuple[Manifest | None, list[Problem]]:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        {".parquet": frame.write_parquet, ".csv": frame.write_csv, ".jsonl": frame.write_ndjson}[path.suffix](path)
        rule = {"name": "g", "by": ["artist"]} | (grouping or {})
        section = {"manifest": name, "condition": "label", "image": "image", "grouping": [rule]} | more
        return read_manifest(load_spec(self.project.spec({"contributors": section})), path)

    def good(self, frame: pl.DataFrame = FRAME, **more: Any) -> Manifest:
        manifest, problems = self.both(frame, **more)
        assert problems == []
        assert manifest is not None
        return manifest

    def bad(self, frame: pl.DataFrame = FRAME, **more: Any) -> Problem:
        """The only problem."""
        manifest, problems = self.both(frame, **more)
        assert manifest is None
        (problem,) = problems
        assert problem.remedy
        assert problem.line > 0
        return problem


@pytest.fixture
def reader(tiny: Project) -> Reader:
    return Reader(tiny)


class TestWhere:
    @pytest.mark.parametrize(
        ("where", "kept"),
        [
            ({"artist": "b"}, [0, 2]),
            ({"artist": ["a", "c"]}, [1, 3, 4]),
            ({"year": 2000}, [1, 3]),
            ({"year": 2000.0}, [1, 3]),
            ({"price": 2}, [3]),
            ({"price": [0.5, 3.0]}, [0, 5]),
            ({"sold": True}, [0, 2, 3, 5]),
            ({"sold": True, "year": [1990, 2010]}, [0, 2]),
            ({"year": [1990, 2**70]}, [0, 4]),
        ],
    )
    def test_rows_keep_their_numbers_and_images(self, reader: Reader, where: dict[str, Any], kept: list[int]) -> None:
        manifest = reader.good(where=where)
        assert manifest.rows == len(kept)
        assert [manifest.number(row) for row in range(manifest.rows)] == kept
        names = [manifest.groupings[0].contributors[code] for code in manifest.groupings[0].of_row]
        assert names == FRAME["artist"][kept].to_list()
        every = manifest.images(np.arange(manifest.rows))
        assert every == {row: str(number).encode() for row, number in enumerate(kept)}
        last = manifest.rows - 1
        assert manifest.images(np.array([last])) == {last: str(kept[last]).encode()}
        taken = manifest.read_rows(np.array([last]))
        assert taken.rows(named=True) == [{"row": kept[last]} | FRAME.row(kept[last], named=True)]

    def test_what_a_csv_holds_is_text(self, reader: Reader) -> None:
        frame = FRAME.drop("image")
        for where, kept in (({"year": 2000}, 2), ({"sold": True}, 4), ({"price": 2}, 1), ({"price": "2.0"}, 1)):
            section = {"manifest": "data.csv", "condition": "label", "grouping": [{"name": "g", "by": ["artist"]}]}
            frame.write_csv(reader.folder / "data.csv")
            spec = {"contributors": section | {"where": where}, "proxy.kind": "auto", "utility": SPEC["utility"][:1]}
            manifest, problems = read_manifest(load_spec(reader.project.spec(spec)), reader.folder / "data.csv")
            assert problems == []
            assert manifest is not None
            assert manifest.rows == kept

    @pytest.mark.parametrize(
        ("where", "key", "message", "remedy"),
        [
            ({"artis": "b"}, "where.artis", "no column `artis`", "Did you mean `artist`?"),
            ({"artist": "z"}, "where.artist", "no row's `artist` is z", "It holds a, b, c, d."),
            ({"year": "2000"}, "where.year", "holds Int64, which `2000` is not", "It holds 1990, 2000, 2010."),
            ({"artist": 3}, "where.artist", "holds String, which `3` is not", "a, b, c, d"),
            ({"sold": "yes"}, "where.sold", "holds Boolean", "false, true"),
            ({"year": True}, "where.year", "holds Int64", "1990"),
            ({"artist": "c", "year": 1990}, "where", "no row has all that `where` asks for", "alone"),
            ({"image": "b"}, "where.image", "holds Binary, not names", "text or numbers"),
        ],
    )
    def test_what_is_wrong(self, reader: Reader, where: dict[str, Any], key: str, message: str, remedy: str) -> None:
        problem = reader.bad(where=where)
        assert problem.key == f"contributors.{key}"
        assert message in problem.message
        assert remedy in problem.remedy

    def test_rows_that_are_left_out_may_be_incomplete(self, reader: Reader) -> None:
        frame = FRAME.with_columns(
            image=pl.when(pl.col("artist") == "a").then(None).otherwise(pl.col("image")),
            label=pl.when(pl.col("artist") == "a").then(None).otherwise(pl.col("label")),
        )
        assert reader.both(frame)[0] is None
        assert reader.good(frame, where={"artist": ["b", "c"]}).rows == 3

    def test_another_choice_of_rows_is_another_reference(self, tiny: Project) -> None:
        def digest(where: dict[str, Any]) -> str:
            section = SPEC["contributors"] | {"where": where}
            return compile_spec(tiny.spec({"contributors": section})).checked.references["quality"].digest

        assert len({digest({}), digest({"region": ["north"]}), digest({"region": ["north", "south"]})}) == 3
        assert digest({}) == compile_spec(tiny.spec()).checked.digest("manifest")


class TestGroups:
    BY: ClassVar = {"groups": "groups.csv"}

    def groups(self, reader: Reader, text: str, name: str = "groups.csv") -> None:
        (reader.folder / name).write_text(text)

    def test_values_go_where_the_table_says(self, reader: Reader) -> None:
        self.groups(reader, "contributor,artist\nleft,a\nright,b\nleft,c\nright,d\nnobody,e\n")
        manifest = reader.good(grouping=self.BY)
        (grouping,) = manifest.groupings
        assert grouping.contributors == ("left", "right")
        assert grouping.of_row.tolist() == [1, 0, 1, 0, 0, 1]
        assert grouping.rows.tolist() == [3, 3]
        assert [file.role for file in manifest.inputs] == ["manifest", "groups g"]

    def test_several_columns_and_numbers(self, reader: Reader) -> None:
        keys = FRAME.select("artist", "year").drop_nulls().unique()
        keys.with_columns(contributor=pl.format("{}-{}", "year", "artist")).write_parquet(reader.folder / "g.parquet")
        frame = FRAME.drop_nulls("year")
        (grouping,) = reader.good(frame, grouping={"by": ["artist", "year"], "groups": "g.parquet"}).groupings
        assert grouping.contributors == ("1990-a", "1990-b", "2000-a", "2000-c", "2010-b")

    def test_values_without_a_group(self, reader: Reader) -> None:
        self.groups(reader, "artist,contributor\na,left\nb,right\n")
        problem = reader.bad(grouping=self.BY)
        assert problem.key == "contributors.grouping[0].groups"
        assert problem.message == "`groups.csv` has no group for c, d"
        (grouping,) = reader.good(grouping=self.BY | {"other": "rest"}).groupings
        assert grouping.contributors == ("left", "rest", "right")
        assert grouping.of_row.tolist() == [2, 0, 2, 1, 0, 1]

    def test_small_groups_are_pooled_with_them(self, reader: Reader) -> None:
        self.groups(reader, "artist,contributor\na,left\nb,right\nc,lone\n")
        (grouping,) = reader.good(grouping=self.BY | {"other": "rest", "min_rows": 2}).groupings
        assert grouping.contributors == ("left", "rest", "right")
        assert grouping.rows.tolist() == [2, 2, 2]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("artist,contributor\na,x\nb,x\na,y\n", "has more than one group for a"),
            ("artist,contributor\na,x\nb,\n", "row 2 of `groups.csv` has an empty cell"),
            ("artist,owner\na,x\n", "has no column `contributor`"),
            ("painter,contributor\na,x\n", "has no column `artist`"),
            ("", "it is empty"),
        ],
    )
    def test_tables_that_are_none(self, reader: Reader, text: str, message: str) -> None:
        self.groups(reader, text)
        problem = reader.bad(grouping=self.BY)
        assert problem.key == "contributors.grouping[0].groups"
        assert message in problem.message

    def test_the_name_for_the_others_must_be_free(self, reader: Reader) -> None:
        self.groups(reader, "artist,contributor\na,rest\nb,right\n")
        assert reader.bad(grouping=self.BY | {"other": "rest"}).key == "contributors.grouping[0].other"

    @pytest.mark.parametrize("name", ["../groups.csv", "gone.csv", "/etc/passwd"])
    def test_tables_elsewhere(self, reader: Reader, name: str) -> None:
        assert reader.bad(grouping={"groups": name}).key == "contributors.grouping[0].groups"

    def test_its_content_counts_and_its_name_does_not(self, tiny: Project) -> None:
        def plan_id(name: str, left: str) -> str:
            (tiny.folder / name).write_text(f"region,contributor\nnorth,{left}\nsouth,right\nwest,right\n")
            grouping = [{"name": "side", "by": ["region"], "groups": name}]
            return tiny.plan({"contributors": SPEC["contributors"] | {"grouping": grouping}}).plan_id

        assert plan_id("a.csv", "left") == plan_id("b.csv", "left")
        assert plan_id("a.csv", "left") != plan_id("a.csv", "other")


PATHS = [f"images/{number}.png" for number in range(6)]
STRUCT = pl.Struct({"bytes": pl.Binary, "path": pl.String})


class TestImageFiles:
    def files(self, folder: Path) -> None:
        (folder / "images").mkdir(parents=True)
        for number in range(6):
            (folder / "images" / f"{number}.png").write_bytes(str(number).encode())

    @pytest.mark.parametrize("name", ["data.parquet", "data.csv", "data.jsonl"])
    def test_paths_start_at_the_manifest(self, reader: Reader, name: str) -> None:
        self.files(reader.folder)
        manifest = reader.good(FRAME.drop("image").with_columns(image=pl.Series(PATHS)), name=name)
        assert manifest.image_files
        assert manifest.images(np.array([4, 1])) == {1: b"1", 4: b"4"}
        assert manifest.read_rows(np.array([2]))["image"].to_list() == [b"2"]

    def test_structs_with_paths_alone(self, reader: Reader) -> None:
        self.files(reader.folder)
        cells: list[Any] = [{"bytes": None, "path": path} for path in PATHS]
        cells[1] = {"bytes": b"one", "path": "gone.png"}
        manifest = reader.good(FRAME.with_columns(image=pl.Series(cells, dtype=STRUCT)))
        assert manifest.images(np.arange(3)) == {0: b"0", 1: b"one", 2: b"2"}

    def test_paths_in_a_folder_start_at_it_or_at_their_file(self, reader: Reader) -> None:
        self.files(reader.folder / "set" / "train")
        for paths in (PATHS, [f"train/{path}" for path in PATHS]):
            frame = FRAME.drop("image").with_columns(image=pl.Series(paths))
            (reader.folder / "set" / "train" / "metadata.csv").write_text(frame.write_csv())
            section = SPEC["contributors"] | {"manifest": "set", "grouping": [{"name": "g", "by": ["artist"]}]}
            loaded = load_spec(reader.project.spec({"contributors": section}))
            manifest, problems = read_manifest(loaded, reader.folder / "set")
            assert problems == []
            assert manifest is not None
            assert manifest.images(np.array([5])) == {5: b"5"}

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("/etc/passwd", "no path inside the manifest's folder"),
            ("../x.png", "no path inside"),
            ("images/../../x.png", "no path inside"),
            ("~/x.png", "no path inside"),
            ("https://example.org/x.png", "no path inside"),
            ("a\\..\\..\\x.png", "no path inside"),
            ("link.png", "lies outside the manifest's folder"),
            ("folder/x.png", "lies outside the manifest's folder"),
            ("gone.png", "the image gone.png of row 0 is not there"),
            ("images", "is no regular file"),
            ("x" * 400, "File name too long"),
            ("", "1 rows have no image"),
        ],
    )
    def test_paths_that_lead_elsewhere(self, reader: Reader, path: str, message: str) -> None:
        self.files(reader.folder)
        outside = reader.folder.parent / "outside"
        outside.mkdir()
        (outside / "x.png").write_bytes(b"secret")
        (reader.folder / "link.png").symlink_to(outside / "x.png")
        (reader.folder / "folder").symlink_to(outside)
        problem = reader.bad(FRAME.drop("image").with_columns(image=pl.Series([path, *PATHS[1:]])))
        assert problem.key == "contributors.image"
        assert message in problem.message

    def project_of_files(self, tiny: Project) -> list[Path]:
        """The tiny project with its images in files."""
        frame = rows()
        (tiny.folder / "images").mkdir()
        paths = [tiny.folder / "images" / f"{number}.png" for number in range(frame.height)]
        for path, image in zip(paths, frame["image"], strict=True):
            path.write_bytes(image)
        names = [path.relative_to(tiny.folder).as_posix() for path in paths]
        tiny.manifest(frame.with_columns(image=pl.Series(names)))
        return paths

    def test_the_same_images_are_the_same_pool(self, tiny: Project) -> None:
        before = compile_spec(tiny.spec())
        self.project_of_files(tiny)
        after = compile_spec(tiny.spec())
        assert [pool.keys for pool in before.pools] == [pool.keys for pool in after.pools]
        assert after.checked.inputs[-1].role == "images"

    def test_a_changed_file_changes_what_is_made_from_it(self, tiny: Project) -> None:
        paths = self.project_of_files(tiny)
        before = compile_spec(tiny.spec())
        used = {row for pool in before.pools for row in pool.rows.tolist()}
        row = max(used)
        paths[row].write_bytes(paths[0].read_bytes())
        after = compile_spec(tiny.spec())
        assert before.plan_id != after.plan_id
        prompt, image = (
            [key for key in one.keys if key not in other.keys]
            for one, other in zip(after.pools, before.pools, strict=True)
        )
        assert prompt == []
        assert 1 <= len(image) <= 3
        assert after.checked.references["quality"].digest != before.checked.references["quality"].digest

    def test_images_that_nobody_looks_at_do_not_count(self, tiny: Project) -> None:
        paths = self.project_of_files(tiny)
        changes = {"proxy.kind": "image", "utility": SPEC["utility"][:1]}
        before = compile_spec(tiny.spec(changes))
        unused = min(set(range(1, 59)) - set(before.pools[0].rows.tolist()))
        paths[unused].write_bytes(b"")
        assert compile_spec(tiny.spec(changes)).plan_id == before.plan_id

    def test_a_file_that_went_away(self, tiny: Project) -> None:
        paths = self.project_of_files(tiny)
        used = compile_spec(tiny.spec()).pools[1].rows
        paths[int(used[used >= 0][5])].unlink()
        with pytest.raises(SpecError) as caught:
            api.plan(tiny.spec())
        (problem,) = caught.value.problems
        assert problem.key == "contributors.image"
        assert "is not there" in problem.message

    def test_it_runs(self, tiny: Project) -> None:
        """From image files and the rows of `where`, and the same numbers as from bytes."""
        section = SPEC["contributors"] | {"where": {"owner": ["amber", "basil", "coral"]}}
        bytes_ = tiny.apply({"contributors": section})
        self.project_of_files(tiny)
        files = tiny.apply({"contributors": section})
        assert [game.contributors for game in files.games] == [game.contributors for game in bytes_.games]
        assert files.run != bytes_.run


@pytest.mark.parametrize("group", [None, 7])
def test_picking_rows_of_long_files(tmp_path: Path, group: int | None) -> None:
    """In runs, in pieces, from several row groups: always the rows that were asked for."""
    from surrogateshap.plan.manifest import table as module
    from surrogateshap.plan.manifest.opening import open_table

    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"number": np.arange(500), "image": [rng.bytes(3_000) for _ in range(500)]})
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=group)
    table = open_table(tmp_path / "a.parquet")
    for held in (module._HELD, 40_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_HELD", held)
            patch.setattr(module, "_SKIPPED", 10_000)
            for count in (1, 5, 60, 500):
                wanted = np.sort(rng.choice(500, count, replace=False))
                parts = list(table.pick(["image", "number"], wanted))
                assert np.concatenate([numbers for numbers, _ in parts]).tolist() == wanted.tolist()
                assert pl.concat([part for _, part in parts])["number"].to_list() == wanted.tolist()
                assert held > 40_000 or all(part["image"].bin.size().sum() <= 60_000 for _, part in parts)
