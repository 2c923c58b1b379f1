"""Workers of a Ray cluster of this machine: the same bytes as one process, whoever dies and whatever they see."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import pytest

from surrogateshap import api
from surrogateshap.errors import DeviceError, InterruptedRun, MissingExtraError, RunError, SpecError
from surrogateshap.events import DeviceProgress, Event, StageProgress, Warned
from surrogateshap.execute.backends import actor, choose
from surrogateshap.execute.backends.actor import Luggage
from surrogateshap.execute.jobs import Job
from surrogateshap.execute.shards import Item
from surrogateshap.plan import backends, keys
from surrogateshap.plan.compile import Compiled, compile_spec
from surrogateshap.store import Store
from tests.execute.alone import files_of_one_process
from tests.execute.test_execute_workers import forbid_imports_from
from tests.tiny import SPEC, Project, run_files

ROOT = Path(__file__).parents[2]
SMALL = {"execution": {"devices": "cpu", "batch_size": 8, "threads": 1}, "utility": SPEC["utility"][:2]}
TWO: dict[str, object] = {"backend": "ray", "workers": 2}
WAIT = 60.0
HEAD = "--head --block --num-cpus 2 --object-store-memory 100000000 --port 0 --min-worker-port 0 --max-worker-port 0"


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of one node with two CPUs, which only who has its token may use; RAY_ADDRESS names it."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # its sockets' names have to be short
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", *HEAD.split(), "--node-ip-address", "127.0.0.1"]
    with pytest.MonkeyPatch.context() as environment, (folder / "log").open("wb") as log:
        environment.setenv("RAY_AUTH_MODE", "token")
        environment.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", ""))))
        head = subprocess.Popen(
            [*command, "--include-dashboard", "false", "--temp-dir", str(folder / "r")],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            named = folder / "r" / "ray_current_cluster"
            deadline = time.monotonic() + WAIT
            while not (named.exists() and named.read_text()):
                assert head.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            environment.setenv("RAY_ADDRESS", named.read_text())
            yield
        finally:
            family = psutil.Process(head.pid).children(recursive=True)
            head.terminate()
            _, alive = psutil.wait_procs([psutil.Process(head.pid), *family], timeout=15)
            for process in alive:
                process.kill()
            psutil.wait_procs(alive, timeout=15)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def expected(tiny_master: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run that one process made."""
    return files_of_one_process(Project(tiny_master, tmp_path_factory.mktemp("alone")), SMALL, TWO)


def actors() -> list[psutil.Process]:
    """Processes that hold one."""
    return [one for one in psutil.process_iter() if "ray::Actor" in "".join(cmdline(one))]


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_cluster_comes_to_the_bytes_of_one_process_also_when_an_actor_is_killed(
    tiny: Project,
    cluster: None,
    expected: dict[str, bytes],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forbid_imports_from(tiny.folder, monkeypatch)
    events: list[Event] = []
    killed: list[psutil.Process] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, DeviceProgress) and not killed:
            killed.append(actors()[0])
            killed[0].kill()

    before = signal.getsignal(signal.SIGTERM)
    results = api.apply(tiny.spec(SMALL), execution=TWO, emit=emit)
    assert run_files(tiny.store, results.run) == expected
    told = [event.message for event in events if isinstance(event, Warned)]
    assert sum(message.endswith("its batch is done anew") for message in told) >= 1
    assert all("died: Worker unexpectedly exits" in message for message in told if "anew" in message)
    workers = {event.device for event in events if isinstance(event, DeviceProgress)}
    assert all(name.partition(" ")[2] in ("cpu", "cpu (2)") for name in workers)
    assert not psutil.wait_procs(actors(), timeout=WAIT)[1]
    assert capfd.readouterr() == ("", "")
    assert signal.getsignal(signal.SIGTERM) is before
    assert not list(tiny.store.glob(".*.tmp"))


