"""What a run has to know of a Ray cluster before it asks for workers, and of the way in which they end."""

import contextlib
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import ray

from surrogateshap.errors import DeviceError, RunError
from surrogateshap.plan import keys
from surrogateshap.text import harmless

_DETAIL = "Worker exit detail: "
"""Where Ray's account of a death comes to the point."""
_LAST_WORDS = 160
"""Characters of it that are told."""

_ANSWERS = 10.0
"""Seconds that a cluster may take to answer: Ray itself would try for minutes."""
_OF_PIXELS = ("torch", "diffusers", "transformers", "peft")
"""Packages whose version may change images a little: the record names those of the machine that runs `apply`."""


@dataclass(frozen=True)
class Share:
    """What the workers are to be, and what the cluster is asked for."""

    kind: str
    """Of their devices: `cpu` or `cuda`."""
    workers: int
    cpus: int
    """That each asks for where it computes on them."""
    threads: int | None
    """That the spec asks for."""


def share_out(
    asked: str, workers: int | None, threads: int | None, resources: Mapping[str, float], nodes: int
) -> Share:
    """What [execution] comes to on a cluster with these resources, `nodes` of which have CPUs.

    Raises DeviceError where it has no GPU and GPUs are asked for, but not how many.
    """
    gpus = int(resources.get("GPU", 0))
    if asked == "cuda" and not gpus and workers is None:
        remedy = "Set `workers` where it starts nodes with GPUs on demand."
        raise DeviceError("the Ray cluster has no GPU", remedy)
    kind = "cuda" if asked == "cuda" or (asked == "auto" and gpus) else "cpu"
    return Share(kind, workers or (gpus if kind == "cuda" else max(1, nodes)), max(1, threads or 1), threads)


def threads_on(node: str, share: Share) -> int | None:
    """CPU threads of a worker: those that the spec asks for, else its part of its node's CPUs.

    None leaves them to the libraries. Ray itself would allow one for each CPU that was asked for.
    """
    if share.threads is not None or share.kind != "cpu":
        return share.threads
    cpus = {one["NodeID"]: int(one["Resources"].get("CPU", 0)) for one in ray.nodes() if one["Alive"]}
    nodes = max(1, sum(number > 0 for number in cpus.values()))
    return max(1, cpus.get(node, 1) // -(-share.workers // nodes))


def connect() -> bool:
    """Connects as RAY_ADDRESS says, else to the cluster of this machine, else to one that it starts.

    False where this process is connected already. Raises RunError.
    """
    if ray.is_initialized():
        return False
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Ray takes SIGTERM for itself: it would no longer stop the run after its shards.
    handler = signal.getsignal(signal.SIGTERM) if threading.current_thread() is threading.main_thread() else None
    try:
        if named := re.fullmatch(r"\[?([^\[\]/]+)\]?:([0-9]{1,5})", os.environ.get("RAY_ADDRESS", "").strip()):
            socket.create_connection((named[1], int(named[2])), _ANSWERS).close()
        # Ray has workers import from the working directory first, and a stranger's code may lie there.
        with contextlib.chdir(os.sep):
            ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (RuntimeError, ValueError, OverflowError, OSError) as error:
        reason = harmless(str(error).strip().partition("\n")[0]) or type(error).__name__
        remedy = "Look at RAY_ADDRESS, and ask `ray status`; clusters with tokens want RAY_AUTH_MODE=token."
        raise RunError(f"no Ray cluster can be had: {reason}", remedy) from None
    finally:
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)
    return True


def compare_code(
    node: str, theirs: Mapping[str, str], method: int, ours: Mapping[str, str]
) -> tuple[str, tuple[str, ...]]:
    """How a node's versions differ from ours: in what no run goes together with, and in what is only to be told."""
    own, here = harmless(theirs["surrogateshap"], 40), ours["surrogateshap"]
    refused = f"node {node} has surrogateshap {own} (method {method}), this machine {here} (method {keys.METHOD})"
    told = tuple(
        f"node {node} has {name} {harmless(theirs[name], 40)}; the record names this machine's, {ours[name]}"
        for name in _OF_PIXELS
        if theirs[name] != ours[name]
    )
    return ("" if (own, method) == (here, keys.METHOD) else refused), told


def last_words(error: Exception) -> str:
    """How a worker ended, as Ray's error tells it, without its advice."""
    text = str(error).strip()
    if "low on memory" in text:
        return "was killed: its node ran low on memory"
    *_, last = text.splitlines() or [type(error).__name__]
    detail = last.partition(_DETAIL)[2] or last
    return f"died: {harmless(detail.partition(' Some common causes')[0], _LAST_WORDS)}"
