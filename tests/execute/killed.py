"""Applies a spec in children that die: `killed.py SPEC FOLDER STRIDE KILLS`.

A child is killed before its k-th durable step (a file that takes its name, a transaction that commits), for every
k, and another finishes what it left, in a store of its own; then one store lives through a chain of kills, and others
through kills at random moments. Prints what every store came to as JSON. Children are forked from a parent that has
imported everything and run nothing.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import PIL.PngImagePlugin  # noqa: F401
import safetensors.numpy  # noqa: F401
from diffusers import DDIMScheduler, UNet2DModel  # noqa: F401
from transformers import AutoModelForImageClassification, ResNetForImageClassification  # noqa: F401

import surrogateshap.execute.encoders.classifier
import surrogateshap.execute.models.class_conditional
import surrogateshap.execute.run
import surrogateshap.plan.build  # noqa: F401
from surrogateshap import api
from surrogateshap.events import RunStarted, StageFinished, StageProgress, StageStarted
from surrogateshap.store import Store
from surrogateshap.store.database import Database


def die_before(step: int) -> list[int]:
    """Makes this process die before its step-th durable step; the list counts them."""
    taken = [0]

    def tick() -> None:
        taken[0] += 1
        if taken[0] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    replace, write = Path.replace, Database.write

    def replacing(self: Path, target: Any) -> Path:
        tick()
        return replace(self, target)

    @contextmanager
    def writing(self: Database) -> Iterator[Any]:
        with write(self) as connection:
            yield connection
            tick()

    Path.replace, Database.write = replacing, writing  # type: ignore[method-assign,assignment]
    return taken


def in_child(work: Callable[[], int]) -> int | None:
    """The exit code of `work` in a child; None where it was killed."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = work()
        finally:
            sys.stderr.flush()
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    return None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def attempt(spec: Path, store: Path, step: int = 0) -> int | None:
    """Applies the spec in a child; returns how many durable steps it took (at most 255), None where it was killed."""

    def work() -> int:
        taken = die_before(step)
        api.apply(spec, store=store)
        return min(taken[0], 98)

    return in_child(work)


def random_chain(spec: Path, store: Path, longest: float, rng: random.Random) -> list[str]:
    """Applies a spec in children that are killed after up to `longest` seconds, until one is quicker.

    Returns the stages in which they were killed. Raises ChildProcessError where one fails.
    """
    places: list[str] = []
    while True:
        child = os.fork()
        if child == 0:
            code = 99
            try:
                api.apply(spec, store=store)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        deadline = time.monotonic() + rng.uniform(0.0, longest)
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            time.sleep(0.001)
        else:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            if os.WEXITSTATUS(status):
                raise ChildProcessError(f"apply failed after {len(places)} kills in {store}")
            return places
        places.append(_stage(store))


def _stage(store: Path) -> str:
    """Of which the last attempt in a store told last."""
    opened = Store.existing(store)
    if opened is None:
        return "beginning"
    with opened:
        rows = opened.runs()
        told = [event for _, event in opened.last_events(rows[0].run, 20)] if rows else []
    for event in reversed(told):
        if isinstance(event, StageStarted | StageProgress | StageFinished):
            return event.stage.partition(":")[0]
        if isinstance(event, RunStarted):
            break
    return "beginning"


def came_to(store: Path) -> str:
    """Digest of the run's files; a temporary one that a kill left behind is none of them."""
    (run,) = (store / "runs").iterdir()
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(run.glob("[!.]*"))}
    return json.dumps(files)


def main(spec: Path, folder: Path, stride: int, at_random: int) -> dict[str, Any]:
    """What an undisturbed run, every killed and resumed one, and chains of killed ones came to."""
    attempt(spec, folder / "whole")
    found: dict[str, Any] = {"whole": came_to(folder / "whole"), "killed": 0, "resumed": [], "codes": []}
    step = 1
    while attempt(spec, folder / f"k{step}", step) is None:
        found["killed"] += 1
        found["codes"].append(attempt(spec, folder / f"k{step}"))
        found["resumed"].append(came_to(folder / f"k{step}"))
        step += stride
    chain = 0
    while attempt(spec, folder / "chain", 10 + 3 * chain) is None:
        chain += 1
    found["chain"], found["links"] = came_to(folder / "chain"), chain
    began = time.monotonic()
    attempt(spec, folder / "timed")
    longest, rng, places = time.monotonic() - began, random.Random(0), list[str]()
    while len(places) < at_random:
        store = folder / f"r{len(places)}"
        places += random_chain(spec, store, longest, rng)
        found["resumed"].append(came_to(store))
        shutil.rmtree(store)
    found["places"] = places
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))))
