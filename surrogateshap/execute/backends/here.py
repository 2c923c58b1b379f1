"""One device, in this process: no second start of torch, no copies between processes."""

import queue
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np

from surrogateshap.execute.assembly import Assembly
from surrogateshap.execute.backends import Outcome
from surrogateshap.execute.encoders import View
from surrogateshap.execute.jobs import Done, Job
from surrogateshap.execute.models import DenoisingLosses
from surrogateshap.execute.shards import Item
from surrogateshap.execute.workshop import Workshop
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.store.objects import Objects


class Here:
    """The backend of a run on one device."""

    workers = 1

    def __init__(self, workshop: Workshop, objects: Objects) -> None:
        self._assembly = Assembly(workshop, objects)
        self._ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def submit(self, job: Job) -> None:
        """See Backend."""

        def end(future: "Future[Done]") -> None:
            if future.cancelled():
                return
            error = future.exception()
            if error is None:
                self._ended.put(Outcome(job, future.result().device, done=future.result()))
            else:
                wrapped = error if isinstance(error, Exception) else RuntimeError(repr(error))
                self._ended.put(Outcome(job, "", error=wrapped))

        self._assembly.submit(job).add_done_callback(end)

    def wait(self, seconds: float) -> list[Outcome]:
        """See Backend."""
        try:
            found = [self._ended.get(timeout=seconds)]
        except queue.Empty:
            return []
        while not self._ended.empty():
            found.append(self._ended.get())
        return found

    def drop(self) -> None:
        """See Backend."""
        self._assembly.drop()

    def retire(self, worker: str) -> bool:
        """See Backend: it is the only one."""
        return False

    @property
    def device_name(self) -> str:
        """See Studio."""
        return self._assembly.ask(lambda workshop: workshop.device_name).result()

    def prepare(self, encoder: EncoderInput | None) -> None:
        """See Studio."""
        self._assembly.ask(lambda workshop: workshop.prepare(encoder)).result()

    def encode(self, encoder: EncoderInput, images: np.ndarray) -> View:
        """See Studio."""
        return self._assembly.ask(lambda workshop: workshop.encode(encoder, images)).result()

    def encode_texts(self, encoder: EncoderInput, texts: Sequence[str]) -> np.ndarray:
        """See Studio."""
        return self._assembly.ask(lambda workshop: workshop.encode_texts(encoder, texts)).result()

    def denoising_losses(self, items: Sequence[Item]) -> DenoisingLosses:
        """See Studio."""
        return self._assembly.ask(lambda workshop: workshop.denoising_losses(items)).result()

    def close(self, *, at_once: bool = False) -> None:
        """See Backend: a thread in the middle of a batch can't be ended, only left alone."""
        self._assembly.close(wait=not at_once)
