"""Which backend does a run's work."""

from collections.abc import Callable

from surrogateshap.execute.backends import Backend
from surrogateshap.execute.device import Asked, choose_devices, threads_of
from surrogateshap.execute.workshop import Batch, Workshop, download, known_batch
from surrogateshap.plan.compile import Compiled
from surrogateshap.store import Store
from surrogateshap.store.objects import Objects


def open_backend(compiled: Compiled, store: Store, say: Callable[[str], None]) -> Backend:
    """As the spec's [execution] asks. Raises DeviceError where a device isn't there.

    `say` is told what takes long before anything can be counted: downloads.
    """
    execution = compiled.spec.execution
    batch = known_batch(compiled, store)
    return open_local(compiled, store.objects, batch, say, execution.devices, execution.workers)


def open_local(
    compiled: Compiled,
    objects: Objects,
    batch: Batch | None,
    say: Callable[[str], None],
    asked: Asked,
    workers: int | None = None,
) -> Backend:
    """The devices `asked` of this machine, one process for each where there are several, or so many `workers`.

    `batch` is what is known of a device's memory. Raises DeviceError where a device isn't there.
    """
    threads = compiled.spec.execution.threads
    devices = choose_devices(asked, workers)
    if len(devices) == 1:
        from surrogateshap.execute.backends.here import Here

        return Here(Workshop(compiled, devices[0], threads=threads, batch=batch, say=say), objects)
    from surrogateshap.execute.backends.processes import Processes

    download(compiled, compiled.checked.snapshots, say)
    own = [threads_of(device, devices, threads) for device in devices]
    return Processes(compiled, objects, list(zip(devices, own, strict=True)), batch)
