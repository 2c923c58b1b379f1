"""Objects at an URL: the same contract as in a folder, clear errors, and no credentials in any of them."""

import pickle

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations

from surrogateshap.errors import MissingExtraError, RunError
from surrogateshap.store import Store
from surrogateshap.store.files import LocalFiles
from surrogateshap.store.objects import Objects
from surrogateshap.store.place import OBJECTS, open_place
from surrogateshap.store.remote import RemoteFiles, RemoteObjects, shown_url
from surrogateshap.store.sweep import sweep
from surrogateshap.text import digest

URL = "memory://bucket/folder"


@pytest.fixture(autouse=True)
def _empty():
    fsspec.filesystem("memory").store.clear()
    fsspec.filesystem("memory").pseudo_dirs[:] = [""]


@pytest.fixture(params=["folder", "url"])
def objects(request, tmp_path):
    """Those of a folder and those at an URL."""
    if request.param == "folder":
        return Objects(tmp_path, read_only=False), LocalFiles(tmp_path.parent), tmp_path.name
    return RemoteObjects(RemoteFiles(URL), read_only=False), RemoteFiles(URL), "objects"


def test_one_contract(objects):
    kept, files, folder = objects
    one, two = kept.put(b"one", "json"), kept.put(b"two", "safetensors")
    assert one == digest(b"one")
    assert (kept.get(one, "json"), kept.get(two, "safetensors")) == (b"one", b"two")
    assert (kept.get(one, "safetensors"), kept.get("0" * 64, "json"), kept.get("../x", "json")) == (None, None, None)
    assert kept.put(b"one", "json") == one
    assert [kept.has(name) for name in (one, two, "0" * 64, "../x")] == [True, True, False, False]
    files.write(f"{folder}/ab/notes.json", b"no object")
    assert sorted(kept.each()) == sorted([(one, "json", 3), (two, "safetensors", 3)])

    files.write(f"{folder}/{one[:2]}/{one}.json", b"ONE")
    assert kept.get(one, "json") is None
    assert not kept.has(one)
    assert kept.put(b"one", "json") == one
    assert kept.get(one, "json") == b"one"
    kept.drop(one)
    kept.drop(one)
    kept.drop("../../x")
    assert not kept.has(one)
    assert [found[0] for found in kept.each()] == [two]


def test_a_write_that_was_cut_off_is_written_again():
    objects, files = RemoteObjects(RemoteFiles(URL), read_only=False), RemoteFiles(URL)
    name = digest(b"whole")
    files.write(f"objects/{name[:2]}/{name}.json", b"who")
    assert objects.put(b"whole", "json") == name
    assert objects.get(name, "json") == b"whole"


def test_copies_for_other_processes():
    objects = RemoteObjects(RemoteFiles(URL), read_only=False)
    name = objects.put(b"data", "json")
    copied = pickle.loads(pickle.dumps(objects))
    assert copied.get(name, "json") == b"data"
    assert b"MemoryFileSystem" not in pickle.dumps(objects)


def test_reading_only():
    objects = RemoteObjects(RemoteFiles(URL), read_only=True)
    for act in (lambda: objects.put(b"x", "json"), lambda: objects.drop("0" * 64)):
        with pytest.raises(RunError, match="reading only"):
            act()


@pytest.mark.parametrize("files", [LocalFiles, RemoteFiles])
def test_files(files, tmp_path):
    place = LocalFiles(tmp_path) if files is LocalFiles else RemoteFiles(URL)
    assert (place.read("shards/r/a.json"), list(place.list("shards/r"))) == (None, [])
    place.write("shards/r/a.json", b"1")
    place.write("shards/r/a.json", b"22")
    place.write("shards/r2/b.json", b"333")
    assert (place.read("shards/r/a.json"), place.read("shards/r/a.json", 1)) == (b"22", b"2")
    assert list(place.list("shards/r")) == [("shards/r/a.json", 2)]
    place.remove("shards/r/a.json")
    place.remove("shards/r/a.json")
    assert list(place.list("shards")) == [("shards/r2/b.json", 3)]


def test_links_lead_nowhere(tmp_path):
    place, outside = LocalFiles(tmp_path / "store"), tmp_path / "outside"
    outside.mkdir()
    (outside / "a.json").write_bytes(b"secret")
    place.write("shards/r/b.json", b"1")
    (tmp_path / "store" / "shards" / "linked").symlink_to(outside)
    (tmp_path / "store" / "shards" / "r" / "a.json").symlink_to(outside / "a.json")
    assert list(place.list("shards")) == [("shards/r/b.json", 1)]
    for name in ("shards/linked/a.json", "shards/r/a.json", "../outside/a.json", "shards/../../outside/a.json"):
        assert place.read(name) is None
        place.remove(name)
        with pytest.raises(RunError, match="link"):
            place.write(name, b"2")
    assert (outside / "a.json").read_bytes() == b"secret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("sftp://me:p%40ss@host/a?token=x#y", "sftp://host/a"),
        ("sftp://me:p@ss@host/a@b", "sftp://host/a@b"),
        ("abfs://container@account.example.org/a", "abfs://container@account.example.org/a"),
        ("s3://bucket/a\x1b[2J", "s3://bucket/a\ufffd[2J"),
    ],
)
def test_shown(url, shown):
    assert shown_url(url) == shown


