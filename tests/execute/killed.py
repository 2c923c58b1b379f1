"""Applies a spec in children that die: `killed.py SPEC FOLDER STEP…`.

A child is killed before its k-th durable step (a file that takes its name, a transaction that commits), for every
k, and another finishes what it left, in a store of its own; then one store lives through a chain of kills. Prints
what every store came to as JSON. Children are forked from a parent that has imported everything and run nothing.
"""

import hashlib
import json
import os
import signal
import sys
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


def came_to(store: Path) -> str:
    """Digest of the run's files; a temporary one that a kill left behind is none of them."""
    (run,) = (store / "runs").iterdir()
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(run.glob("[!.]*"))}
    return json.dumps(files)


def main(spec: Path, folder: Path, stride: int) -> dict[str, Any]:
    """What an undisturbed run, every killed and resumed one, and a chain of killed ones came to."""
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
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
