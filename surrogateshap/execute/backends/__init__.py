"""Where jobs are done: in this process, in processes of this machine, or on other machines.

A backend only moves jobs and results. What follows when a worker fails or is lost is the matter of `execute/crew.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from surrogateshap.execute.encoders import View
from surrogateshap.execute.jobs import Done, Job
from surrogateshap.execute.models import DenoisingLosses
from surrogateshap.execute.shards import Item
from surrogateshap.plan.check_encoders import EncoderInput


@dataclass(frozen=True)
class Outcome:
    """How one job ended: `done`, or `error`, or `lost`, whichever is given."""

    job: Job
    worker: str
    """Name of the worker that had it."""
    done: Done | None = None
    error: Exception | None = None
    """Raised by the worker: it would be raised again."""
    lost: str = ""
    """How the worker ended before the job did; another may do it."""


class Studio(Protocol):
    """Single things asked of a worker, for work that is not cut into jobs. Raises DeviceError and RunError."""

    @property
    def device_name(self) -> str:
        """Such as `cpu` or `cuda:0 NVIDIA H100`."""
        ...

    def prepare(self, encoder: EncoderInput | None) -> None:
        """Loads an encoder, or the frozen model, if that has not happened yet."""
        ...

    def encode(self, encoder: EncoderInput, images: np.ndarray) -> View:
        """What an encoder says of images (N, H, W, C) uint8."""
        ...

    def encode_texts(self, encoder: EncoderInput, texts: Sequence[str]) -> np.ndarray:
        """(C, d): what an encoder of images and texts says of C texts."""
        ...

    def denoising_losses(self, items: Sequence[Item]) -> DenoisingLosses:
        """How badly the frozen model denoises the items' training images."""
        ...


class Backend(Studio, Protocol):
    """Workers that do jobs, and answer single questions while no job is at work. Used from one thread."""

    @property
    def workers(self) -> int:
        """How many there are, or will be once they have started."""
        ...

    def submit(self, job: Job) -> None:
        """Gives it to some worker."""
        ...

    def wait(self, seconds: float) -> list[Outcome]:
        """What has ended; waits so long at most where nothing has."""
        ...

    def drop(self) -> None:
        """Jobs that are not begun come to nothing: they end with DroppedError, soon."""
        ...

    def retire(self, worker: str) -> bool:
        """Gives a worker no more jobs; False where no other could do them."""
        ...

    def close(self, *, at_once: bool = False) -> None:
        """Ends the workers: after the steps that they are in, or `at_once` where that can be."""
        ...