def test_errors_show_no_credentials(monkeypatch):
    secret = "memory://user:hunter2@bucket/folder?sig=hunter2"

    def refuse(self, path, *more, **options):
        raise ConnectionError(f"no route to {secret}\x1b[2J")

    for name in ("cat_file", "info", "find", "pipe_file", "rm_file"):
        monkeypatch.setattr(MemoryFileSystem, name, refuse)
    objects = RemoteObjects(RemoteFiles(secret), read_only=False)
    for act in (
        lambda: objects.put(b"x", "json"),
        lambda: objects.get("0" * 64, "json"),
        lambda: objects.has("0" * 64),
    ):
        with pytest.raises(RunError, match="no route to memory://bucket/folder") as caught:
            act()
        assert "hunter2" not in f"{caught.value}{caught.value.__cause__}"
        assert "\x1b" not in str(caught.value)
        assert "network" in caught.value.remedy


def test_a_package_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(known_implementations, "s3", {"class": "s3fs_absent.S3FileSystem", "err": "x"})
    monkeypatch.setenv(OBJECTS, "s3://me:secret@bucket/folder")
    with pytest.raises(MissingExtraError) as caught:
        Store.open(tmp_path / "store")
    assert caught.value.remedy == "pip install s3fs_absent"
    assert "secret" not in str(caught.value)
    assert caught.value.exit_code == 4
    monkeypatch.setenv(OBJECTS, "nothing://bucket")
    with pytest.raises(RunError, match="Protocol not known"):
        Store.open(tmp_path / "store")


@pytest.mark.parametrize("url", ["bucket/folder", "/mnt/x", "s3:/x", "simplecache::s3://bucket/x"])
def test_what_is_no_url(url, tmp_path, monkeypatch):
    monkeypatch.setenv(OBJECTS, url)
    with pytest.raises(RunError, match="is not an URL"):
        open_place(tmp_path, read_only=False)


def test_a_store_knows_its_url_without_its_credentials_or_name(tmp_path, monkeypatch):
    monkeypatch.setenv(OBJECTS, "memory://one@bucket/folder")
    with Store.open(tmp_path) as store:
        name = store.put_json({"a": 1})
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"bucket" not in written
    for url in ("memory://two@bucket/folder", "memory://one@bucket/folder/"):  # credentials change
        monkeypatch.setenv(OBJECTS, url)
        Store.open(tmp_path).close()
    with Store.open(tmp_path) as store:
        assert store.get_json(name) == {"a": 1}
    monkeypatch.delenv(OBJECTS)
    store = Store.existing(tmp_path)
    assert store.runs() == []
    with pytest.raises(RunError, match="lie elsewhere"):
        store.get_json(name)
    store.close()
    with pytest.raises(RunError, match="lie elsewhere"):
        Store.open(tmp_path)


def test_what_was_read_once_is_read_from_the_cache(tmp_path):
    files, cache = RemoteFiles(URL), Objects(tmp_path, read_only=False)
    objects = RemoteObjects(files, read_only=False, cache=cache)
    name = objects.put(b"data", "json")
    assert list(cache.each()) == []
    assert objects.get(name, "json") == b"data"
    (_, _, size), file = next(cache.each()), next(tmp_path.glob("*/*"))
    assert size == 4
    files.write(f"objects/{name[:2]}/{name}.json", b"DATA")
    assert objects.get(name, "json") == b"data"
    file.write_bytes(b"DATA")  # neither holds what it is named by
    assert objects.get(name, "json") is None
    assert not file.exists()
    assert objects.put(b"data", "json") == name
    file.parent.chmod(0o500)
    assert objects.get(name, "json") == b"data"
    file.parent.chmod(0o700)
    objects.drop(name)
    assert objects.get(name, "json") is None


def test_gc_empties_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(OBJECTS, URL)
    with Store.open(tmp_path) as store:
        name = store.put_json([1])
        assert store.get_json(name) == [1]
        assert len(list((tmp_path / "cache").glob("*/*"))) == 1
        for dry_run in (True, False):
            swept = sweep(store, lambda _: (), dry_run=dry_run)
            assert swept.kinds == {"documents": (1, 3), "cached copies": (1, 3)}
        assert store.get_json(name) is None
    assert list((tmp_path / "cache").glob("*/*")) == []
