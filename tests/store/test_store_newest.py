"""The images that a run made last."""

import os
from pathlib import Path

import numpy as np
import pytest

from surrogateshap.store import Store
from surrogateshap.store.newest import SIDE, newest_images


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "store") as opened:
        yield opened


def keep(store: Store, run: str, arrays: dict[str, np.ndarray], age: int, count: int = 2) -> str:
    """Keeps an object that the run uses; the larger the age, the older it is."""
    with store.using(run):
        made = store.put_arrays(arrays)
        store.add_images(made, [f"{made[:6]}-{at}" for at in range(count)])
    path = store.root / "objects" / made[:2] / f"{made}.safetensors"
    os.utime(path, ns=(10**18 - age, 10**18 - age))
    return made


def shades(*values: int, side: int = 8, channels: int = 1) -> np.ndarray:
    return np.stack([np.full((side, side, channels), value, np.uint8) for value in values])


def test_the_newest_come_first_and_only_those_of_the_run(store: Store) -> None:
    keep(store, "a", {"images": shades(1, 2)}, age=20)
    keep(store, "a", {"images": shades(3, 4)}, age=10)
    keep(store, "b", {"images": shades(9, 8)}, age=0)
    assert [int(one[0, 0]) for one in newest_images(store, "a", 3)] == [4, 3, 2]
    assert [int(one[0, 0]) for one in newest_images(store, "a", 99)] == [4, 3, 2, 1]
    assert newest_images(store, "nobody", 3) == []


def test_they_are_small_and_keep_their_colours(store: Store) -> None:
    wide = np.zeros((1, 100, 400, 3), np.uint8)
    wide[..., 0] = 200
    keep(store, "a", {"images": wide}, age=0, count=1)
    (found,) = newest_images(store, "a", 3)
    assert found.shape == (SIDE // 4, SIDE, 3)
    assert found[0, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize(
    "arrays",
    [
        {"features": np.zeros((2, 3), np.float32)},
        {"images": np.zeros((2, 8, 8, 1), np.float32)},
        {"images": np.zeros((2, 8, 8), np.uint8)},
        {"images": np.zeros((2, 8, 8, 2), np.uint8)},
        {"images": np.zeros((2, 0, 8, 1), np.uint8)},
        {"images": np.zeros((2, 1, 10_000, 1), np.uint8)},
    ],
    ids=["features", "floats", "flat", "two channels", "empty", "too large"],
)
def test_what_is_no_image_is_left_out(store: Store, arrays: dict[str, np.ndarray]) -> None:
    keep(store, "a", arrays, age=0)
    keep(store, "a", {"images": shades(5)}, age=10, count=1)
    assert [int(one[0, 0]) for one in newest_images(store, "a", 3)] == [5]


def test_damaged_and_missing_files_are_left_out(store: Store) -> None:
    for age, damage in enumerate((b"", b"\xff" * 100, None)):
        made = keep(store, "a", {"images": shades(age, age)}, age=age)
        path = store.root / "objects" / made[:2] / f"{made}.safetensors"
        path.unlink() if damage is None else path.write_bytes(damage)
    assert newest_images(store, "a", 3) == []
