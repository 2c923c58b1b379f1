"""Stands in for `surrogateshap.api`, so that the commands are tested alone; run as a script, it is the command line.

A run of it emits a stage's progress until it is stopped, or to its end where FAKE_STEPS says how many steps there are.
"""

import os
import signal
import sys
import time
import types
from pathlib import Path
from typing import Any

from surrogateshap.errors import InterruptedRun, Problem, SpecError
from surrogateshap.events import (
    Event,
    GameInfo,
    RankedContributor,
    RankingUpdated,
    RunFinished,
    RunInterrupted,
    RunStarted,
    StageFinished,
    StageInfo,
    StageProgress,
    StageStarted,
    Warned,
)

EVENTS: tuple[Event, ...] = (
    RunStarted(
        run="r-1",
        name="r",
        resumed=False,
        stages=(
            StageInfo(id="a", title="Generate [red]\x1b[2J[/]", unit="images", total=1000, cached=200),
            StageInfo(id="b", title="Encode", unit="images", total=1000, cached=1000),
            StageInfo(id="c", title="Nothing to evaluate", unit="coalitions", total=0, cached=0),
        ),
        games=(GameInfo(grouping="g", utility="u", proxy="p"),),
    ),
    Warned(message="[bold]careful\x1b[2J[/]\nnow"),
    StageStarted(stage="a"),
    StageProgress(stage="a", done=210, total=1000, rate=13.25),
    StageProgress(stage="a", done=900, total=1000, rate=13.25),
    StageFinished(stage="a", seconds=61.0, cached=False),
    StageFinished(stage="b", seconds=0.0, cached=True),
    StageProgress(stage="nowhere", done=1, total=2),
    RankingUpdated(
        game=GameInfo(grouping="g", utility="u", proxy="p"),
        contributors=(RankedContributor(name="\u202ex\x1b", value=1.0, low=0.0, high=2.0, rank=1),),
        provisional=True,
        images=10,
    ),
    RunFinished(run="r-1", seconds=62.0, cached=False),
)


