"""Workers on other machines: what they leave behind is merged, whole or tampered with, and ends in the same bytes."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from surrogateshap import api
from surrogateshap.errors import InterruptedRun, PlanError, RunError, SpecError
from surrogateshap.events import Event, StageFinished, Warned
from surrogateshap.execute.jobs import all_jobs
from surrogateshap.execute.shard_files import ShardFiles
from surrogateshap.plan.compile import compile_spec
from surrogateshap.store.objects import arrays_from_bytes, arrays_to_bytes
from surrogateshap.store.place import OBJECTS
from surrogateshap.text import digest
from tests.execute.test_execute_resume import ROOT, SMALL, environment
from tests.tiny import Project, run_files

WAIT = 240.0
"""Seconds that a worker may take to start on a busy machine, or to end."""
SPEC: dict[str, Any] = SMALL | {"execution.batch_size": 8}


@pytest.fixture
def spec(tiny: Project) -> Path:
    return tiny.spec(SPEC)


@pytest.fixture(scope="module")
def whole(tiny_master: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The run's folder, without any worker."""
    project = Project(tiny_master, tmp_path_factory.mktemp("whole"))
    return run_files(project.store, project.apply(SPEC).run)


def shards(store: Path) -> list[Path]:
    return sorted(store.glob("shards/*/*.json"))


def finish(spec: Path, store: Path) -> tuple[dict[str, bytes], dict[str, bool], list[str]]:
    """What apply comes to; which stages had nothing to do; what it warned of beyond the plan's own warnings."""
    seen: list[Event] = []
    results = api.apply(spec, store=store, emit=seen.append)
    cached = {event.stage: event.cached for event in seen if isinstance(event, StageFinished)}
    warned = [event.message for event in seen if isinstance(event, Warned) and "worker" in event.message]
    return run_files(store, results.run), cached, warned


def made_alone(cached: dict[str, bool]) -> set[str]:
    """Stages of the pools that apply had to do."""
    return {stage for stage, there in cached.items() if not there and stage.startswith(("generate", "encode"))}


