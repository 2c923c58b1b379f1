"""What runs in a Ray actor: one assembly, kept warm from job to job. Its twin in the run is `on_ray.py`.

What it is sent and sends is pickled here, so that errors arrive as they are and arrays can be written to.
"""

import asyncio
import os
import pickle
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from typing import Any

from surrogateshap.errors import RunError
from surrogateshap.execute.assembly import Assembly, Shelf
from surrogateshap.execute.backends.faults import breaks_device, plain
from surrogateshap.execute.environment import versions
from surrogateshap.execute.jobs import Done, Job
from surrogateshap.execute.workshop import Batch
from surrogateshap.plan import keys
from surrogateshap.plan.compile import Compiled
from surrogateshap.store.objects import Objects, Suffix
from surrogateshap.text import digest, harmless


@dataclass(frozen=True)
class Setup:
    """What an actor needs before its first job; pickled, and unpickled by the same version alone."""

    compiled: Compiled
    kind: str
    """Of the device: `cpu` or `cuda`."""
    objects: Path | None
    """Folder of the store's objects; None where they lie elsewhere, and workers leave them to the run."""
    probe: Path
    """A file of the store that is there while the run goes on: who doesn't see it doesn't see the store."""
    batch: Batch | None


class Luggage:
    """Objects of a worker that doesn't see the store: brought with a job, and taken along with what came of it."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}
        self._brought: defaultdict[str, list[bytes]] = defaultdict(list)

    def put(self, data: bytes, suffix: Suffix) -> str:
        """See Shelf."""
        name = digest(data)
        self._held[name] = data
        return name

    def get(self, name: str, suffix: Suffix) -> bytes | None:
        """See Shelf; what was brought is read once."""
        brought = self._brought[name]
        return brought.pop() if brought else self._held.get(name)

    def bring(self, name: str, data: bytes) -> None:
        """Has it, until it is read: as often as it was brought, for two jobs may look at the same images."""
        self._brought[name].append(data)

    def take(self, names: Iterable[str]) -> dict[str, bytes]:
        """Those of them that are here, which then are no more: equal objects of two jobs are taken once."""
        found = ((name, self._held.pop(name, None)) for name in names)
        return {name: data for name, data in found if data is not None}


class Actor:
    """One worker. Answers are pickles of `(kind, what)`: `done`, `error`, or `broken` with the device's last words."""

    def __init__(self) -> None:
        self._luggage: Luggage | None = None

    async def meet(self) -> dict[str, Any]:
        """Where it is, and which code it runs: nothing but this is asked of another version."""
        import ray

        context = ray.get_runtime_context()
        gpus = context.get_accelerator_ids().get("GPU", [])
        return {
            "versions": versions(),
            "method": keys.METHOD,
            "node": context.get_node_id(),
            "address": ray.util.get_node_ip_address(),
            "gpu": gpus[0] if gpus else "",
        }

    async def live(self) -> None:
        """Never returns: that it fails says at once that the actor is no more."""
        await asyncio.Event().wait()

    async def start(self, setup: bytes, threads: int | None) -> bytes:
        """Its device's name, and whether it sees the store."""
        return await asyncio.to_thread(self._start, setup, threads)

    async def do(self, data: bytes, brought: bytes | None) -> tuple[bytes, dict[str, bytes]]:
        """What came of a job, and by digest the objects that the run has to keep itself.

        `brought` is the object that the job looks at, for who doesn't see the store.
        """
        job: Job = pickle.loads(data)
        if self._luggage is not None and brought is not None:
            self._luggage.bring(job.made, brought)
        answer, done = await self._hear(self._assembly.submit(job))
        if self._luggage is None:
            return answer, {}
        return answer, self._luggage.take([done.made or "", *done.encoded.values()] if isinstance(done, Done) else [])

    async def ask(self, method: str, arguments: bytes) -> bytes:
        """What the workshop answers."""
        return (await self._hear(self._assembly.ask(methodcaller(method, *pickle.loads(arguments)))))[0]

    async def drop(self) -> None:
        """See Assembly."""
        self._assembly.drop()

    async def end(self) -> None:
        """Finishes the steps that it is in."""
        await asyncio.to_thread(self._assembly.close)

    def _start(self, data: bytes, threads: int | None) -> bytes:
        from surrogateshap.execute.device import choose_devices
        from surrogateshap.execute.workshop import Workshop

        setup: Setup = pickle.loads(data)
        try:
            _refuse_absent(setup.compiled)
            device = choose_devices(setup.kind)[0]
            workshop = Workshop(setup.compiled, device, threads=threads, batch=setup.batch)
            shelf: Shelf
            if setup.objects is not None and setup.probe.exists() and os.access(setup.objects, os.W_OK):
                self._luggage, shelf = None, Objects(setup.objects, read_only=False)
            else:
                self._luggage = shelf = Luggage()
            self._assembly = Assembly(workshop, shelf)
            return pickle.dumps(("done", (workshop.device_name, self._luggage is None)))
        except Exception as error:
            return pickle.dumps(("error", plain(error)))

    async def _hear(self, future: "Future[Any]") -> tuple[bytes, Any]:
        try:
            found = await asyncio.wrap_future(future)
        except Exception as error:
            if breaks_device(error):
                return pickle.dumps(("broken", str(error).partition("\n")[0])), None
            return pickle.dumps(("error", plain(error))), None
        return pickle.dumps(("done", found)), found


def _refuse_absent(compiled: Compiled) -> None:
    """Raises RunError where a node lacks what the run reads; what comes from the hub it downloads itself."""
    checked = compiled.checked
    needed = [checked.model_path, *(adapter.path for adapter in checked.adapters)]
    needed += [encoder.path for encoder in checked.encoders.values() if encoder.path is not None]
    if compiled.flags is not None or any((pool.rows >= 0).any() for pool in compiled.pools):
        needed.append(checked.manifest.path)
    cached = [snapshot.folder for snapshot in checked.snapshots.values()]
    for path in needed:
        if not path.exists() and not any(path.is_relative_to(folder) for folder in cached):
            remedy = "Put the spec's folder and all that it names where every node finds it under the same path."
            raise RunError(f"{harmless(str(path), 300)} is not there", remedy)
