from pathlib import Path

import pytest

from surrogateshap.store import Store


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "store") as opened:
        yield opened


def test_keys_name_objects(store):
    one, two = store.put_json(1), store.put_json(2)
    store.remember("a", one, "encode")
    store.remember("b", two, "fit")
    assert store.lookup(["a", "b", "c"]) == {"a": one, "b": two}
    assert store.lookup(key for key in "b") == {"b": two}
    assert store.lookup([]) == {}
    store.remember("a", two, "encode")
    assert store.lookup(["a"]) == {"a": two}


def test_key_whose_object_is_gone_is_absent(store):
    one = store.put_json(1)
    store.remember("a", one, "encode")
    store.add_images(one, ["i", "j"])
    (store.root / "objects" / one[:2] / f"{one}.json").unlink()
    assert store.lookup(["a"]) == {}
    assert store.find_images(["i", "j"]) == {}
    assert store.put_json(1) == one
    assert store.lookup(["a"]) == {"a": one}
    assert store.find_images(["j"]) == {"j": (one, 1)}


def test_images_have_slots(store):
    one, two = store.put_json(1), store.put_json(2)
    store.add_images(one, ["x", "y", "z"])
    store.add_images(two, ["y"])
    assert store.find_images(["z", "y", "x", "w"]) == {"x": (one, 0), "y": (two, 0), "z": (one, 2)}


def test_fifty_thousand_images(store):
    keys = [f"{number:064x}" for number in range(50_000)]
    objects = [store.put_json(number) for number in range(5)]
    for number, name in enumerate(objects):
        store.add_images(name, keys[number * 10_000 : (number + 1) * 10_000])
    found = store.find_images([*reversed(keys), "unknown"])
    assert found == {key: (objects[index // 10_000], index % 10_000) for index, key in enumerate(keys)}


def test_images_are_added_together_or_not_at_all(store):
    one = store.put_json(1)
    with pytest.raises(Exception, match="NOT NULL"):
        store.add_images(one, ["x", None])
    assert store.find_images(["x"]) == {}


def test_rates(store):
    store.add_rate("generate", "model-a", "cpu", 100, 50.0)
    store.add_rate("generate", "model-a", "cpu", 300, 50.0)
    store.add_rate("generate", "model-b", "cpu", 10, 20.0)
    store.add_rate("encode", "model-a", "cpu", 7, 1.0)
    assert store.latest_rate("generate", "model-a") == ("cpu", 6.0)
    assert store.latest_rate("generate", "model-b") == ("cpu", 0.5)
    assert store.latest_rate("encode", "model-b") is None
    store.add_rate("generate", "model-a", "cuda", 1000, 1.0)
    assert store.latest_rate("generate", "model-a") == ("cuda", 1000.0)
    for units, seconds in ((0, 1.0), (1, 0.0), (1, float("nan"))):
        with pytest.raises(ValueError, match="positive"):
            store.add_rate("generate", "model-a", "cpu", units, seconds)