def make() -> Any:
    """The module; `calls` holds what it was asked."""
    from tests.samples import peaceful_plan, peaceful_results

    api = types.ModuleType("surrogateshap.api")
    calls: list[tuple[Any, ...]] = []

    def validate(spec: Path, *, allow_paths: Any = (), allow_plugins: Any = ()) -> object:
        calls.append(("validate", spec, tuple(allow_paths), *allow_plugins))
        if "bad" in spec.name:
            raise SpecError(
                [
                    Problem(str(spec), 3, "sampling.stepz", "no such key \x1b[2J", "Did you mean `steps`?"),
                    Problem(str(spec), 0, "", "no [model]"),
                ]
            )
        device = "cuda" if "cuda" in spec.name else "auto"
        return types.SimpleNamespace(execution=types.SimpleNamespace(devices=device))

    def plan(
        target: Path, *, store: Any = None, allow_paths: Any = (), allow_plugins: Any = (), execution: Any = ()
    ) -> object:
        calls.append(("plan", target, store, tuple(allow_paths), *allow_plugins))
        return peaceful_plan(cached="cached" in target.name)

    def save_plan(made: Any, out: Path) -> None:
        out.write_text(made.model_dump_json())

    def explain(made: Any) -> str:
        from surrogateshap.plan.explain import explain as text

        return text(made)

    def apply(
        target: Path,
        *,
        store: Any = None,
        allow_paths: Any = (),
        allow_plugins: Any = (),
        execution: Any = (),
        emit: Any,
        stop: Any,
        wait: bool = True,
    ) -> object:
        calls.append(("apply", target, store, tuple(allow_paths), *allow_plugins))
        for event in EVENTS:
            emit(event)
        return peaceful_results()

    def work(
        target: Path,
        shard: tuple[int, int],
        *,
        store: Any,
        allow_paths: Any,
        allow_plugins: Any,
        execution: Any,
        only: Any,
        say: Any,
        stop: Any,
    ) -> None:
        calls.append(("work", target, shard, execution, only, store, os.environ.get("SURROGATESHAP_OBJECTS")))
        say("2 of 4 images\x1b[2J")

    def show(target: str, *, store: Any = None) -> object:
        calls.append(("show", target, store))
        return peaceful_results()

    def report_data(target: str, **asked: Any) -> object:
        from surrogateshap.report import ReportData

        calls.append(("report_data", target, asked))
        return ReportData(peaceful_results(), peaceful_plan())

    def diff(old: str, new: str, **asked: Any) -> object:
        from surrogateshap.record.diff import Side
        from surrogateshap.record.diff import diff as compare

        calls.append(("diff", old, new, asked))
        sides = [Side("spec", name, {"seed": name}, peaceful_plan()) for name in (old, new)]
        return compare(*sides)

    def verify(record: Path, *, say: Any, **asked: Any) -> object:
        from surrogateshap.record.checks import Check, report

        calls.append(("verify", record, asked))
        say("generating\x1b[2J") if asked["replay"] else None
        holds = "bad" not in record.name
        checks = (
            Check(step="files", name="spec", holds=True, detail=""),
            Check(name="results", holds=holds, detail="" if holds else "a\x1b[2J\nb"),
        )
        return report(record, checks, ("It is not signed.",))

    def export(target: str, out: Path, **asked: Any) -> Path:
        calls.append(("export", target, out, asked))
        return out

    def sign(record: Path, key: Path, *, passphrase: str | None = None) -> str:
        calls.append(("sign", record, key, passphrase))
        return "ed25519:abc"

    def reveal(record: Path, name: str, secret: Path) -> str:
        calls.append(("reveal", record, name, secret))
        return "{}\n"

    def doctor(store: Path, device: Any = "auto") -> object:
        from surrogateshap.health import DeviceHealth, ExtraHealth, Health

        calls.append(("doctor", store, device))
        return Health(
            python="3.11.7",
            platform="Linux\x1b[2J",
            versions={"torch": "2.5.0", "peft": None},
            devices=(
                DeviceHealth(name="cpu", free_bytes=None, total_bytes=8_000_000_000),
                DeviceHealth(name="cuda:0 NVIDIA\u202e H100", free_bytes=70_000_000_000, total_bytes=80_000_000_000),
            ),
            chosen=("cuda:0 NVIDIA\u202e H100" if device == "auto" else device,),
            usable=device == "auto",
            why="" if device == "auto" else f"no `{device}` device is there",
            store=str(store),
            store_free_bytes=1_000_000_000,
            hub_cache="/cache",
            hub_cache_free_bytes=None,
            hub_offline=True,
            missing=(ExtraHealth(extra="fid", packages=("a", "b"), remedy='pip install "surrogateshap[fid]"'),),
        )

    def calibrate(
        spec: Path, store: Path, *, allow_paths: Any = (), allow_plugins: Any = (), say: Any, stop: Any
    ) -> object:
        from surrogateshap.health import Speed

        calls.append(("calibrate", spec, store, tuple(allow_paths), tuple(allow_plugins)))
        say("generating\x1b[2J")
        return (Speed(stage="generate:image", device="cpu", images=16, seconds_per_image=0.0123),)

    def store_folder(spec: Path, store: Any) -> Path:
        return store if store is not None else spec.parent / ".surrogateshap"

    def schema() -> object:
        return {"type": "object", "title": "Zoë"}

    def template() -> str:
        return "spec_version = 1\n"

    functions = (
        *(validate, plan, save_plan, explain, apply, work, show, report_data, diff, verify, export, sign, reveal),
        *(schema, template),
    )

    def secret_beside(record: Path) -> Path:
        return Path(f"{record}.secret.json")

    for function in (*functions, doctor, calibrate, store_folder, secret_beside):
        setattr(api, function.__name__, function)
    api.calls = calls  # type: ignore[attr-defined]
    return api


def _endless(
    target: Path,
    *,
    store: Any = None,
    allow_paths: Any = (),
    allow_plugins: Any = (),
    execution: Any = (),
    emit: Any,
    stop: Any,
    wait: bool = True,
) -> object:
    """A run whose batches are short where the target says so, and otherwise longer than a test waits."""
    emit(EVENTS[0])
    emit(StageStarted(stage="a"))
    Path(os.environ["FAKE_READY"]).touch()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.02)
        if "patient" in target.name and stop.is_set():
            emit(RunInterrupted(run="r-1"))
            raise InterruptedRun("stopped")
    raise TimeoutError("nobody stopped the run")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background may have it ignored
    fake = make()
    if os.environ.get("FAKE_READY"):
        fake.apply = _endless
    sys.modules["surrogateshap.api"] = fake
    from surrogateshap.cli import main

    code = main()
    if os.environ.get("FAKE_MODULES"):
        Path(os.environ["FAKE_MODULES"]).write_text("\n".join(sys.modules))
    sys.exit(code)
