"""Workers in processes of their own: the same bytes as one, whoever dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from surrogateshap import api
from surrogateshap.errors import DeviceError, InterruptedRun, RunError
from surrogateshap.events import DeviceProgress, Event, StageProgress, Warned
from surrogateshap.execute.assembly import Assembly, DroppedError
from surrogateshap.execute.backends import Outcome
from surrogateshap.execute.backends.here import Here
from surrogateshap.execute.crew import Crew
from surrogateshap.execute.device import choose_devices, threads_of
from surrogateshap.execute.encoders import View
from surrogateshap.execute.jobs import Done, Job
from surrogateshap.execute.pace import Estimate, Pace
from surrogateshap.execute.shards import Item
from surrogateshap.execute.workshop import Workshop
from surrogateshap.plan.compile import compile_spec
from surrogateshap.store.objects import Objects
from tests.tiny import Project, run_files

SMALL = {"execution": {"devices": "cpu", "batch_size": 8, "threads": 1}}
TWO = {"devices": ("cpu", "cpu")}
WAIT = 60.0


def children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if any("surrogateshap.execute.backends.child" in part for part in child.cmdline())
    ]


def forbid_imports_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works in the folder, which holds code that no worker is to run: a stranger's, beside a spec."""
    for name in ("numpy", "polars", "torch"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name} of a stranger')\n")
    monkeypatch.chdir(folder)


def test_two_workers_come_to_the_bytes_of_one_also_when_one_is_killed(
    tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, DeviceProgress) and not killed:
            killed.append(children()[0])
            killed[0].kill()

    killed: list[psutil.Process] = []
    spec = tiny.spec(SMALL)
    forbid_imports_from(tiny.folder, monkeypatch)
    with monkeypatch.context() as alone:  # the plan in the record says what was asked for, so both ask for two
        alone.setattr("surrogateshap.execute.device.choose_devices", lambda *_: ("cpu",))
        run = api.apply(spec, store=tiny.folder / "one", execution=TWO).run
    api.apply(spec, store=tiny.folder / "two", execution=TWO, emit=emit)
    assert run_files(tiny.folder / "one", run) == run_files(tiny.folder / "two", run)
    told = [event.message for event in events if isinstance(event, Warned)]
    assert any("was killed by signal 9: its batch is done anew" in message for message in told)
    used = {event.device: event.images for event in events if isinstance(event, DeviceProgress)}
    assert used.keys() <= {"cpu", "cpu (2)"}
    assert sum(used.values()) == 40 + 40 + 32  # of each proxy, and without a condition, which both share
    assert not children()
    left = [event.left for event in events if isinstance(event, StageProgress)]
    assert all(seconds is not None and seconds >= 0 for seconds in left)


def test_workers_end_when_the_run_is_stopped_and_when_it_is_killed(tiny: Project) -> None:
    stop = threading.Event()

    def emit(event: Event) -> None:
        if isinstance(event, StageProgress) and event.stage == "generate:prompt" and not stop.is_set():
            told = children()
            for child in told:  # batch systems tell all processes of a task at once
                child.terminate()
            assert len(told) == 2
            assert psutil.wait_procs(told, timeout=0.5)[0] == []
            stop.set()

    spec = tiny.spec(SMALL)
    with pytest.raises(InterruptedRun):
        api.apply(spec, execution=TWO, emit=emit, stop=stop)
    assert not children()
    stages = [stage for stage in api.plan(spec).stages if stage.kind == "generate"]
    assert 0 < sum(stage.cached for stage in stages) < sum(stage.total for stage in stages)

    run = subprocess.Popen([sys.executable, "-m", "surrogateshap", "apply", str(spec), "--devices", "cpu,cpu"])
    workers = until(lambda: psutil.Process(run.pid).children())
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    _, alive = psutil.wait_procs(workers, timeout=WAIT)
    assert not alive


def until(look: Callable[[], Any]) -> Any:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


class FakeWorkshop:
    """Three steps that wait for each other's jobs: they end only where they go on side by side."""

    device, device_name, threads, halved = torch.device("cpu"), "cpu", 1, None
    model = None

    def __init__(self) -> None:
        self.begun, self.read, self.made = (threading.Event() for _ in range(3))

    def requests(self, items: tuple[Item, ...]) -> list[str]:
        if items[0].key == "second":
            self.read.set()
        return [item.key for item in items]

    def make(self, requests: list[str]) -> tuple[np.ndarray, dict[str, Any]]:
        self.begun.set()
        if requests == ["first"]:
            assert self.read.wait(WAIT), "the second shard is not read while the first is made"
        if requests == ["second"]:
            self.made.set()
        return np.zeros((1, 2, 2, 1), np.uint8), {"device": "cpu", "dtype": "float32", "threads": 1}

    def encoder(self, name: str) -> Any:
        return SimpleNamespace(name=name)

    def encode(self, encoder: Any, images: np.ndarray) -> View:
        assert self.made.wait(WAIT), "the second shard is not made while the first is encoded"
        return View(np.zeros((len(images), 1), np.float32), np.zeros((len(images), 0), np.float32))


