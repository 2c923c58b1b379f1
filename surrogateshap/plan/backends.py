"""Whether the backend that [execution] names can be had, found without importing it."""

from collections.abc import Iterator
from importlib.util import find_spec

from surrogateshap.spec.model import Spec

RAY_MISSING = "`ray` needs Ray, which is not installed"
RAY_INSTALL = 'pip install "surrogateshap[ray]"'
SLURM_MISSING = "`slurm` needs submitit, which is not installed"
SLURM_INSTALL = 'pip install "surrogateshap[slurm]"'
GROWING = "with `stop_when` images are chosen while the run goes on: there are no shards to hand out beforehand"
GROWING_REMEDY = 'Leave `stop_when` out, or apply it with the backend "local" or "ray".'


def backend_problems(spec: Spec) -> Iterator[tuple[str, str, str]]:
    """Key, message and remedy of what can't be done."""
    execution = spec.execution
    if execution.backend == "ray":
        if find_spec("ray") is None:
            yield "backend", RAY_MISSING, RAY_INSTALL
        if execution.devices not in ("auto", "cpu", "cuda"):
            remedy = 'Take `devices = "auto"`, "cpu" or "cuda", and how many of them with `workers`.'
            yield "devices", "with Ray it is the cluster that gives out devices, by their kind alone", remedy
    elif execution.backend == "slurm":
        if find_spec("submitit") is None:
            yield "backend", SLURM_MISSING, SLURM_INSTALL
        if spec.budget.rules:
            yield "backend", GROWING, GROWING_REMEDY
