"""Arrays of workers: the same bytes as one process, whichever task fails.

Once the tasks are processes that stand-ins for Slurm's commands start; else threads, for processes take long to start.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from submitit.helpers import CommandFunction

from surrogateshap import api
from surrogateshap.cli.main import cli
from surrogateshap.errors import DeviceError, InterruptedRun, MissingExtraError, RunError, SpecError
from surrogateshap.events import DeviceProgress, Event, StageProgress, Warned
from surrogateshap.execute.backends import Backend, Outcome, choose, on_slurm
from surrogateshap.execute.jobs import all_jobs
from surrogateshap.plan import backends
from surrogateshap.plan.compile import compile_spec
from tests.execute.alone import files_of_one_process
from tests.execute.test_execute_resume import ROOT, SMALL
from tests.execute.test_execute_workers import forbid_imports_from
from tests.tiny import Project, run_files

SPEC: dict[str, Any] = SMALL | {
    "execution.batch_size": 8,
    "execution.backend": "slurm",
    "execution.workers": 2,
    "execution.slurm": {"gpus": 0, "hours": 0.1},
}


class Job:
    """A task as submitit tells of it: a thread that runs its command, in turn with the others."""

    turn = threading.Lock()
    count = 0

    def __init__(self, folder: Path, command: list[str]) -> None:
        Job.count += 1
        folder.mkdir(exist_ok=True)
        self.job_id, self.cancelled = f"7_{Job.count}", False
        self.paths = SimpleNamespace(stderr=folder / f"{self.job_id}.err")
        self._thread = threading.Thread(target=self._run, args=(command,))
        self._thread.start()

    def _run(self, command: list[str]) -> None:
        with self.turn:
            if self.cancelled:
                return
            try:
                cli.main(command[4:], standalone_mode=False) if len(command) > 1 else fail(command)
            except Exception as error:
                self.paths.stderr.write_text(f"Traceback\n{error}\n\n")

    def done(self, force_check: bool = False) -> bool:
        return not self._thread.is_alive()

    def cancel(self, check: bool = True) -> None:
        self.cancelled = True
        self._thread.join()


def fail(command: list[str]) -> None:
    raise OSError(command[-1])


class Executor:
    asked: list[dict[str, Any]] = []  # noqa: RUF012

    def __init__(self, folder: Path, cluster: str) -> None:
        self._folder = folder

    def update_parameters(self, **options: Any) -> None:
        self.asked.append(options)

    @contextmanager
    def batch(self) -> Iterator[None]:
        yield

    def submit(self, function: CommandFunction) -> Job:
        return Job(self._folder, function.command)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("EVERY", 0.05), ("SETTLES", 0.2)):
        monkeypatch.setattr(on_slurm, name, value)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Has threads be the tasks; what was asked for."""
    monkeypatch.setattr(on_slurm.submitit, "AutoExecutor", Executor)
    monkeypatch.setattr(Executor, "asked", [])
    return Executor.asked