def job(key: str) -> Job:
    return Job("prompt", (Item(key, 0, 0, -1),), ("eye",))


def test_shards_are_read_made_and_encoded_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    assembly = Assembly(FakeWorkshop(), Objects(tmp_path / "objects", read_only=False))  # type: ignore[arg-type]
    futures = [assembly.submit(job(key)) for key in ("first", "second")]
    found = [future.result(WAIT) for future in futures]
    assert [done.keys for done in found] == [("first",), ("second",)]
    assert found[0].encoded.keys() == {"eye"}
    assert (found[0].sample.memory_bytes or 0) > 1e6
    assert 0 <= (found[0].sample.utilisation or 0.0) <= 1
    gone = assembly.submit(Job("prompt", (), ("eye",), made="0" * 64, images=1)).result(WAIT)
    assert gone.made is None
    assembly.drop()
    with pytest.raises(DroppedError):
        assembly.submit(job("third")).result(WAIT)
    assembly.close()


def test_the_model_and_encoders_are_loaded_one_after_the_other(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    loading, most = [0], [0]

    def load(*_: Any) -> object:
        loading[0] += 1
        most[0] = max(most[0], loading[0])
        time.sleep(0.2)
        loading[0] -= 1
        return object()

    monkeypatch.setattr("surrogateshap.execute.models.class_conditional.ClassConditionalModel", load)
    monkeypatch.setattr("surrogateshap.execute.encoders.factory.make_encoder", load)
    workshop = Workshop(compile_spec(tiny.spec(SMALL)))
    threads = [
        threading.Thread(target=lambda: workshop.model),
        threading.Thread(target=workshop.encoder, args=("eye",)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_ending_at_once_does_not_wait_for_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "objects").mkdir()
    workshop = FakeWorkshop()
    backend = Here(workshop, Objects(tmp_path / "objects", read_only=False))  # type: ignore[arg-type]

    def interrupted(_: float) -> list[Outcome]:
        assert workshop.begun.wait(WAIT)
        raise KeyboardInterrupt

    monkeypatch.setattr(backend, "wait", interrupted)
    busy = Crew(lambda: backend, threading.Event())
    with pytest.raises(KeyboardInterrupt):
        list(busy.do([job("first")]))
    began = time.monotonic()
    busy.close(at_once=True)
    busy.close()  # as at the end of every attempt
    assert time.monotonic() - began < WAIT / 4
    workshop.read.set()
    workshop.made.set()


class FakeBackend:
    """Ends each job as it is told to."""

    def __init__(self, ends: Callable[[Job, int], Outcome], workers: int = 2) -> None:
        self.ends, self.workers = ends, workers
        self.given: list[Job] = []
        self.at_work: list[Job] = []
        self.retired: list[str] = []
        self.dropped = self.closed = False

    def submit(self, job: Job) -> None:
        self.given.append(job)
        self.at_work.append(job)

    def wait(self, seconds: float) -> list[Outcome]:
        one = self.at_work.pop(0)
        return [self.ends(one, self.given.count(one))]

    def drop(self) -> None:
        self.dropped = True

    def retire(self, worker: str) -> bool:
        if self.workers == 1:
            return False
        self.retired.append(worker)
        self.workers -= 1
        return True

    def close(self, *, at_once: bool = False) -> None:
        self.closed = True


def done(job: Job, worker: str = "cpu") -> Outcome:
    keys = tuple(item.key for item in job.items)
    return Outcome(job, worker, done=Done(keys=keys, made="", where={}, encoded={}, seconds={}, device="cpu"))


JOBS = [job(str(number)) for number in range(9)]


def crew(backend: FakeBackend, stop: threading.Event | None = None, said: list[str] | None = None) -> Crew:
    return Crew(lambda: backend, stop or threading.Event(), (said if said is not None else []).append)  # type: ignore[arg-type,return-value]


def begun(backend: FakeBackend, error: type[Exception], stop: threading.Event | None = None) -> list[Job]:
    """What is done before the error ends it."""
    found = []

    def collect() -> None:
        for one, _, _ in crew(backend, stop).do(JOBS):
            found.append(one)

    with pytest.raises(error):
        collect()
    return found


def test_a_job_is_done_anew_when_its_worker_is_lost_but_not_for_ever() -> None:
    said: list[str] = []
    flaky = FakeBackend(lambda job, times: done(job) if times > 2 else Outcome(job, "cpu", lost="was killed"))
    assert {one.id for one, _, _ in crew(flaky, said=said).do(JOBS)} == {one.id for one in JOBS}
    assert len(said) == 2 * len(JOBS)
    deadly = FakeBackend(lambda job, _: Outcome(job, "c\x1bpu", lost="died") if job is JOBS[4] else done(job))
    with pytest.raises(RunError, match=r"died 3 times at the same batch; the last, on c.pu, died") as caught:
        list(crew(deadly).do(JOBS))
    assert "\x1b" not in str(caught.value)


def test_what_was_begun_is_kept_when_another_job_fails() -> None:
    def ends(job: Job, _: int) -> Outcome:
        return Outcome(job, "cpu", error=RunError("no", "")) if job is JOBS[1] else done(job)

    backend = FakeBackend(ends)
    assert begun(backend, RunError) == [
        JOBS[0],
        *JOBS[2:7],
    ]  # three at a time on each of two workers, and one more for the first
    assert backend.dropped


def test_a_device_without_memory_leaves_its_work_to_the_others() -> None:
    said: list[str] = []

    def ends(job: Job, times: int) -> Outcome:
        return Outcome(job, "cuda:1", error=DeviceError("too little memory", "")) if times == 1 else done(job, "cuda:0")

    backend = FakeBackend(ends, workers=3)
    assert len(list(crew(backend, said=said).do(JOBS))) == len(JOBS)
    assert backend.retired == ["cuda:1"]
    assert said == ["too little memory: cuda:1 takes no further part"]
    alone = FakeBackend(ends, workers=1)
    with pytest.raises(DeviceError):
        list(crew(alone).do(JOBS))


def test_stopping_waits_for_what_was_begun() -> None:
    stop = threading.Event()

    def ends(job: Job, _: int) -> Outcome:
        stop.set()
        return Outcome(job, "cpu", error=DroppedError()) if backend.dropped else done(job)

    backend = FakeBackend(ends)
    assert begun(backend, InterruptedRun, stop) == JOBS[:1]
    assert not backend.at_work


def test_a_limit_is_asked_before_each_job() -> None:
    backend = FakeBackend(lambda job, _: done(job))
    assert len(list(crew(backend).do(JOBS, lambda: len(backend.given) < 3))) == 3


def test_devices_by_name_by_kind_and_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_devices("auto") == choose_devices("cpu") == ("cpu",)
    assert choose_devices("cpu", 3) == ("cpu",) * 3
    with pytest.raises(DeviceError, match="no `cuda:0` device is there; found: cpu"):
        choose_devices(["cuda:0"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert choose_devices("auto") == choose_devices("cuda") == ("cuda:0", "cuda:1", "cuda:2")
    assert choose_devices(["cuda:2", "cpu"], 3) == ("cuda:2", "cpu", "cuda:2")
    assert choose_devices("auto", 2) == ("cuda:0", "cuda:1")
    with pytest.raises(DeviceError, match="no `cuda:3` device is there; found: cuda:0, cuda:1, cuda:2, cpu"):
        choose_devices(["cuda:0", "cuda:3"])
    monkeypatch.setattr("surrogateshap.execute.device.cores", lambda: 8)
    assert [threads_of(name, ["cpu", "cpu"], None) for name in ("cpu", "cuda:0")] == [4, None]
    assert threads_of("cpu", ["cpu"], None) is None
    assert threads_of("cpu", ["cpu", "cpu"], 3) == 3


def test_the_time_left_counts_stages_that_go_on_side_by_side_once() -> None:
    now = [0.0]
    plan = {
        "generate:prompt": Estimate(100, 400.0),
        "encode:prompt:eye": Estimate(100, 100.0),
        "fit": Estimate(2, 30.0),
        "record": Estimate(1, 0.0),
    }
    pace = Pace(plan, lambda: now[0])
    assert pace.left({}, {}) == 530
    assert Pace(plan | {"flags": Estimate(3, None)}).left({}, {}) is None
    now[0] = 20.0
    for stage, seconds in (("generate:prompt", 20.0), ("encode:prompt:eye", 10.0)):
        pace.spend(stage, seconds)  # ten images, encoded while the next ones were made
    pending = {"generate:prompt": 90, "encode:prompt:eye": 90}
    rates = {"generate:prompt": 0.5, "encode:prompt:eye": 1.0}
    assert pace.left(pending, rates) == pytest.approx((180 + 90) * 20 / 30 + 30)
    assert pace.left({"generate:prompt": 0, "encode:prompt:eye": 0, "fit": 1}, rates) == pytest.approx(15)
