import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from surrogateshap.errors import RunError
from surrogateshap.events import Warned
from surrogateshap.store import Store


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_store(tmp_path):
    root = tmp_path / "deep" / "store"
    with Store.open(root) as store:
        assert store.root == root
    assert names(root) == [".gitignore", "objects", "store.db"]
    assert (root / ".gitignore").read_text() == "*\n"


def test_opening_again_keeps_everything(tmp_path):
    with Store.open(tmp_path) as store:
        store.remember("a", store.put_json(1), "fit")
    (tmp_path / ".gitignore").write_text("mine")
    with Store.open(tmp_path) as store:
        assert store.get_json(store.lookup(["a"])["a"]) == 1
    assert (tmp_path / ".gitignore").read_text() == "mine"


def test_closed_store_opens_itself_again(tmp_path):
    store = Store.open(tmp_path)
    store.close()
    store.close()
    store.remember("a", store.put_json(1), "fit")
    assert len(store.lookup(["a"])) == 1
    store.close()


@pytest.mark.parametrize("below", ["file", "file/store"])
def test_path_that_is_a_file(tmp_path, below):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="can't write here") as caught:
        Store.open(tmp_path / below)
    assert "--store" in caught.value.remedy
    assert Store.existing(tmp_path / below) is None


def test_hostile_path_is_shown_harmlessly(tmp_path):
    (tmp_path / "x\x1b[31m").write_text("")
    with pytest.raises(RunError) as caught:
        Store.open(tmp_path / "x\x1b[31m")
    assert "\x1b" not in str(caught.value)


UNPRIVILEGED = """
import os, sys, urllib.parse
from pathlib import Path
from surrogateshap import events
from surrogateshap.errors import RunError
from surrogateshap.store import Store
# What is imported late must be imported now: without privileges Python's own files may be out of reach.
events.event_from_json('{"kind": "run_interrupted", "run": "a"}')
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
root = Path(sys.argv[1])
try:
    Store.open(root)
except RunError as error:
    print(error)
store = Store.existing(root)
print(store and [(row.run, row.status) for row in store.runs()])
print(store and [event.message for _, event in store.events("a")])
print(store and store.get_json(store.lookup(["k"])["k"]))
"""


@pytest.fixture
def public(tmp_path):
    """A folder that any user can reach and only this one can write."""
    for folder in (tmp_path, *tmp_path.parents):
        if "pytest-" in folder.as_posix():
            folder.chmod(0o755)
    return tmp_path


def unprivileged(root: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, str(root)], capture_output=True, text=True, check=True
    ).stdout


def test_folder_that_cannot_be_written(public):
    root = public / "store"
    root.mkdir(mode=0o555)
    said = unprivileged(root)
    assert "can't write here" in said
    assert "--store" in said
    assert said.splitlines()[-1] == "None"


def test_store_in_a_read_only_folder_is_read(public):
    root = public / "store"
    with Store.open(root) as store:
        store.begin_run("a", "n", "p", "s", "f", "d")
        store.record_event("a", Warned(message="seen"))
        store.remember("k", store.put_json("kept"), "fit")
    before = content(root)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        said = unprivileged(root).splitlines()
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert "can't write here" in said[0]
    assert said[-3:] == ["[('a', 'running')]", "['seen']", "kept"]
    assert content(root) == before


def test_existing_makes_nothing(tmp_path):
    assert Store.existing(tmp_path / "none") is None
    assert names(tmp_path) == []
    (tmp_path / "store.db").touch()
    assert Store.existing(tmp_path) is None
    assert names(tmp_path) == ["store.db"]


def test_reading_changes_no_file(tmp_path):
    with Store.open(tmp_path) as store:
        name = store.put_json([1])
        store.remember("a", name, "fit")
    damaged = tmp_path / "objects" / name[:2] / f"{name}.json"
    damaged.write_bytes(b"[2]")
    before = content(tmp_path)
    with Store.existing(tmp_path) as reader:
        assert reader.lookup(["a"]) == {"a": name}
        assert reader.get_json(name) is None
        assert reader.runs() == []
        for write in (
            lambda: reader.put_json([3]),
            reader.lock,
            lambda: reader.remember("b", name, "fit"),
            lambda: reader.begin_run("a", "n", "p", "s", "f", "d"),
        ):
            with pytest.raises(RunError, match="opened for reading only"):
                write()
        assert content(tmp_path) == before
    assert content(tmp_path) == before


def test_reader_follows_a_writer_that_comes_later(tmp_path):
    Store.open(tmp_path).close()
    with Store.existing(tmp_path) as reader:
        assert reader.runs() == []
        for number in range(3):
            with Store.open(tmp_path) as writer:
                writer.begin_run(f"{number}", "n", "p", "s", "f", "d")
                assert len(reader.runs()) == number + 1
                writer.record_event("a", Warned(message="m"))
                assert len(reader.events("a")) == number + 1
            assert len(reader.runs()) == number + 1


def test_reader_sees_what_a_killed_writer_kept(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from surrogateshap.store import Store;"
        "store = Store.open(Path(sys.argv[1])); store.begin_run('a', 'n', 'p', 's', 'f', 'd');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    with Store.existing(tmp_path) as reader:
        assert [row.run for row in reader.runs()] == ["a"]


def test_newer_store_is_refused(tmp_path):
    Store.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for opening in (Store.open, Store.existing):
        with pytest.raises(RunError, match="newer surrogateshap") as caught:
            opening(tmp_path)
        assert "pip install --upgrade" in caught.value.remedy


def test_damaged_database_is_told(tmp_path):
    (tmp_path / "store.db").write_bytes(b"no database at all" * 100)
    for opening in (Store.open, Store.existing):
        with pytest.raises(RunError, match="not a database") as caught:
            opening(tmp_path)
        assert "Move this file away" in caught.value.remedy


def test_import_is_light():
    code = "import sys; import surrogateshap.store; print([m for m in sys.modules if m.split('.')[0] in sys.argv[1:]])"
    heavy = ["numpy", "safetensors", "pydantic", "torch", "polars", "scipy"]
    said = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_fork_leaves_the_parent_its_connection(tmp_path):
    with Store.open(tmp_path) as store:
        store.begin_run("a", "n", "p", "s", "f", "d")
        child = os.fork()
        if not child:
            store.set_status("a", "done")
            store.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert store.run("a").status == "done"
        store.set_status("a", "failed")
        assert store.run("a").status == "failed"
