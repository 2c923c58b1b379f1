"""Whether the backend that [execution] names can be had, found without importing it."""

from collections.abc import Iterator
from importlib.util import find_spec

from surrogateshap.spec.model import ExecutionSection

RAY_MISSING = "`ray` needs Ray, which is not installed"
RAY_INSTALL = 'pip install "surrogateshap[ray]"'


def backend_problems(execution: ExecutionSection) -> Iterator[tuple[str, str, str]]:
    """Key, message and remedy of what can't be done."""
    if execution.backend != "ray":
        return
    if find_spec("ray") is None:
        yield "backend", RAY_MISSING, RAY_INSTALL
    if execution.devices not in ("auto", "cpu", "cuda"):
        remedy = 'Take `devices = "auto"`, "cpu" or "cuda", and how many of them with `workers`.'
        yield "devices", "with Ray it is the cluster that gives out devices, by their kind alone", remedy
