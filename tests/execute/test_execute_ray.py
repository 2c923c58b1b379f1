"""Workers on a Ray cluster, here one of this machine alone: the same bytes as one process, whoever dies."""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from surrogateshap import api
from surrogateshap.errors import InterruptedRun
from surrogateshap.events import DeviceProgress, Event, Warned
from surrogateshap.execute.backends.here import Here
from surrogateshap.execute.backends.on_ray import OnRay
from surrogateshap.execute.workshop import Workshop
from tests.tiny import SPEC, Project, run_files

SMALL = {"execution": {"devices": "cpu", "batch_size": 8, "threads": 1}}
RAY = {"backend": "ray", "workers": 2}
MORE = {
    "encoder": [*SPEC["encoder"], {"name": "raw", "kind": "pixels", "size": 8}],
    "utility": [
        *({**one, "encoder": "eye"} for one in SPEC["utility"]),
        {"name": "look", "kind": "frechet", "reference": "manifest", "encoder": "raw"},
    ],
}


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def head() -> Iterator[psutil.Process]:
    """A cluster of one node with two CPUs: its raylet, whose children are the workers."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: the names of sockets have an end
    port, *others = free_ports(4)
    names = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port")
    ports = [f"--{name}={number}" for name, number in zip(names, others, strict=True)]
    options = ["--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2", "--num-gpus=0"]
    options += ["--include-dashboard=false", "--object-store-memory=100000000", f"--temp-dir={folder}", *ports]
    address = f"127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch, (folder / "log").open("wb") as log:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        started = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", *options], stdout=log, stderr=log
        )
        patch.setenv("RAY_ADDRESS", address)
        try:
            for _ in range(600):
                if "Ray runtime started" in (folder / "log").read_text() or started.poll() is not None:
                    break
                threading.Event().wait(0.1)
            assert started.poll() is None, (folder / "log").read_text()
            everyone = psutil.Process(started.pid).children(recursive=True)
            yield next(one for one in everyone if one.name() == "raylet")
        finally:
            everyone = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
            started.terminate()
            started.wait(30)
            for one in psutil.wait_procs(everyone, timeout=5)[1]:
                one.kill()
            shutil.rmtree(folder, ignore_errors=True)


def actors(head: psutil.Process) -> list[psutil.Process]:
    return [one for one in head.children() if any("RayWorker" in part for part in one.cmdline())]


def here(monkeypatch: pytest.MonkeyPatch, spec: Path, store: Path) -> dict[str, bytes]:
    """The run folder that one process comes to; the plan in it says what was asked for, so it asks for Ray too."""

    def local(compiled: Any, store: Any, *_: Any) -> Here:
        return Here(Workshop(compiled, "cpu", threads=1), store.objects)

    with monkeypatch.context() as alone:
        alone.setattr("surrogateshap.execute.backends.on_ray.OnRay", local)
        run = api.apply(spec, store=store, execution=RAY).run
    return run_files(store, run)


def test_actors_come_to_the_bytes_of_one_process_also_when_one_is_killed(
    head: psutil.Process, tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    killed: list[psutil.Process] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, DeviceProgress) and not killed:
            killed.append(actors(head)[0])
            killed[0].kill()

    spec = tiny.spec(SMALL)
    expected = here(monkeypatch, spec, tiny.folder / "one")
    run = api.apply(spec, store=tiny.folder / "two", execution=RAY, emit=emit).run
    assert run_files(tiny.folder / "two", run) == expected
    told = [event.message for event in events if isinstance(event, Warned)]
    lost = [message for message in told if "its batch is done anew" in message]
    assert killed
    assert 1 <= len(lost) <= 3
    assert all(re.match(r"the worker on cpu on [0-9.]+( \(2\))? was lost: ", message) for message in lost)
    workers = {event.device for event in events if isinstance(event, DeviceProgress)}
    assert all(re.fullmatch(r"cpu on [0-9.]+( \(2\))?", worker) for worker in workers)
    assert not list((tiny.folder / "two").glob(".*.tmp"))


def test_objects_travel_where_no_folder_is_shared(
    head: psutil.Process, tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "touch", lambda self: None)  # so that no actor finds the run's file
    shared: list[bool] = []
    greet = OnRay._greet

    def listen(self: OnRay, worker: Any, place: Any) -> None:
        shared.extend([] if place is None else [place.shared])
        greet(self, worker, place)

    monkeypatch.setattr(OnRay, "_greet", listen)
    expected = here(monkeypatch, tiny.spec({**SMALL, **MORE}), tiny.folder / "one")
    here(
        monkeypatch, tiny.spec({**SMALL, "proxy": {"kind": "prompt"}}), tiny.folder / "two"
    )  # left to be seen by `raw`
    run = api.apply(tiny.spec({**SMALL, **MORE}), store=tiny.folder / "two", execution=RAY).run
    assert run_files(tiny.folder / "two", run) == expected
    assert shared
    assert not any(shared)


def test_a_run_without_room_says_so_and_can_be_stopped(
    head: psutil.Process, tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surrogateshap.execute.backends.on_ray._PATIENCE", 0.5)
    stop = threading.Event()
    told: list[str] = []

    def emit(event: Event) -> None:
        if isinstance(event, Warned) and "Ray" in event.message:
            told.append(event.message)
            stop.set()

    with pytest.raises(InterruptedRun):
        api.apply(tiny.spec(SMALL), execution=RAY | {"threads": 64}, emit=emit, stop=stop)
    assert told == [
        "2 of 2 workers have not started on the Ray cluster, and are waited for: each needs 64 CPUs",
    ]
