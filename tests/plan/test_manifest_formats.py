"""The same rows in every format: files, folders as `datasets` has them, and Croissant descriptions."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from surrogateshap.errors import Problem
from surrogateshap.plan.manifest import Manifest, digest_manifest, read_manifest
from surrogateshap.spec.load import load_spec
from tests.tiny import Project

ROWS = pl.DataFrame(
    {
        "artist": ["b", "a", "b", "c", "a"],
        "label": ["two", "one", "one", "two", "one"],
        "year": [1990, 2000, 2010, 2000, 1990],
    }
)
GROUPING = {"name": "artist", "by": ["artist"]}


class Reader:
    """Reads a manifest as a spec's `[contributors]` say."""

    def __init__(self, project: Project) -> None:
        self.project, self.folder = project, project.folder

    def both(self, manifest: str, **more: Any) -> tuple[Manifest | None, list[Problem]]:
        section = {"manifest": manifest, "condition": "label", "grouping": [GROUPING]} | more
        loaded = load_spec(self.project.spec({"contributors": section, "proxy.kind": "auto", "utility": UTILITY}))
        return read_manifest(loaded, self.folder / manifest)

    def good(self, manifest: str, **more: Any) -> Manifest:
        found, problems = self.both(manifest, **more)
        assert problems == []
        assert found is not None
        return found

    def bad(self, manifest: str, **more: Any) -> Problem:
        """The only problem."""
        found, problems = self.both(manifest, **more)
        assert found is None
        (problem,) = problems
        assert problem.remedy
        return problem


UTILITY = [{"name": "right", "kind": "score"}]


@pytest.fixture
def reader(tiny: Project) -> Reader:
    return Reader(tiny)


def shown(manifest: Manifest) -> list[tuple[str, str]]:
    """Contributor and condition of each row."""
    (grouping,) = manifest.groupings
    names = [grouping.contributors[code] for code in grouping.of_row]
    return list(zip(names, [manifest.conditions[code] for code in manifest.condition_of_row], strict=True))


EXPECTED = list(zip(ROWS["artist"], ROWS["label"], strict=True))


def write_saved(folder: Path, frame: pl.DataFrame, shards: int = 2, split: str | None = None) -> None:
    """As `Dataset.save_to_disk` does."""
    folder.mkdir(parents=True)
    names = [f"data-{shard:05d}-of-{shards:05d}.arrow" for shard in range(shards)]
    size = -(-frame.height // shards)
    for shard, name in enumerate(names):
        frame.slice(shard * size, size).write_ipc_stream(folder / name)
    state = {"_data_files": [{"filename": name} for name in names], "_split": split, "_indices_files": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {}}))


def croissant(**sources: Any) -> dict[str, Any]:
    """A description with one record set per source."""
    return {
        "@context": {"@vocab": "https://schema.org/", "cr": "http://mlcommons.org/croissant/"},
        "@type": "sc:Dataset",
        "name": "paintings",
        "distribution": list(sources.values()),
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": f"of-{name}",
                "field": [
                    {
                        "@type": "cr:Field",
                        "@id": f"of-{name}/{field}",
                        "source": {
                            "fileSet" if node["@type"] == "cr:FileSet" else "fileObject": {"@id": node["@id"]},
                            "extract": {"column": column},
                        },
                    }
                    for field, column in (("artist", "artist"), ("label", "label"), ("when", "year"))
                ],
            }
            for name, node in sources.items()
        ],
    }


def file_object(name: str, **more: Any) -> dict[str, Any]:
    return {"@type": "cr:FileObject", "@id": name, "contentUrl": name} | more


@pytest.mark.parametrize(
    "write",
    [
        ROWS.write_parquet,
        ROWS.write_csv,
        lambda path: path.write_bytes(b"\xef\xbb\xbf" + ROWS.write_csv().encode()),
        ROWS.write_ndjson,
        lambda path: path.write_text("\n" + ROWS.write_ndjson()),
        ROWS.write_ipc_stream,
    ],
    ids=["parquet", "csv", "csv with a mark", "json lines", "json lines after an empty one", "arrow"],
)
def test_files_are_told_apart_by_content(reader: Reader, write: Callable[[Path], Any]) -> None:
    for name in ("data", "data.parquet", "a[12]*.csv"):
        write(reader.folder / name)
        assert shown(reader.good(name)) == EXPECTED
        assert digest_manifest(reader.folder / name, None) == reader.good(name).inputs[0].digest


def test_names_of_a_csv_stay_text(reader: Reader) -> None:
    (reader.folder / "data.csv").write_text("artist,label\n007,one\n7,two\n")
    assert reader.good("data.csv").groupings[0].contributors == ("007", "7")


