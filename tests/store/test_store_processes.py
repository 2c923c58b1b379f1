"""Several writers at once, and writers that die."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from surrogateshap.errors import RunError
from surrogateshap.events import Warned
from surrogateshap.store import Store
from surrogateshap.text import digest


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    head = "import sys, time\nfrom pathlib import Path\nfrom surrogateshap.store import Store\n"
    return subprocess.Popen([sys.executable, "-c", head + code, *arguments], stdout=subprocess.PIPE, text=True)


ENDLESS = """
import numpy as np
from surrogateshap.events import Warned
store = Store.open(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    number += 1
    name = store.put_arrays({"x": np.full(200_000, float(number))})
    store.remember(f"k{number}", name, "encode")
    store.add_images(name, [f"{number}-{slot}" for slot in range(50)])
    store.record_event("run", Warned(message=str(number)))
    print("one", flush=True)
"""


def test_killed_writer_leaves_only_whole_objects(tmp_path):
    for attempt in range(8):
        process = child(ENDLESS, str(tmp_path), str(attempt * 100_000))
        assert process.stdout.readline() == "one\n"
        time.sleep(0.007 * attempt)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
    for path in tmp_path.glob("objects/*/*.safetensors"):
        assert digest(path.read_bytes()) == path.stem
    with Store.open(tmp_path) as store:
        named = dict(store._database.read("SELECT key, digest FROM artifacts"))
        assert len(named) >= 8
        assert store.lookup(named) == named
        for key, name in named.items():
            np.testing.assert_array_equal(store.get_arrays(name)["x"], np.full(200_000, float(key[1:])))
        counts = store._database.read("SELECT count(*) FROM images GROUP BY digest")
        assert set(counts) == {(50,)}
        assert len(store.events("run")) >= len(counts) - 8


BUSY = """
from surrogateshap.events import Warned
store = Store.open(Path(sys.argv[1]))
for number in range(60):
    name = store.put_json({"shared": number})
    store.remember(f"shared{number}", name, "fit")
    store.remember(f"{sys.argv[2]}{number}", store.put_json([sys.argv[2], number]), "fit")
    store.record_event(sys.argv[2], Warned(message=str(number)))
store.close()
"""


def test_two_processes_and_four_threads_write_at_once(tmp_path):
    others = [child(BUSY, str(tmp_path), name) for name in "pq"]
    failures = []

    def work(name: str) -> None:
        try:
            for number in range(60):
                store.remember(f"shared{number}", store.put_json({"shared": number}), "fit")
                store.remember(f"{name}{number}", store.put_json([name, number]), "fit")
                store.record_event(name, Warned(message=str(number)))
        except Exception as error:
            failures.append(error)

    with Store.open(tmp_path) as store:
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for process in others:
            process.stdout.close()
            assert process.wait() == 0
        assert failures == []
        for name in "abcdpq":
            keys = [f"{name}{number}" for number in range(60)]
            found = store.lookup(keys)
            assert [store.get_json(found[key]) for key in keys] == [[name, number] for number in range(60)]
            assert [event.message for _, event in store.events(name)] == [str(number) for number in range(60)]
        shared = store.lookup(f"shared{number}" for number in range(60))
        assert [store.get_json(shared[f"shared{number}"]) for number in range(60)] == [
            {"shared": number} for number in range(60)
        ]


def test_connections_of_finished_threads_are_closed(tmp_path):
    with Store.open(tmp_path) as store:
        for _ in range(20):
            thread = threading.Thread(target=store.runs)
            thread.start()
            thread.join()
        assert len(store._database._connections) <= 3


HOLD = """
store = Store.open(Path(sys.argv[1]))
with store.lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_lock_held_by_another_process_refuses_and_is_free_after_its_death(tmp_path):
    process = child(HOLD, str(tmp_path))
    try:
        assert process.stdout.readline() == "held\n"
        with Store.open(tmp_path) as store:
            with pytest.raises(RunError, match=f"in use by process {process.pid}") as caught, store.lock():
                pass
            assert "surrogateshap tui" in caught.value.remedy
            store.remember("a", store.put_json(1), "fit")
            process.kill()
            process.wait()
            with store.lock():
                assert store.lookup(["a"])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_lock_is_free_again_after_an_exception_and_holds_against_this_process(tmp_path):
    with Store.open(tmp_path) as store:
        with pytest.raises(KeyError), store.lock():
            raise KeyError
        with store.lock(), pytest.raises(RunError, match="in use by process"), store.lock():
            pass
        with store.lock():
            pass


def test_objects_written_by_threads_at_once_are_whole(tmp_path):
    array = {"x": np.arange(100_000)}
    with Store.open(tmp_path) as store:
        threads = [threading.Thread(target=store.put_arrays, args=(array,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [path] = (path for path in (tmp_path / "objects").rglob("*") if path.is_file())
        assert digest(path.read_bytes()) == path.stem
        np.testing.assert_array_equal(store.get_arrays(path.stem)["x"], array["x"])


def test_path_is_taken_as_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = Path("a b#c?d%20é")
    with Store.open(odd) as store:
        store.begin_run("a", "n", "p", "s", "f", "d")
    with Store.existing(odd) as reader:
        assert len(reader.runs()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [odd.name]