def test_three_workers_make_it_all(spec: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    plan = tmp_path / "plan.json"
    api.save_plan(api.plan(spec), plan)
    store = tmp_path / "store"
    counts = []
    for number in range(3):
        api.work((spec, plan, spec)[number], (number, 3), store=store, allow_paths=[spec.parent])
        counts.append(len(shards(store)))
    assert counts[0] > 0
    assert counts == sorted(set(counts))
    assert not (store / "store.db").exists()
    assert (store / ".gitignore").read_text() == "*\n"
    files, cached, warned = finish(spec, store)
    assert files == whole
    assert made_alone(cached) == set()
    assert warned == []

    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    api.work(spec, (1, 3), store=store)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert finish(spec, store)[0] == whole


def test_stopped_workers_go_on_where_they_were(
    spec: Path, tiny: Project, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, stop, write = tmp_path / "store", threading.Event(), ShardFiles.write

    def write_and_stop(self: ShardFiles, *what: Any) -> None:
        write(self, *what)
        stop.set()

    def die(self: ShardFiles, *what: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ShardFiles, "write", write_and_stop)
        with pytest.raises(InterruptedRun):
            api.work(spec, (0, 1), store=store, stop=stop)
        patched.setattr(ShardFiles, "write", die)  # objects are there, and nobody knows of them
        with pytest.raises(KeyboardInterrupt):
            api.work(spec, (0, 1), store=store)
    first = {path: path.read_bytes() for path in shards(store)}
    assert 1 <= len(first) < 6
    for number in (1, 0):
        api.work(spec, (number, 2), store=store)
    assert {path: path.read_bytes() for path in first} == first
    files, cached, warned = finish(spec, store)
    assert (files, made_alone(cached), warned) == (whole, set(), [])


def test_a_killed_worker_and_a_preempted_one(tiny: Project, tmp_path: Path) -> None:
    spec = tiny.spec(SPEC | {"execution.batch_size": 1})
    assert signalled(spec, tiny.store, signal.SIGKILL) == -signal.SIGKILL
    killed = len(shards(tiny.store))
    assert signalled(spec, tiny.store, signal.SIGTERM) == 130
    assert 1 <= killed < len(shards(tiny.store)) < 20
    files, _, warned = finish(spec, tiny.store)
    assert warned == []
    assert files == run_files(tmp_path / "whole", api.apply(spec, store=tmp_path / "whole").run)


def test_the_same_shard_twice_at_once(spec: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    with ThreadPoolExecutor(2) as both:
        for done in [both.submit(api.work, spec, (0, 1), store=tmp_path / "store") for _ in range(2)]:
            done.result()
    assert not list((tmp_path / "store").rglob("*.tmp"))
    files, cached, warned = finish(spec, tmp_path / "store")
    assert (files, made_alone(cached), warned) == (whole, set(), [])


def test_what_is_of_another_plan_is_left_to_that(tiny: Project, whole: dict[str, bytes]) -> None:
    other = SPEC | {"seed": 4}
    api.work(tiny.spec(other), (0, 1), store=tiny.store)
    there = shards(tiny.store)
    files, cached, warned = finish(tiny.spec(SPEC), tiny.store)
    assert (files, warned) == (whole, [])
    assert made_alone(cached)
    cleaned = api.gc(store=tiny.store)
    assert (cleaned.unlisted, shards(tiny.store)) == ((there[0].parent.name,), there)
    _, cached, warned = finish(tiny.spec(other), tiny.store)
    assert (made_alone(cached), warned) == (set(), [])
    api.gc(store=tiny.store)  # merged, they are needed no more
    assert shards(tiny.store) == []
    assert finish(tiny.spec(SPEC), tiny.store)[0] == whole


def test_shards_that_are_listed_alone_are_counted(spec: Path, tmp_path: Path) -> None:
    jobs, store, listed = all_jobs(compile_spec(spec)), tmp_path / "store", tmp_path / "shards.txt"
    chosen = jobs[1:4]
    listed.write_text("".join(f"{job.id}\n" for job in reversed(chosen)))
    api.work(spec, (1, 2), store=store, only=listed)
    assert [path.stem for path in shards(store)] == [chosen[1].id]
    with pytest.raises(PlanError, match=r"gone.txt can't be read"):
        api.work(spec, (1, 2), store=store, only=tmp_path / "gone.txt")


def signalled(spec: Path, store: Path, number: int) -> int:
    """Exit code of a worker that is sent a signal after its next shard."""
    command = [sys.executable, "-m", "surrogateshap", "worker", str(spec), "--shard", "0/1", "--store", str(store)]
    before = len(shards(store))
    worker = subprocess.Popen(command, env=environment(), cwd=ROOT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + WAIT
    while len(shards(store)) == before and time.monotonic() < deadline and worker.poll() is None:
        time.sleep(0.005)
    worker.send_signal(number)
    _, told = worker.communicate(timeout=WAIT)
    assert b"Traceback" not in told
    return worker.returncode


def alter(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Changes a shard's document and gives it the name that it ought to have."""

    def tamper(path: Path) -> None:
        document = json.loads(path.read_bytes())
        change(document)
        done = document["done"]
        name = digest({"items": done["keys"], "made": "", "encoders": list(done["encoded"])})
        path.unlink()
        path.with_name(f"{name}.json").write_text(json.dumps(document))

    return tamper


def wrong_images(document: dict[str, Any]) -> None:
    document["done"]["keys"][0] = "0" * 64


def lacking_features(path: Path) -> None:
    """Features of fewer images than the file tells of, under a digest that holds."""
    objects = path.parents[2] / "objects"
    encoded = json.loads(path.read_bytes())["done"]["encoded"]["eye"]
    arrays = arrays_from_bytes((objects / encoded[:2] / f"{encoded}.safetensors").read_bytes())
    assert arrays is not None
    data = arrays_to_bytes({name: array[:-1] for name, array in arrays.items()})
    name = digest(data)
    (objects / name[:2]).mkdir(exist_ok=True)
    (objects / name[:2] / f"{name}.safetensors").write_bytes(data)
    alter(lambda document: document["done"]["encoded"].update(eye=name))(path)


def lost_object(path: Path) -> None:
    made = json.loads(path.read_bytes())["done"]["made"]
    (path.parents[2] / "objects" / made[:2] / f"{made}.safetensors").unlink()


def damaged_object(path: Path) -> None:
    encoded = json.loads(path.read_bytes())["done"]["encoded"]["eye"]
    file = path.parents[2] / "objects" / encoded[:2] / f"{encoded}.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")


TAMPERED: dict[str, Callable[[Path], Any]] = {
    "garbage": lambda path: path.write_bytes(b"\xff{"),
    "deep": lambda path: path.write_text("[" * 100_000),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "renamed": lambda path: path.rename(path.with_name("0" * 64 + ".json")),
    "other images": alter(wrong_images),
    "an image twice": alter(lambda document: document["done"]["keys"].append(document["done"]["keys"][0])),
    "another pool": alter(lambda document: document.update(pool="../image")),
    "another encoder": alter(lambda document: document["done"].update(encoded={}, seconds={"generate": 1.0})),
    "a path": alter(lambda document: document["done"].update(made="../../../etc/passwd")),
    "no time": alter(lambda document: document["done"]["seconds"].update(generate=float("nan"))),
    "nowhere": alter(lambda document: document["done"].update(where={"device": "cpu", "home": "/"})),
    "no object": lost_object,
    "a damaged object": damaged_object,
    "too few features": lacking_features,
}


def test_tampered_files_are_ignored_and_made_anew(spec: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    clean = tmp_path / "clean"
    api.work(spec, (0, 1), store=clean)
    for number, (name, tamper) in enumerate(TAMPERED.items()):
        store = tmp_path / name.replace(" ", "-")
        subprocess.run(["cp", "-r", str(clean), str(store)], check=True)
        path = shards(store)[number % len(shards(store))]
        tamper(path)
        (path.parent / "notes.txt").write_text("not a worker's")
        (path.parent / "deeper").mkdir()
        (path.parent / "deeper" / path.name).write_text("{}")
        files, cached, warned = finish(spec, store)
        assert files == whole, name
        assert len(made_alone(cached)) in (1, 2), name
        assert len(warned) == 1, name
        assert warned[0].startswith("1 worker's file is damaged"), name
    # A file that is no good is made anew by a worker too, and then merged.
    store = tmp_path / "worked"
    subprocess.run(["cp", "-r", str(clean), str(store)], check=True)
    shards(store)[0].write_text("{}")
    lost_object(shards(store)[1])
    api.work(spec, (0, 1), store=store)
    files, cached, warned = finish(spec, store)
    assert (files, made_alone(cached), warned) == (whole, set(), [])


def test_what_can_not_be_cut_or_is_stale_is_refused(tiny: Project, tmp_path: Path) -> None:
    spec = tiny.spec(SPEC | {"budget.stop_when": {"interval_width": 0.5}})
    with pytest.raises(SpecError, match='"local" or "ray"') as caught:
        api.work(spec, (0, 2))
    assert caught.value.problems[0].key == "budget.stop_when"
    spec, plan = tiny.spec(SPEC), tiny.folder / "plan.json"
    api.save_plan(api.plan(spec), plan)
    tiny.spec(SPEC | {"seed": 4})
    with pytest.raises(PlanError, match="stale"):
        api.work(plan, (0, 2))
    for shard in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(PlanError, match="there is no shard"):
            api.work(spec, shard)
    assert not tiny.store.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_objects_and_shards_at_an_url(
    tiny: Project, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    import fsspec

    # What is in memory, other processes don't see.
    url = "memory://bucket/folder" if workers == 1 else f"file://{tmp_path}/shared"
    fsspec.filesystem("memory").store.clear()
    spec, store = tiny.spec(SPEC), tmp_path / "store"
    monkeypatch.setenv(OBJECTS, url)
    api.work(spec, (0, 1 if workers == 2 else 2), store=tmp_path / "nobodys", execution={"workers": workers})
    assert not (tmp_path / "nobodys").exists()
    files, cached, warned = finish(spec, store)
    assert bool(made_alone(cached)) == (workers == 1)
    assert warned == []
    assert files == (whole | {name: files[name] for name in ("plan.json", "record.json", "spec.toml")})
    assert not any((store / "objects").iterdir())
    results = api.show(str(spec), store=store)
    assert {path.parts[-1] for path in (tmp_path / "shared").glob("*")} == (
        {"objects", "shards"} if workers == 2 else set()
    )

    monkeypatch.setenv(OBJECTS, f"{url}/../other")
    with pytest.raises(RunError, match="do not lie at"):
        api.apply(spec, store=store)
    monkeypatch.setenv(OBJECTS, f"{url}/")
    assert api.show(results.run, store=store) == results
    monkeypatch.delenv(OBJECTS)
    for read in (api.show, api.plan):
        with pytest.raises(RunError, match="lie elsewhere") as caught:
            read(spec, store=store)  # type: ignore[operator]
        assert OBJECTS in caught.value.remedy
    with pytest.raises(RunError, match="lie elsewhere"):
        api.apply(spec, store=store)
    with pytest.raises(RunError, match="lie elsewhere"):
        api.work(spec, (0, 1), store=store)


def test_a_store_with_objects_of_its_own_keeps_them(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = api.apply(spec, store=tmp_path / "store")
    monkeypatch.setenv(OBJECTS, f"file://{tmp_path}/shared")
    assert api.show(results.run, store=tmp_path / "store") == results
    with pytest.raises(RunError, match="in its own folder"):
        api.apply(spec, store=tmp_path / "store")
