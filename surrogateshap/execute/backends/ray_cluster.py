"""Ray itself: the cluster that a run joins or starts, what it has, and what a worker takes of it."""

import logging
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from surrogateshap.errors import DeviceError, MissingExtraError, RunError
from surrogateshap.spec.model import ExecutionSection
from surrogateshap.text import harmless

ADDRESS = "RAY_ADDRESS"


@dataclass(frozen=True)
class Need:
    """How many workers there are to be, and what each takes of the cluster."""

    workers: int
    device: str
    """As the worker sees it: a GPU of the cluster is the only one that it sees."""
    cpus: int
    gpus: int

    def __str__(self) -> str:
        return "a GPU" if self.gpus else f"{self.cpus} CPU{'s' if self.cpus > 1 else ''}"


def needs(nodes: Sequence[Mapping[str, Any]], execution: ExecutionSection) -> Need:
    """What the spec's [execution] asks of nodes with so many `CPU` and `GPU` each.

    Raises DeviceError where it asks for GPUs and there are none.
    """
    asked = (execution.devices,) if isinstance(execution.devices, str) else execution.devices
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    cuda = any(name.startswith("cuda") for name in asked)
    if cuda and not gpus:
        raise DeviceError("no node of the Ray cluster has a GPU", 'Set `devices = "auto"` under [execution].')
    if gpus and (cuda or "auto" in asked):
        return Need(execution.workers or gpus, "cuda:0", 0, 1)
    device = "mps" if "mps" in asked else "cpu"
    return Need(execution.workers or max(1, len(nodes)), device, max(1, execution.threads or 1), 0)


class Cluster:
    """A connection to Ray. One that was open already stays open."""

    def __init__(self) -> None:
        """Joins the cluster that RAY_ADDRESS names, or starts a quiet one. Raises MissingExtraError and RunError."""
        try:
            import ray
        except ImportError as error:
            remedy = 'pip install "surrogateshap[ray]"'
            raise MissingExtraError('`backend = "ray"` needs Ray, which is not installed', remedy) from error
        self.ray: Any = ray
        self.errors: type[Exception] = ray.exceptions.RayError
        """That Ray raises when an actor or a node is lost."""
        self._own = not ray.is_initialized()
        if self._own:
            self._connect(os.environ.get(ADDRESS, ""))

    def nodes(self) -> list[dict[str, Any]]:
        """What each node that is alive has."""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def actor(self, kind: type, need: Need, calls: int) -> Any:
        """A new actor that answers so many calls at a time. It is not made anew by Ray: the run must know."""
        options = {"num_cpus": need.cpus, "num_gpus": need.gpus, "max_concurrency": calls, "max_restarts": 0}
        return self.ray.remote(**options)(kind).remote()

    def wait(self, references: Sequence[Any], seconds: float | None, *, every: bool = False) -> list[Any]:
        """Those references that are answered, or whose actor is lost; waits for one, or for `every` one."""
        if not references:
            time.sleep(seconds or 0.0)
            return []
        wanted = len(references) if every else 1
        ready, left = self.ray.wait(list(references), num_returns=wanted, timeout=seconds)
        if left and ready and not every:
            ready += self.ray.wait(left, num_returns=len(left), timeout=0)[0]
        return list(ready)

    def close(self) -> None:
        """Leaves the cluster, or ends it where it is the run's own."""
        if self._own:
            self.ray.shutdown()
            self._own = False

    def _connect(self, address: str) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
        if not address:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # what runs here is told to nobody
        main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGTERM)
        try:
            self.ray.init(address=address or "local", **quiet)
        except Exception as error:
            with suppress(Exception):
                self.ray.shutdown()
            lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            where = f"the Ray cluster at {harmless(address, 60)} can't be joined" if address else "Ray can't be started"
            remedy = f"Set {ADDRESS} to the address that `ray start --head` printed, and run on a node of the cluster."
            raise RunError(f"{where}: {harmless(lines[0], 300)}", remedy) from error
        finally:
            if main:  # Ray sets one that ends the run at once
                signal.signal(signal.SIGTERM, before)
