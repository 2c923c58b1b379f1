import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrogateshap.archive import Archive, Folder, archive_bytes
from surrogateshap.strangers import UnreadableError

FILES = {"b.json": b"{}\n", "a.parquet": bytes(range(256)), "c": b""}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "record.zip"
    place.write_bytes(archive_bytes(FILES))
    return place


def test_what_was_written_is_read(path: Path) -> None:
    found = Archive(path)
    assert found.names == ("a.parquet", "b.json", "c")
    assert {name: found.read(name) for name in found.names} == FILES
    with pytest.raises(UnreadableError, match="missing"):
        found.read("d")
    with pytest.raises(UnreadableError, match="larger"):
        found.read("a.parquet", limit=255)


def test_other_programs_read_it(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES


def test_same_files_same_bytes() -> None:
    assert archive_bytes(FILES) == archive_bytes(dict(reversed(FILES.items())))


@pytest.mark.parametrize("name", ["../a", "/a", "a/b", ".a", "", "ä", "a\n", "x" * 201])
def test_no_other_names_are_written(name: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        archive_bytes({name: b""})


def test_every_changed_missing_or_added_byte_is_found(path: Path) -> None:
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in (1, 0x80):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            with pytest.raises(UnreadableError):
                Archive(path)
        path.write_bytes(whole[:at])
        with pytest.raises(UnreadableError):
            Archive(path)
    for damaged in (b"#!/bin/sh\n" + whole, whole + b"\0", whole + whole):
        path.write_bytes(damaged)
        with pytest.raises(UnreadableError):
            Archive(path)


def zipped(names: dict[str, bytes], **about: object) -> bytes:
    """As another program zips them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in names.items():
            info = zipfile.ZipInfo(name)
            for key, value in about.items():
                setattr(info, key, value)
            archive.writestr(info, data)
    return buffer.getvalue()


def twice() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a"), b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(zipfile.ZipInfo("a"), b"2")
    return buffer.getvalue()


def says_more() -> bytes:
    """Its header promises four gigabytes."""
    whole = bytearray(archive_bytes({"a": b"x"}))
    struct.pack_into("<LL", whole, 18, 2**32 - 1, 2**32 - 1)
    return bytes(whole)


HOSTILE = {
    "bomb": lambda: zipped({"a": bytes(10_000_000)}, compress_type=zipfile.ZIP_DEFLATED),
    "out of the folder": lambda: zipped({"../a": b"x"}),
    "absolute": lambda: zipped({"/etc/passwd": b"x"}),
    "drive": lambda: zipped({"C:a": b"x"}),
    "backslash": lambda: zipped({"..\\a": b"x"}),
    "folder": lambda: zipped({"a/": b""}),
    "link": lambda: zipped({"a": b"/etc/passwd"}, external_attr=0o120777 << 16),
    "device": lambda: zipped({"a": b""}, external_attr=0o060666 << 16),
    "twice": twice,
    "comment": lambda: zipped({"a": b"x"}, comment=b"hidden"),
    "extra field": lambda: zipped({"a": b"x"}, extra=b"\x99\x99\x04\x00abcd"),
    "other time": lambda: zipped({"a": b"x"}, date_time=(2024, 1, 1, 0, 0, 0)),
    "says more": says_more,
    "header alone": lambda: b"PK\x03\x04",
    "escape codes": lambda: zipped({"\x1b[31m": b"x"}),
    "long name": lambda: zipped({"a" * 60_000: b"x"}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "record.zip"
    path.write_bytes(HOSTILE[case]())
    with pytest.raises(UnreadableError) as caught:
        Archive(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert [one.name for one in tmp_path.iterdir()] == ["record.zip"]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_nothing_else_is_raised_whatever_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(archive_bytes(FILES))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    path = tmp_path_factory.mktemp("fuzz") / "record.zip"
    path.write_bytes(whole)
    try:
        found = {name: Archive(path).read(name) for name in Archive(path).names}
    except UnreadableError:
        return
    assert archive_bytes(found) == bytes(whole)


def test_folders_and_links(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "l").symlink_to(tmp_path / "a")
    found = Folder(tmp_path)
    assert found.names == ("a", "l")
    assert found.read("a") == b"1"
    for read in (found.read, found.sha256):
        with pytest.raises(UnreadableError, match="link"):
            read("l")
    with pytest.raises(UnreadableError, match="can't be read"):
        Folder(tmp_path / "none")
