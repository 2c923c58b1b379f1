"""Specs, tables and records of strangers: no traceback, no hang, no blow-up, whatever the bytes are."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrogateshap import api
from surrogateshap.archive import archive_bytes
from surrogateshap.errors import SpecError, SurrogateShapError, VerificationError
from surrogateshap.frames import read_frame
from surrogateshap.spec.load import load_spec
from tests.record.example import plan, results
from tests.record.test_record_verify import write
from tests.sharing.test_export import members
from tests.tiny import SPEC, toml

GOLDEN = Path(__file__).parent / "golden" / "record-v1.zip"
BYTES = settings(max_examples=200, deadline=None)


def edited(data: st.DataObject, whole: bytes) -> bytes:
    """Some of the bytes replaced, removed, added or repeated."""
    found = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 5))):
        at, length = data.draw(st.integers(0, len(found))), data.draw(st.integers(0, 20))
        piece = data.draw(st.binary(max_size=20) | st.sampled_from([b"[" * 500, b"{", b'"', b"\0", b"9" * 400]))
        found[at : at + length] = piece
    return bytes(found)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strangers")


@BYTES
@given(st.data())
def test_specs(place: Path, data: st.DataObject) -> None:
    path = place / "spec.toml"
    path.write_bytes(edited(data, toml(SPEC).encode()))
    try:
        load_spec(path)
    except SpecError as error:
        check_texts(problem.message for problem in error.problems)


def check_texts(texts: Iterable[str]) -> None:
    assert all(text.isprintable() for text in texts)


def table(kind: str) -> bytes:
    frame = pl.DataFrame({"a": [0, 1, 0, 1], "b": [True, False, True, True], "value": [0.1, 0.2, 0.3, 0.4]})
    buffer = io.BytesIO()
    {"parquet": frame.write_parquet, "csv": frame.write_csv, "jsonl": frame.write_ndjson}[kind](buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
@BYTES
@given(data=st.data())
def test_tables(place: Path, kind: str, data: st.DataObject) -> None:
    path = place / f"table.{kind}"
    path.write_bytes(edited(data, table(kind)))
    try:
        api.estimate_shapley(path, empty=None, full=None, estimator="kernel")
    except SpecError as error:
        check_texts(problem.message for problem in error.problems)


@BYTES
@given(st.data())
def test_records(place: Path, data: st.DataObject) -> None:
    """A file of the record changed, and the archive made anew."""
    files = members(GOLDEN)
    name = data.draw(st.sampled_from(sorted(name for name in files if name.endswith(".json"))))
    path = place / "record.zip"
    path.write_bytes(archive_bytes({**files, name: edited(data, files[name])}))
    try:
        report = api.verify(path)
    except VerificationError as error:
        check_texts(str(error).splitlines())
    else:
        check_texts(check.detail for check in report.checks)


def test_a_million_columns(place: Path) -> None:
    path = place / "wide.parquet"
    pl.DataFrame({f"c{i}": [1] for i in range(20_000)}).write_parquet(path)
    began = time.monotonic()
    with pytest.raises(SpecError, match="20,000 columns; 2,000 are the most"):
        read_frame(path)
    path.write_bytes(b"PAR1" + bytes(17 << 20) + (17 << 20).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(SpecError, match="its description alone has 17 MiB"):
        read_frame(path)
    assert time.monotonic() - began < 20
    path = place / "wide.csv"
    path.write_text(",".join(f"c{i}" for i in range(1_000_000)) + "\n")
    with pytest.raises(SpecError, match="1,000,000 columns; 2,000 are the most"):
        read_frame(path)


def test_a_table_that_unpacks_to_gigabytes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place / "large.parquet"
    monkeypatch.setattr("surrogateshap.frames.MOST_ROOM", 1 << 28)
    pl.DataFrame({f"c{i}": pl.repeat(1.5, 1_000_000, eager=True) for i in range(20)}).write_parquet(path)
    assert path.stat().st_size < 2_000_000
    with pytest.raises(SpecError, match=r"0\.3 GB of memory"):
        read_frame(path)


def test_a_record_of_a_thousand_contributors_takes_a_second_or_two(tmp_path: Path) -> None:
    first = results().games[0].contributors[0]
    rows = tuple(
        first.model_copy(update={"name": f"n{i}", "value": 1.0, "rank": 1, "rank_low": 1, "rank_high": 1})
        for i in range(1000)
    )
    game = results().games[0].model_copy(update={"contributors": rows, "v_empty": 0.0, "v_full": 1000.0})
    games = tuple(game.model_copy(update={"indistinguishable": (), "utility": f"u{i}"}) for i in range(20))
    record = write(tmp_path / "run", results().model_copy(update={"games": games}))
    began = time.monotonic()
    assert api.verify(record).holds
    assert time.monotonic() - began < 10  # about 1 s on an idle machine
    assert plan().name == "digits"


FUZZ = """
import resource
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["surrogateshap.archive", "surrogateshap.strangers", "surrogateshap.spec",
                                         "surrogateshap.record", "tomli"]):
    from surrogateshap.errors import SurrogateShapError
    from surrogateshap.record.verify import verify
    from surrogateshap.spec.load import load_spec

resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
place = Path(sys.argv.pop(1))
kind = sys.argv.pop(1)
load = {"spec": load_spec, "record": verify}[kind]


def once(data):
    place.write_bytes(data)
    try:
        load(place)
    except SurrogateShapError:
        pass


atheris.Setup(sys.argv, once)
atheris.Fuzz()
"""


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", ["spec", "record"])
def test_a_bounded_fuzz_run(tmp_path: Path, kind: str) -> None:
    """Guided by coverage: atheris, from a good file on. Crashes, 5 s for one input and 4 GiB of memory fail."""
    corpus, folder = tmp_path / "corpus", tmp_path / "input"
    corpus.mkdir()
    folder.mkdir()
    if kind == "spec":
        (corpus / "spec").write_text(toml(SPEC))
    else:
        small = {"spec.toml": b"", "record.json": members(GOLDEN)["record.json"]}
        (corpus / "record").write_bytes(archive_bytes(small))
        (corpus / "statement").write_bytes(members(GOLDEN)["record.json"])
    script = tmp_path / "fuzz.py"
    script.write_text(FUZZ)
    place = folder / ("spec.toml" if kind == "spec" else "record.json")
    limits = ["-runs=3000", "-max_total_time=8", "-timeout=5", "-rss_limit_mb=0", "-seed=1", str(corpus)]
    command = [sys.executable, str(script), str(place), kind, *limits]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done" in done.stderr


def test_errors_are_of_the_program_s_own(place: Path) -> None:
    """A record that is a spec, a plan and a table at once is told by each."""
    path = place / "what.zip"
    path.write_bytes(archive_bytes({"record.json": json.dumps({"a": 1}).encode(), "spec.toml": b"\xff"}))
    for use in (api.verify, api.validate, api.plan, lambda one: api.show(str(one)), read_frame):
        with pytest.raises(SurrogateShapError):
            use(path)