def test_numbers_in_json_lines_name_things(reader: Reader) -> None:
    (reader.folder / "data.jsonl").write_text('{"artist": 7, "label": "one"}\n{"artist": 10, "label": "two"}\n')
    assert reader.good("data.jsonl").groupings[0].contributors == ("10", "7")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"artist": "a", "label": "one"}\n{"artist": "a", "la', "it is not JSON Lines"),
        ("{" * 100_000, "it is not JSON Lines"),
        ('{\n "a": 1\n}\n', "it is not JSON Lines"),
        ('artist,label\n"a,one\n', "damaged"),
        ("artist,label\na,one,two\n", "damaged"),
    ],
)
def test_damaged_text(reader: Reader, text: str, message: str) -> None:
    (reader.folder / "data.txt").write_text(text)
    assert message in reader.bad("data.txt").message


class TestFolders:
    def test_saved_to_disk(self, reader: Reader) -> None:
        write_saved(reader.folder / "saved", ROWS)
        assert shown(reader.good("saved")) == EXPECTED

    def test_a_saved_split_may_be_named(self, reader: Reader) -> None:
        write_saved(reader.folder / "saved", ROWS, split="train")
        assert shown(reader.good("saved", split="train")) == EXPECTED
        problem = reader.bad("saved", split="test")
        assert (problem.key, problem.remedy) == ("contributors.split", "It has train.")

    def test_saved_splits(self, reader: Reader) -> None:
        root = reader.folder / "saved"
        write_saved(root / "train", ROWS)
        write_saved(root / "test", ROWS.head(1), shards=1)
        (root / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
        assert shown(reader.good("saved", split="train")) == EXPECTED
        assert shown(reader.good("saved", split="test")) == EXPECTED[:1]
        problem = reader.bad("saved")
        assert problem.key == "contributors.split"
        assert problem.remedy == "It has train, test."

    @pytest.mark.parametrize("names", ['["../model"]', '[".."]', '["a/b"]', "[7]", '"train"', "null"])
    def test_splits_that_lead_elsewhere(self, reader: Reader, names: str) -> None:
        (reader.folder / "saved").mkdir()
        (reader.folder / "saved" / "dataset_dict.json").write_text(f'{{"splits": {names}}}')
        assert "doesn't name its splits" in reader.bad("saved").message

    @pytest.mark.parametrize("name", ["../outside.arrow", "/etc/passwd", "link.arrow", "gone.arrow", "a\0b", "x" * 300])
    def test_shards_that_lead_elsewhere(self, reader: Reader, name: str) -> None:
        write_saved(reader.folder / "saved", ROWS)
        ROWS.write_ipc_stream(reader.folder / "outside.arrow")
        (reader.folder / "saved" / "link.arrow").symlink_to(reader.folder / "outside.arrow")
        state = {"_data_files": [{"filename": name}]}
        (reader.folder / "saved" / "state.json").write_text(json.dumps(state))
        problem = reader.bad("saved")
        assert problem.key == "contributors.manifest"
        assert any(words in problem.message for words in ("outside its folder", "no such file", "no path"))

    @pytest.mark.parametrize("state", ["[]", "{", '{"_data_files": 7}', '{"_data_files": []}', '{"_data_files": [7]}'])
    def test_a_state_that_says_nothing(self, reader: Reader, state: str) -> None:
        write_saved(reader.folder / "saved", ROWS)
        (reader.folder / "saved" / "state.json").write_text(state)
        assert reader.bad("saved").key == "contributors.manifest"

    def test_shuffled_datasets_are_refused(self, reader: Reader) -> None:
        """Their rows aren't in the order of their files."""
        write_saved(reader.folder / "saved", ROWS)
        path = reader.folder / "saved" / "state.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"_indices_files": [{"filename": "indices.arrow"}]}))
        assert "flatten_indices" in reader.bad("saved").remedy

    @pytest.mark.parametrize(
        ("names", "splits"),
        [
            (("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"), ("train", "test")),
            (("train/0000.parquet", "train/0001.parquet"), ("train", "test")),
            (("default/train/0000.parquet", "default/train/0001.parquet"), ("train", "test")),
            (
                ("data/train-00000-of-00002-0a1b2c.parquet", "data/train-00001-of-00002-0a1b2d.parquet"),
                ("train", "test"),
            ),
        ],
    )
    def test_as_the_hub_has_them(self, reader: Reader, names: tuple[str, str], splits: tuple[str, ...]) -> None:
        hub = reader.folder / "hub"
        for at, name in enumerate(names):
            (hub / name).parent.mkdir(parents=True, exist_ok=True)
            (ROWS.head(3) if at == 0 else ROWS.tail(2)).write_parquet(hub / name)
        (hub / "README.md").write_text("---\n---\n")
        (hub / ".cache").mkdir()
        ROWS.write_parquet(hub / ".cache" / "other.parquet")
        assert shown(reader.good("hub")) == EXPECTED
        other = hub / names[0].replace("train", "test").replace("00002", "00001")
        other.parent.mkdir(parents=True, exist_ok=True)
        ROWS.head(1).write_parquet(other)
        assert shown(reader.good("hub", split="train")) == EXPECTED
        assert shown(reader.good("hub", split="test")) == EXPECTED[:1]
        assert reader.bad("hub").remedy == "It has test, train."
        assert reader.bad("hub", split="valid").message.endswith("has no split `valid`")

    def test_configurations_of_one_split(self, reader: Reader) -> None:
        for config in ("en", "fr"):
            (reader.folder / "hub" / config).mkdir(parents=True)
            ROWS.head(2 if config == "en" else 3).write_csv(reader.folder / "hub" / config / "train-00000-of-00001.csv")
        assert reader.bad("hub").remedy == "It has en/train, fr/train."
        assert shown(reader.good("hub", split="en/train")) == EXPECTED[:2]

    def test_only_the_split_counts(self, reader: Reader) -> None:
        """Whatever else lies in the folder may change."""
        hub = reader.folder / "hub"
        hub.mkdir()
        ROWS.write_parquet(hub / "train.parquet")
        ROWS.write_parquet(hub / "test.parquet")
        before = reader.good("hub", split="train").inputs
        ROWS.head(2).write_parquet(hub / "test.parquet")
        assert reader.good("hub", split="train").inputs == before
        ROWS.head(2).write_parquet(hub / "train.parquet")
        assert reader.good("hub", split="train").inputs != before
        assert digest_manifest(hub, "train") == reader.good("hub", split="train").inputs[0].digest

    def test_parts_must_have_the_same_columns(self, reader: Reader) -> None:
        (reader.folder / "hub").mkdir()
        ROWS.write_parquet(reader.folder / "hub" / "train-00000-of-00002.parquet")
        ROWS.drop("year").write_parquet(reader.folder / "hub" / "train-00001-of-00002.parquet")
        assert "train-00001-of-00002.parquet has other columns" in reader.bad("hub").message

    def test_links_out_of_the_folder_are_refused(self, reader: Reader) -> None:
        (reader.folder / "hub").mkdir()
        ROWS.write_parquet(reader.folder / "outside.parquet")
        (reader.folder / "hub" / "train.parquet").symlink_to("../outside.parquet")
        assert "outside its folder" in reader.bad("hub").message

    def test_linked_folders_are_not_entered(self, reader: Reader) -> None:
        (reader.folder / "hub").mkdir()
        (reader.folder / "other").mkdir()
        ROWS.write_parquet(reader.folder / "other" / "train.parquet")
        (reader.folder / "hub" / "data").symlink_to("../other")
        assert "holds no dataset" in reader.bad("hub").message

    def test_nothing_in_it(self, reader: Reader) -> None:
        (reader.folder / "hub").mkdir()
        assert "state.json" in reader.bad("hub").remedy

    def test_a_part_that_is_no_table(self, reader: Reader) -> None:
        (reader.folder / "hub").mkdir()
        (reader.folder / "hub" / "train.parquet").write_bytes(b"PAR1")
        assert reader.bad("hub").key == "contributors.manifest"
        os.mkfifo(reader.folder / "hub" / "pipe.parquet")
        assert "no such file" in reader.bad("hub", split="pipe").message


class TestCroissant:
    def write(self, reader: Reader, document: Any, indent: int | None = 1) -> str:
        text = document if isinstance(document, str) else json.dumps(document, indent=indent)
        (reader.folder / "croissant.json").write_text(text)
        return "croissant.json"

    @pytest.mark.parametrize("indent", [None, 1])
    @pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.jsonl"])
    def test_a_file(self, reader: Reader, name: str, indent: int | None) -> None:
        writers = {"parquet": ROWS.write_parquet, "csv": ROWS.write_csv, "jsonl": ROWS.write_ndjson}
        writers[name.partition(".")[2]](reader.folder / name)
        path = self.write(reader, croissant(rows=file_object(name)), indent)
        manifest = reader.good(path, where={"when": [1990, 2010]})
        assert shown(manifest) == [row for row, year in zip(EXPECTED, ROWS["year"], strict=True) if year != 2000]
        assert manifest.read_rows(np.array([0, 2])).columns == ["row", "artist", "label", "when"]

    def test_columns_that_are_not_described_are_not_there(self, reader: Reader) -> None:
        ROWS.write_parquet(reader.folder / "rows.parquet")
        path = self.write(reader, croissant(rows=file_object("rows.parquet")))
        problem = reader.bad(path, condition="year")
        assert problem.message == "the manifest has no column `year`"

    def test_the_content_is_checked(self, reader: Reader) -> None:
        ROWS.write_parquet(reader.folder / "rows.parquet")
        content = hashlib.sha256((reader.folder / "rows.parquet").read_bytes()).hexdigest()
        assert shown(reader.good(self.write(reader, croissant(rows=file_object("rows.parquet", sha256=content)))))
        path = self.write(reader, croissant(rows=file_object("rows.parquet", sha256="0" * 64)))
        assert "is not the file that it describes" in reader.bad(path).message

    def test_file_sets(self, reader: Reader) -> None:
        (reader.folder / "data").mkdir()
        ROWS.head(3).write_parquet(reader.folder / "data" / "train-0.parquet")
        ROWS.tail(2).write_parquet(reader.folder / "data" / "train-1.parquet")
        ROWS.write_parquet(reader.folder / "data" / "train-old.parquet")
        node = {"@type": "cr:FileSet", "@id": "files", "containedIn": {"@id": "repo"}}
        included = {"includes": "data/train-*.parquet", "excludes": ["*old*"]}
        assert shown(reader.good(self.write(reader, croissant(rows=node | included)))) == EXPECTED
        path = self.write(reader, croissant(rows=node | {"includes": ["more/*.parquet"]}))
        assert "no file beside it matches more/*.parquet" in reader.bad(path).message

    def test_several_record_sets(self, reader: Reader) -> None:
        ROWS.write_parquet(reader.folder / "a.parquet")
        ROWS.head(2).write_csv(reader.folder / "b.csv")
        path = self.write(reader, croissant(a=file_object("a.parquet"), b=file_object("b.csv")))
        assert shown(reader.good(path, split="of-b")) == EXPECTED[:2]
        problem = reader.bad(path)
        assert problem.key == "contributors.split"
        assert "several record sets" in problem.message
        assert problem.remedy == "It has of-a, of-b."

    def test_nothing_is_downloaded(self, reader: Reader) -> None:
        node = file_object("rows", contentUrl="https://example.org/files/rows.parquet?download=1")
        path = self.write(reader, croissant(rows=node))
        problem = reader.bad(path)
        assert "nothing is downloaded" in problem.message
        assert problem.remedy == "Save it beside it as `rows.parquet`."
        ROWS.write_parquet(reader.folder / "rows.parquet")
        assert shown(reader.good(path)) == EXPECTED

    @pytest.mark.parametrize(
        "url", ["../rows.parquet", "/etc/passwd", "croissant.json", "", 7, None, "x\0y", "gone.csv"]
    )
    def test_files_that_lead_elsewhere(self, reader: Reader, url: Any) -> None:
        ROWS.write_parquet(reader.folder.parent / "rows.parquet")
        path = self.write(reader, croissant(rows=file_object("rows", contentUrl=url)))
        assert reader.bad(path).key == "contributors.manifest"

    def test_nothing_is_unpacked(self, reader: Reader) -> None:
        path = self.write(reader, croissant(rows=file_object("rows.csv", containedIn={"@id": "rows.zip"})))
        assert "nothing is unpacked" in reader.bad(path).message

    @pytest.mark.parametrize(
        "change",
        [
            {"recordSet": None},
            {"recordSet": 7},
            {"recordSet": [7, {"field": 7}, {"field": [7, {"source": 7}]}]},
            {"recordSet": {"@id": "x", "field": {"name": "a", "source": {"fileObject": {"@id": "q"}, "extract": 7}}}},
            {"distribution": None},
            {"distribution": "all"},
        ],
    )
    def test_descriptions_that_describe_nothing(self, reader: Reader, change: dict[str, Any]) -> None:
        ROWS.write_parquet(reader.folder / "rows.parquet")
        path = self.write(reader, croissant(rows=file_object("rows.parquet")) | change)
        assert reader.bad(path).key == "contributors.manifest"

    @pytest.mark.parametrize(
        "text", ['{"@context": 1, "a":' + "[" * 100_000, '{"@context": {}}' + " " * (9 << 20) + "{"]
    )
    def test_hostile_json(self, reader: Reader, text: str) -> None:
        assert reader.bad(self.write(reader, text)).key == "contributors.manifest"


def test_the_description_counts_too(reader: Reader) -> None:
    ROWS.write_parquet(reader.folder / "rows.parquet")
    document = croissant(rows=file_object("rows.parquet"))
    (reader.folder / "croissant.json").write_text(json.dumps(document))
    before = reader.good("croissant.json").inputs
    (reader.folder / "croissant.json").write_text(json.dumps(document | {"name": "drawings"}))
    assert reader.good("croissant.json").inputs != before