def test_objects_come_along_where_the_store_is_not_seen_and_a_stopped_run_goes_on(
    tiny: Project, cluster: None, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = actor.Setup
    monkeypatch.setattr(
        "surrogateshap.execute.backends.on_ray.Setup",
        lambda compiled, kind, objects, probe, batch: setup(compiled, kind, tiny.folder / "no", probe, batch),
    )
    share = import_module("surrogateshap.execute.backends.cluster").Share("cpu", 1, 1, 1)
    monkeypatch.setattr("surrogateshap.execute.backends.on_ray.share_out", lambda *_: share)  # one is enough here
    stop = threading.Event()

    def emit(event: Event) -> None:
        if isinstance(event, StageProgress) and event.stage == "generate:image" and event.done:
            stop.set()

    spec = tiny.spec(SMALL)
    with pytest.raises(InterruptedRun):
        api.apply(spec, execution=TWO, emit=emit, stop=stop)
    stages = [stage for stage in api.plan(spec).stages if stage.kind == "generate"]
    assert 0 < sum(stage.cached for stage in stages) < sum(stage.total for stage in stages)
    assert forget_encoded(spec, tiny.store) > 0
    run = api.apply(spec, execution=TWO).run
    assert run_files(tiny.store, run) == expected
    assert not (tiny.folder / "no").exists()


def forget_encoded(spec: Path, root: Path) -> int:
    """Removes what encoders said of images, which are then looked at again; returns of how many objects."""
    compiled = compile_spec(spec)
    with Store.open(root) as store:
        made = {one for one, _ in store.find_images({key for pool in compiled.pools for key in pool.keys}).values()}
        wanted = [keys.encoding(encoder.digest, one) for one in made for encoder in compiled.checked.encoders.values()]
        names = set(store.lookup(wanted).values())
    for name in names:
        (root / "objects" / name[:2] / f"{name}.safetensors").unlink()
    return len(names)


def outcome(compiled: Compiled, store: Store, say: Any = print, stop: threading.Event | None = None) -> Any:
    """How a job ends on the cluster."""
    backend = choose.open_backend(compiled, store, say, stop)
    try:
        backend.submit(Job("prompt", (Item("key", 0, 0, -1),), ()))
        deadline = time.monotonic() + WAIT
        while not (found := backend.wait(0.1)):
            assert time.monotonic() < deadline
        return found[0]
    finally:
        backend.close(at_once=True)


def test_nodes_with_other_code_or_without_the_models_files_are_refused(
    tiny: Project, cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = compile_spec(tiny.spec(SMALL)).with_execution(TWO)
    with Store.open(tiny.store) as store:
        moved = replace(compiled, checked=replace(compiled.checked, model_path=tiny.folder / "gone"))
        error = outcome(moved, store).error
        assert isinstance(error, RunError)
        assert error.message.startswith("node ")
        assert error.message.endswith("project/gone is not there")
        ours = import_module("surrogateshap.execute.environment").versions() | {"surrogateshap": "0.0.9"}
        monkeypatch.setattr("surrogateshap.execute.backends.on_ray.versions", lambda: ours)
        error = outcome(compiled, store).error
    assert isinstance(error, RunError)
    assert f"(method {keys.METHOD}), this machine 0.0.9 (method {keys.METHOD})" in error.message


def test_a_cluster_without_room_is_waited_for_and_told_of(
    tiny: Project, cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surrogateshap.execute.backends.on_ray._PLACING", 0.5)
    stop, said = threading.Event(), list[str]()

    def emit(event: Event) -> None:
        if isinstance(event, Warned) and "cluster" in event.message:
            said.append(event.message)
            stop.set()

    with pytest.raises(InterruptedRun):
        api.apply(tiny.spec(SMALL), execution=TWO | {"threads": 3}, emit=emit, stop=stop)
    assert said == ["waiting for the cluster: wants 6 CPUs, has 2 free"]
    spec = tiny.spec({"execution": {"devices": "cuda"}})
    with pytest.raises(DeviceError, match="the Ray cluster has no GPU"):
        api.apply(spec, execution={"backend": "ray"})
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(RunError, match=r"no Ray cluster can be had: .*refused"):
        api.apply(spec, execution={"backend": "ray"})


def test_the_plan_says_what_is_missing_for_ray(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny.spec({"execution": {"backend": "ray", "devices": ["cuda:1"]}})
    with pytest.raises(SpecError) as caught:
        api.plan(spec)
    (problem,) = caught.value.problems
    assert (problem.key, problem.line > 0) == ("execution.devices", True)
    compiled = compile_spec(spec).with_execution({"devices": "auto"})
    for module in (backends, choose):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(SpecError) as caught:
        api.plan(tiny.spec(SMALL, "other.toml"), execution={"backend": "ray"})
    (problem,) = caught.value.problems
    assert str(problem) == '--backend: `ray` needs Ray, which is not installed\n    pip install "surrogateshap[ray]"'
    assert api.plan(spec, execution={"backend": "local", "devices": "cpu"}).plan_id == compiled.plan_id
    with Store.open(tiny.store) as store, pytest.raises(MissingExtraError, match="not installed"):
        choose.open_backend(compiled, store, print)


def test_workers_are_shared_out_by_what_the_cluster_has() -> None:
    cluster = import_module("surrogateshap.execute.backends.cluster")

    def share(asked: str, workers: int | None = None, gpus: float = 0, nodes: int = 3) -> tuple[str, int]:
        found = cluster.share_out(asked, workers, None, {"CPU": 8.0, "GPU": gpus}, nodes)
        return found.kind, found.workers

    assert share("auto") == share("cpu", gpus=4) == ("cpu", 3)
    assert share("auto", nodes=0) == ("cpu", 1)
    assert share("auto", gpus=4) == share("cuda", gpus=4) == ("cuda", 4)
    assert share("auto", 2, gpus=4) == share("cuda", 2) == ("cuda", 2)
    assert cluster.share_out("cpu", None, 6, {}, 1).cpus == 6


def test_deaths_are_told_in_short() -> None:
    last_words = import_module("surrogateshap.execute.backends.cluster").last_words
    told = (
        "The actor died.\n\tpid: 1\nWorker exit type: X Worker exit detail: End\x1b of file. Some common causes include"
    )
    assert last_words(ValueError(told)) == "died: End\ufffd of file."
    assert last_words(ValueError("Task was killed due to the node running low on memory.\nMore")).endswith("memory")
    assert last_words(ValueError("")) == "died: ValueError"


def test_luggage_is_taken_once() -> None:
    luggage = Luggage()
    name = luggage.put(b"images", "safetensors")
    assert luggage.get(name, "safetensors") == b"images"
    assert luggage.take(["", name]) == {name: b"images"}
    assert luggage.take([name]) == {}
    assert luggage.get(name, "safetensors") is None


def test_what_two_jobs_look_at_is_there_for_both() -> None:
    luggage = Luggage()
    for _ in range(2):
        luggage.bring("images", b"brought")
    assert [luggage.get("images", "safetensors") for _ in range(3)] == [b"brought", b"brought", None]
