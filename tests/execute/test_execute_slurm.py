"""Arrays of workers, submitted to this machine in Slurm's place: the same bytes as one process, whichever task fails."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from surrogateshap import api
from surrogateshap.errors import InterruptedRun, MissingExtraError, RunError, SpecError
from surrogateshap.events import DeviceProgress, Event, StageProgress, Warned
from surrogateshap.execute.backends import choose, on_slurm
from surrogateshap.execute.jobs import all_jobs
from surrogateshap.plan import backends
from surrogateshap.plan.compile import Compiled, compile_spec
from surrogateshap.store import Store
from tests.execute.test_execute_resume import ROOT, SMALL
from tests.tiny import Project, run_files

SPEC: dict[str, Any] = SMALL | {
    "execution.batch_size": 8,
    "execution.backend": "slurm",
    "execution.workers": 2,
    "execution.slurm": {"gpus": 0, "hours": 0.1},
}


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name, value in (("CLUSTER", "local"), ("EVERY", 0.05), ("SETTLES", 0.2)):
        monkeypatch.setattr(on_slurm, name, value)


def alone(compiled: Compiled, store: Store, *others: Any) -> Any:
    """The backend of one process, for a plan that asks for Slurm."""
    return choose.open_backend(compiled.with_execution({"backend": "local", "workers": 1}), store, *others)


@pytest.fixture(scope="module")
def whole(tiny_master: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run that one process made."""
    tiny = Project(tiny_master, tmp_path_factory.mktemp("alone"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("surrogateshap.execute.run.open_backend", alone)
        return run_files(tiny.store, tiny.apply(SPEC).run)


def told(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned) and "Slurm" in event.message]


def test_an_array_comes_to_the_bytes_of_one_process(tiny: Project, whole: dict[str, bytes]) -> None:
    events: list[Event] = []
    results = tiny.apply(SPEC, emit=events.append)
    assert run_files(tiny.store, results.run) == whole
    (submitted,) = told(events)
    assert submitted.startswith("2 tasks submitted to Slurm: ")
    names = {event.device for event in events if isinstance(event, DeviceProgress)}
    assert len(names) == 2
    assert all(name.startswith("Slurm task ") for name in names)
    for stage in ("generate:prompt", "encode:prompt:eye"):
        counts = [event.done for event in events if isinstance(event, StageProgress) and event.stage == stage]
        assert counts == sorted(counts)
        assert len(counts) > 1
    assert list((tiny.store / "slurm").iterdir()) == []


def test_a_larger_run_has_only_made_what_it_lacks(tiny: Project) -> None:
    tiny.apply(SPEC | {"execution.backend": "local", "execution.workers": 1})
    larger = SPEC | {"budget.images": 60}
    events: list[Event] = []
    jobs = all_jobs(compile_spec(tiny.spec(larger)))
    results = tiny.apply(larger, emit=events.append)
    assert 0 < len(list((tiny.store / "shards" / results.run).iterdir())) < len(jobs)
    done = [event for event in events if isinstance(event, StageProgress) and event.stage == "generate:prompt"]
    assert max(event.done for event in done) == done[-1].total


def test_a_task_that_is_killed_is_submitted_again(
    tiny: Project, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, spoilt = on_slurm.OnSlurm._command, [1]

    def spoil(self: on_slurm.OnSlurm, task: Any) -> list[str]:
        if task.number == 1 and spoilt.pop() if spoilt else False:
            return [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
        return command(self, task)

    monkeypatch.setattr(on_slurm.OnSlurm, "_command", spoil)
    events: list[Event] = []
    results = tiny.apply(SPEC, emit=events.append)
    assert run_files(tiny.store, results.run) == whole
    assert [message.endswith("submitted again") for message in told(events)] == [False, True]


def test_a_task_that_fails_each_time_ends_the_run(
    tiny: Project, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = on_slurm.OnSlurm._command

    def spoil(self: on_slurm.OnSlurm, task: Any) -> list[str]:
        failing = [sys.executable, "-c", "raise SystemExit('no \x1b[2J GPU')"]
        return failing if task.number == 1 else command(self, task)

    with monkeypatch.context() as patched:
        patched.setattr(on_slurm.OnSlurm, "_command", spoil)
        with pytest.raises(RunError, match="ended 3 times before its share was done: .*no .* GPU") as caught:
            tiny.apply(SPEC)
    assert "\x1b" not in caught.value.message
    log = Path(caught.value.remedy.split("Look at ")[1].split(". What")[0])
    assert "GPU" in log.read_text()
    events: list[Event] = []
    assert run_files(tiny.store, tiny.apply(SPEC, emit=events.append).run) == whole
    assert told(events)[0].startswith("2 tasks submitted")
    assert {one.kind for one in api.gc(store=tiny.store).kinds} >= {"Slurm logs", "shards"}


def test_a_stopped_run_takes_its_tasks_back(tiny: Project, whole: dict[str, bytes]) -> None:
    stop = threading.Event()

    def emit(event: Event) -> None:
        if isinstance(event, Warned) and "submitted" in event.message:
            stop.set()

    with pytest.raises(InterruptedRun):
        tiny.apply(SPEC, emit=emit, stop=stop)
    assert run_files(tiny.store, tiny.apply(SPEC).run) == whole


def test_what_can_not_be_had(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny.spec(SPEC | {"budget.stop_when": {"interval_width": 0.5}})
    with pytest.raises(SpecError, match="while the run goes on") as caught:
        api.plan(spec)
    assert caught.value.problems[0].key == "execution.backend"
    spec = tiny.spec(SPEC)
    with monkeypatch.context() as patched:
        patched.setattr(on_slurm, "CLUSTER", "slurm")
        patched.setenv("PATH", "/nowhere")
        with pytest.raises(RunError, match="Slurm takes no tasks"):
            api.apply(spec)
    with monkeypatch.context() as patched:
        patched.setattr(choose, "find_spec", lambda _: None)
        with pytest.raises(MissingExtraError, match="submitit"):
            api.apply(spec)
        patched.setattr(backends, "find_spec", lambda _: None)
        with pytest.raises(SpecError, match=r"surrogateshap\[slurm\]"):
            api.plan(spec)
    for key in ("partition", "account", "constraint"):
        with pytest.raises(SpecError):
            api.validate(tiny.spec(SPEC | {"execution.slurm": {key: "a\n#SBATCH --wrap"}}))


def test_neither_planning_nor_the_command_line_imports_submitit() -> None:
    code = "import sys, surrogateshap.cli.apply, surrogateshap.execute.run; sys.exit('submitit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
