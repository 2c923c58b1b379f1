"""Two processes that apply in one store at once: the second shows what the first does, or waits, and never corrupts."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from surrogateshap import api
from surrogateshap.cli import main
from surrogateshap.errors import InterruptedRun, RunError
from surrogateshap.events import Event, RunFinished, RunStarted, StageFinished, StageProgress, Warned
from surrogateshap.store import Store
from tests.execute.test_execute_resume import SMALL, environment
from tests.tiny import Project, run_files

CHANGES = SMALL | {"execution.batch_size": 4}
CHILD = """
import sys
from pathlib import Path
from surrogateshap import api
from surrogateshap.events import StageProgress
def emit(event):
    # Holds still after its first shard until it is told to go on, or killed.
    if isinstance(event, StageProgress) and event.stage.startswith("generate") and not told:
        told.append(event)
        print("one", flush=True)
        sys.stdin.readline()
        if sys.argv[3] == "fail":
            raise ValueError("out of luck")
told = []
api.apply(Path(sys.argv[1]), store=Path(sys.argv[2]), emit=emit)
"""


@contextmanager
def applying(spec: Path, store: Path, end: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another process that has made its first shard."""
    command = [sys.executable, "-c", CHILD, str(spec), str(store), end]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment())
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "one\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def go_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def watching(when: Callable[[Event], bool], act: Callable[[], None]) -> tuple[list[Event], Callable[[Event], None]]:
    """Events, and an emit that acts on the first one that is meant."""
    seen: list[Event] = []

    def emit(event: Event) -> None:
        if when(event) and not any(map(when, seen)):
            act()
        seen.append(event)

    return seen, emit


def warnings(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned)]


def generated(event: Event) -> bool:
    return isinstance(event, StageProgress) and event.stage.startswith("generate")


def test_the_second_shows_the_first_and_ends_with_its_results(
    tiny: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tiny.spec(CHANGES)
    with applying(spec, tiny.store) as process:
        assert main(["apply", str(spec), "--no-wait", "--display", "plain"]) == 6
        assert f"in use by process {process.pid}" in capsys.readouterr().err
        stop = threading.Event()
        threading.Timer(0.5, stop.set).start()
        began = time.monotonic()
        with pytest.raises(InterruptedRun, match="while waiting for another process"):
            api.apply(spec, stop=stop)
        assert time.monotonic() - began < 5
        assert api.follow(str(spec))[1] == "running"
        seen, emit = watching(generated, lambda: go_on(process))
        results = api.apply(spec, emit=emit)
        assert process.wait(30) == 0
    assert f"process {process.pid} applies this run already" in warnings(seen)[0]
    first, second = (at for at, event in enumerate(seen) if isinstance(event, RunStarted))
    assert {event.stage for event in seen[first:second] if isinstance(event, StageFinished)} >= {"generate:prompt"}
    assert [event.cached for event in seen if isinstance(event, RunFinished)] == [True]
    assert not [event for event in seen[second:] if isinstance(event, StageProgress)]
    assert api.show(results.run, store=tiny.store) == results
    assert api.follow(results.run, store=tiny.store)[1] == "done"


@pytest.mark.parametrize("end", ["killed", "fail"])
def test_the_second_finishes_what_the_first_leaves(tiny: Project, end: str) -> None:
    spec = tiny.spec(CHANGES)
    whole = api.apply(spec, store=tiny.folder / "whole")
    with applying(spec, tiny.store, end) as process:
        act = {"killed": process.kill, "fail": lambda: go_on(process)}[end]
        seen, emit = watching(generated, act)
        results = api.apply(spec, emit=emit)
        assert process.wait(30) == (-signal.SIGKILL if end == "killed" else 1)
    assert results == whole
    assert run_files(tiny.store, results.run) == run_files(tiny.folder / "whole", results.run)
    last = seen[-1]
    assert isinstance(last, RunFinished)
    assert not last.cached
    if end == "fail":
        assert "out of luck')" in " ".join(warnings(seen))


def test_another_run_is_waited_for(tiny: Project) -> None:
    spec = tiny.spec(CHANGES)
    other = tiny.spec(CHANGES | {"seed": 8}, "other.toml")
    with applying(other, tiny.store) as process:
        seen, emit = watching(lambda event: isinstance(event, Warned), lambda: go_on(process))
        results = api.apply(spec, emit=emit)
        assert process.wait(30) == 0
    assert warnings(seen)[0] == f"process {process.pid} works in this store; waiting until it is done"
    assert sum("waiting" in message for message in warnings(seen)) == 1
    assert len([event for event in seen if isinstance(event, RunStarted)]) == 1
    assert {one.status for one in api.runs(tiny.store)} == {"done"}
    assert api.show(results.run, store=tiny.store) == results


def test_the_process_itself_is_not_waited_for(tiny: Project) -> None:
    with Store.open(tiny.store) as store, store.lock(), pytest.raises(RunError, match=f"process {os.getpid()}"):
        tiny.apply(CHANGES)
