import json
import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from surrogateshap.errors import RunError
from surrogateshap.store import Store
from surrogateshap.store.atomic import atomic_write_bytes
from surrogateshap.store.objects import arrays_from_bytes, arrays_to_bytes
from surrogateshap.text import digest

DTYPES = ("<f8", ">f8", "<f4", "<f2", "<i8", ">i4", "<i2", "i1", "u1", "<u4", "?")
ARRAYS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
        lambda name: name != "__metadata__"
    ),
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
    ),
    max_size=4,
)


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "store") as opened:
        yield opened


def file_of(store: Store, name: str) -> Path:
    [path] = (store.root / "objects" / name[:2]).glob(f"{name}.*")
    return path


@settings(max_examples=80, deadline=None)
@given(ARRAYS)
def test_arrays_come_back_equal_and_writable(arrays):
    back = arrays_from_bytes(arrays_to_bytes(arrays))
    assert back is not None
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].shape == array.shape
        assert back[name].dtype == array.dtype.newbyteorder("<")
        np.testing.assert_array_equal(back[name], array)
        assert back[name].flags.writeable


@settings(max_examples=40, deadline=None)
@given(ARRAYS)
def test_bytes_depend_on_values_alone(arrays):
    swapped = {name: arrays[name].T.copy().T for name in reversed(arrays)}
    swapped = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in swapped.items()}
    assert arrays_to_bytes(swapped) == arrays_to_bytes(arrays)


def test_bytes_are_the_same_in_every_version():
    first = b'"a":{"dtype":"F64","shape":[2,1],"data_offsets":[0,16]}'
    second = b'"b":{"dtype":"I32","shape":[3],"data_offsets":[16,28]}'
    header = b"{" + first + b"," + second + b"}"
    padded = header + b" " * (-len(header) % 8)
    values = struct.pack("<2d3i", 1.0, 1.0, 0, 1, 2)
    expected = struct.pack("<Q", len(padded)) + padded + values
    assert arrays_to_bytes({"b": np.arange(3, dtype="<i4"), "a": np.ones((2, 1))}) == expected


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([object()]), np.array([1j])])
def test_arrays_of_other_things_than_numbers_are_refused(store, array):
    with pytest.raises(TypeError, match="'a': arrays of"):
        store.put_arrays({"a": array})


def test_file_is_named_by_the_digest_of_its_bytes(store):
    name = store.put_json({"b": [1, None], "a": "é"})
    path = file_of(store, name)
    assert path == store.root / "objects" / name[:2] / f"{name}.json"
    assert path.read_bytes() == '{"a":"é","b":[1,null]}'.encode()
    assert digest(path.read_bytes()) == name
    assert store.get_json(name) == {"a": "é", "b": [1, None]}


def test_json_refuses_what_it_cannot_say(store):
    with pytest.raises(ValueError, match="JSON"):
        store.put_json(float("nan"))


def test_files_of_other_sorts(store):
    name = store.put_bytes(b"PAR1", "parquet")
    assert store.get_bytes(name, "parquet") == b"PAR1"
    assert store.get_bytes(name, "json") is None


def test_existing_object_is_not_rewritten(store):
    name = store.put_json([1])
    os.utime(file_of(store, name), (1, 1))
    assert store.put_json([1]) == name
    assert file_of(store, name).stat().st_mtime == 1


@pytest.mark.parametrize("place", [0, 8, -1])
def test_flipped_byte_is_found_and_the_object_can_be_made_again(store, place):
    arrays = {"x": np.linspace(0, 1, 50)}
    name = store.put_arrays(arrays)
    path = file_of(store, name)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert store.get_arrays(name) is None
    assert not path.exists()
    assert store.put_arrays(arrays) == name
    np.testing.assert_array_equal(store.get_arrays(name)["x"], arrays["x"])


def test_a_pipe_is_no_object_and_is_replaced(store):
    name = store.put_json([1])
    path = file_of(store, name)
    path.unlink()
    os.mkfifo(path)
    assert store.get_json(name) is None
    assert list(store.objects.each()) == []
    assert store.put_json([1]) == name
    assert store.get_json(name) == [1]


def test_truncated_object_is_found(store):
    name = store.put_json(list(range(100)))
    file_of(store, name).write_bytes(file_of(store, name).read_bytes()[:50])
    assert store.get_json(name) is None


@pytest.mark.parametrize("name", ["0" * 64, "", "../../etc/passwd", "A" * 64, "ab"])
def test_missing_or_malformed_digest_is_none(store, name):
    assert store.get_arrays(name) is None
    assert store.get_json(name) is None


def test_whole_file_that_is_no_safetensors_or_json_is_none(store):
    assert store.get_arrays(store.put_bytes(b"not safetensors", "safetensors")) is None
    assert store.get_json(store.put_bytes(b"{", "json")) is None


def test_atomic_write_replaces_and_leaves_no_other_file(tmp_path):
    path = tmp_path / "file"
    atomic_write_bytes(path, b"one")
    atomic_write_bytes(path, b"two")
    assert [child.name for child in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"two"


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    atomic_write_bytes(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic_write_bytes(path, b"new")
    assert [child.name for child in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_full_disk_is_told_with_a_remedy(store, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left") as caught:
        store.put_json([1, 2])
    assert "--store" in caught.value.remedy


def test_opening_removes_old_temporary_files_only(store):
    name = store.put_json([1])
    folder = file_of(store, name).parent
    old, new = folder / ".0123456789abcdef.tmp", folder / ".fedcba9876543210.tmp"
    for path in (old, new, store.root / ".aaaa.tmp"):
        path.write_bytes(b"half")
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in (old, store.root / ".aaaa.tmp", file_of(store, name)):
        os.utime(path, (two_days_ago, two_days_ago))
    Store.open(store.root).close()
    assert sorted(path.name for path in folder.iterdir()) == sorted([new.name, f"{name}.json"])
    assert not (store.root / ".aaaa.tmp").exists()


def test_json_round_trip_of_nested_values(store):
    value = json.loads('{"a": [1, 2.5, {"b": null, "c": true}], "z": "\\u0000\\ud83d\\ude00"}')
    assert store.get_json(store.put_json(value)) == value
