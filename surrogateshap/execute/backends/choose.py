"""Which backend does a run's work."""

import os
import threading
from collections.abc import Callable
from importlib.util import find_spec

from surrogateshap.errors import MissingExtraError
from surrogateshap.execute.backends import Backend
from surrogateshap.execute.workshop import Batch, Workshop, download, known_batch
from surrogateshap.plan.backends import RAY_INSTALL, RAY_MISSING, SLURM_INSTALL, SLURM_MISSING
from surrogateshap.plan.compile import Compiled
from surrogateshap.store import Store
from surrogateshap.store.objects import Objects


def open_backend(
    compiled: Compiled, store: Store, say: Callable[[str], None], stop: threading.Event | None = None
) -> Backend:
    """As the spec's [execution] asks.

    Raises DeviceError where a device isn't there, RunError where a cluster isn't, MissingExtraError without a package.
    `say` is told what takes long before anything can be counted: downloads, and waiting for a cluster, which `stop`
    ends.
    """
    batch = known_batch(compiled, store)
    if compiled.spec.execution.backend == "ray":
        if find_spec("ray") is None:
            raise MissingExtraError(RAY_MISSING, RAY_INSTALL)
        # Read when Ray is imported: of workers that died it would print on standard output, where data goes.
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
        from surrogateshap.execute.backends.on_ray import OnRay

        download(compiled, compiled.checked.snapshots, say)
        return OnRay(compiled, store, batch, say, stop or threading.Event())
    if compiled.spec.execution.backend == "slurm":
        if find_spec("submitit") is None:
            raise MissingExtraError(SLURM_MISSING, SLURM_INSTALL)
        from surrogateshap.execute.backends.on_slurm import OnSlurm

        # The spec's devices are those of the tasks; where `apply` runs there may be none.
        here = compiled.with_execution({"backend": "local", "devices": "auto", "workers": None})
        return OnSlurm(compiled, store, lambda: open_local(here, store.objects, batch, say), say)
    return open_local(compiled, store.objects, batch, say)


def open_local(compiled: Compiled, objects: Objects, batch: Batch | None, say: Callable[[str], None]) -> Backend:
    """Devices of this machine. `batch` is what is known of their memory. Raises DeviceError where one isn't there."""
    from surrogateshap.execute.device import choose_devices, threads_of

    execution = compiled.spec.execution
    devices = choose_devices(execution.devices, execution.workers)
    if len(devices) == 1:
        from surrogateshap.execute.backends.here import Here

        return Here(Workshop(compiled, devices[0], threads=execution.threads, batch=batch, say=say), objects)
    from surrogateshap.execute.backends.processes import Processes

    download(compiled, compiled.checked.snapshots, say)
    threads = [threads_of(device, devices, execution.threads) for device in devices]
    return Processes(compiled, objects, list(zip(devices, threads, strict=True)), batch)
