"""Which backend does a run's work."""

from collections.abc import Callable

from surrogateshap.execute.backends import Backend
from surrogateshap.execute.workshop import Workshop, download, known_batch
from surrogateshap.plan.compile import Compiled
from surrogateshap.store import Store


def open_backend(compiled: Compiled, store: Store, say: Callable[[str], None]) -> Backend:
    """As the spec's [execution] asks. Raises DeviceError where a device isn't there.

    `say` is told what takes long before anything can be counted: downloads.
    """
    from surrogateshap.execute.device import choose_devices, threads_of

    execution, batch = compiled.spec.execution, known_batch(compiled, store)
    devices = choose_devices(execution.devices, execution.workers)
    if len(devices) == 1:
        from surrogateshap.execute.backends.here import Here

        workshop = Workshop(compiled, devices[0], threads=execution.threads, batch=batch, say=say)
        return Here(workshop, store.objects)
    from surrogateshap.execute.backends.processes import Processes

    download(compiled, compiled.checked.snapshots, say)
    threads = [threads_of(device, devices, execution.threads) for device in devices]
    return Processes(compiled, store.objects, list(zip(devices, threads, strict=True)), batch)