@pytest.fixture(scope="module")
def whole(tiny_master: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run that one process made."""
    return files_of_one_process(Project(tiny_master, tmp_path_factory.mktemp("alone")), SPEC)


def told(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned) and "Slurm" in event.message]


SLURM = {
    "sbatch": """
for last; do :; done
tasks=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$last")
cp "$last" "$SLURM_FAKE/submitted"
for task in $(seq 0 "$tasks"); do
    SLURM_JOB_ID=$((4711 + task)) SLURM_ARRAY_JOB_ID=4711 SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS=1 SLURM_PROCID=0 \\
        SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1 SLURM_JOB_NODELIST=n1 bash "$last" > /dev/null 2>&1 &
done
echo "Submitted batch job 4711"
""",
    "srun": """
while [ "$1" = --unbuffered ] || [ "$1" = --output ] || [ "$1" = --error ]; do
    [ "$1" = --unbuffered ] && shift || shift 2
done
exec "$@"
""",
    "sacct": "printf 'JobID|State|NodeList\\n4711_0|RUNNING|n1\\n4711_1|RUNNING|n1\\n'",
    "scancel": 'echo "$@" >> "$SLURM_FAKE/cancelled"',
}
"""Commands that do as Slurm's do, on this machine."""


def test_an_array_comes_to_the_bytes_of_one_process(
    tiny: Project, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in SLURM.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_FAKE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    forbid_imports_from(tiny.folder, monkeypatch)
    events: list[Event] = []
    results = tiny.apply(SPEC, emit=events.append)
    assert run_files(tiny.store, results.run) == whole
    assert told(events) == ["2 tasks submitted to Slurm: 4711_0 to 4711_1"]
    names = {event.device for event in events if isinstance(event, DeviceProgress)}
    assert names == {"Slurm task 4711_0", "Slurm task 4711_1"}
    for stage in ("generate:prompt", "encode:prompt:eye"):
        counts = [event.done for event in events if isinstance(event, StageProgress) and event.stage == stage]
        assert counts == sorted(counts)
        assert len(counts) > 1
    asked = (tmp_path / "submitted").read_text().splitlines()
    assert {"#SBATCH --array=0-1%2", "#SBATCH --time=6"} <= set(asked)
    assert not (tmp_path / "cancelled").exists()
    assert list((tiny.store / "slurm").iterdir()) == []


def test_a_larger_run_has_only_made_what_it_lacks(tiny: Project, threads: list[dict[str, Any]]) -> None:
    tiny.apply(SPEC | {"execution.backend": "local", "execution.workers": 1})
    larger = SPEC | {
        "budget.images_per_contributor": 8,
        "execution.slurm": {"partition": "a,b", "qos": "low", "gpus": 2, "cpus": 4, "memory_gb": 7.5, "hours": 2.5},
    }
    events: list[Event] = []
    jobs = all_jobs(compile_spec(tiny.spec(larger)))
    results = tiny.apply(larger, emit=events.append)
    assert 0 < len(list((tiny.store / "shards" / results.run).iterdir())) < len(jobs)
    done = [event for event in events if isinstance(event, StageProgress) and event.stage == "generate:prompt"]
    assert max(event.done for event in done) == done[-1].total
    (asked,) = threads
    assert asked.pop("name").startswith(f"surrogateshap-{results.run}-")
    assert asked == {
        "timeout_min": 150,
        "gpus_per_node": 2,
        "cpus_per_task": 4,
        "mem_gb": 7.5,
        "slurm_partition": "a,b",
        "slurm_qos": "low",
        "slurm_array_parallelism": 2,
        "slurm_setup": ["export PYTHONSAFEPATH=1"],
    }


def test_a_task_that_is_killed_is_submitted_again(
    tiny: Project, whole: dict[str, bytes], threads: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = on_slurm.OnSlurm._command

    def spoil(self: on_slurm.OnSlurm, task: Any) -> list[str]:
        return ["false"] if task.number == 1 and task.tries == 1 else command(self, task)

    monkeypatch.setattr(on_slurm.OnSlurm, "_command", spoil)
    events: list[Event] = []
    results = tiny.apply(SPEC, emit=events.append)
    assert run_files(tiny.store, results.run) == whole
    assert [message.endswith("submitted again") for message in told(events)] == [False, True]


def test_a_task_that_fails_each_time_ends_the_run(
    tiny: Project, whole: dict[str, bytes], threads: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = on_slurm.OnSlurm._command

    def spoil(self: on_slurm.OnSlurm, task: Any) -> list[str]:
        return ["no \x1b[2J GPU"] if task.number == 1 else command(self, task)

    with monkeypatch.context() as patched:
        patched.setattr(on_slurm.OnSlurm, "_command", spoil)
        with pytest.raises(RunError, match=r"ended 3 times before its share was done: no .* GPU") as caught:
            tiny.apply(SPEC)
    assert "\x1b" not in caught.value.message
    log = Path(caught.value.remedy.split("Look at ")[1].split(". What")[0])
    assert "GPU" in log.read_text()
    events: list[Event] = []
    assert run_files(tiny.store, tiny.apply(SPEC, emit=events.append).run) == whole
    assert told(events)[0].startswith("2 tasks submitted")
    assert {one.kind for one in api.gc(store=tiny.store).kinds} >= {"Slurm logs", "shards"}


def test_work_that_this_machine_has_no_memory_for_ends_the_run(
    tiny: Project, threads: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.apply(SPEC | {"execution.backend": "local", "execution.workers": 1})
    for file in (tiny.store / "objects").glob("*/*.safetensors"):
        if b'"features"' in file.read_bytes()[:500]:
            file.unlink()  # to be encoded anew, which is no task's work
    open_local, failed = choose.open_local, list[Outcome]()

    def without_memory(*asked: Any) -> Backend:
        here = open_local(*asked)
        wait = here.wait

        def fail(seconds: float) -> list[Outcome]:
            ended = wait(seconds)
            if len(failed) < 20:  # not for ever, where it is tried again and again
                failed.extend(ended)
                return [Outcome(one.job, "", error=DeviceError("too little memory", "")) for one in ended]
            return ended

        monkeypatch.setattr(here, "wait", fail)
        return here

    monkeypatch.setattr(choose, "open_local", without_memory)
    with pytest.raises(DeviceError, match="too little memory"):
        tiny.apply(SPEC | {"budget.images_per_contributor": 8})


def test_a_stopped_run_takes_its_tasks_back(
    tiny: Project, whole: dict[str, bytes], threads: list[dict[str, Any]]
) -> None:
    stop = threading.Event()

    def emit(event: Event) -> None:
        if isinstance(event, Warned) and "submitted" in event.message:
            stop.set()

    with pytest.raises(InterruptedRun):
        tiny.apply(SPEC, emit=emit, stop=stop)
    assert run_files(tiny.store, tiny.apply(SPEC).run) == whole


def test_tasks_of_an_apply_that_was_killed_are_taken_back_by_the_next(
    tiny: Project, threads: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scancel").write_text(f"#!/bin/bash\n{SLURM['scancel']}")
    (tmp_path / "scancel").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_FAKE", str(tmp_path))
    stop = threading.Event()
    with monkeypatch.context() as killed:
        killed.setattr(on_slurm.OnSlurm, "_command", lambda *_: ["false"])
        killed.setattr(on_slurm.OnSlurm, "close", lambda *_, **__: None)
        with pytest.raises(InterruptedRun):
            tiny.apply(SPEC, emit=lambda event: stop.set() if told([event]) else None, stop=stop)
    (orphans,) = (tiny.store / "slurm").iterdir()
    for strange in (tiny.store / "slurm" / "x,all", tmp_path / "elsewhere"):
        strange.mkdir()
        (strange / "at-work").touch()
    (tiny.store / "slurm" / "linked").symlink_to(tmp_path / "elsewhere")
    events: list[Event] = []
    tiny.apply(SPEC, emit=events.append)
    assert (tmp_path / "cancelled").read_text() == f"--name=surrogateshap-{orphans.name}\n"
    assert threads[0]["name"] == f"surrogateshap-{orphans.name}" != threads[1]["name"]
    assert "were taken back" in told(events)[0]
    assert not list(orphans.glob("at-work"))


def test_what_can_not_be_had(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny.spec(SPEC | {"budget.stop_when": {"interval_width": 0.5}})
    with pytest.raises(SpecError, match="while the run goes on") as caught:
        api.plan(spec)
    assert caught.value.problems[0].key == "execution.backend"
    spec = tiny.spec(SPEC)
    with monkeypatch.context() as patched:
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
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
