"""What workers are given and what they give back: plain data that any process can send to any other."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from surrogateshap.execute.shards import Item, cut
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled
from surrogateshap.plan.pool import Pool
from surrogateshap.text import digest


@dataclass(frozen=True)
class Job:
    """One shard: images to make, or an object of images to look at, and the encoders that look at them."""

    pool: str
    """Id of the pool whose stages it counts for."""
    items: tuple[Item, ...]
    """Images to make, all in one object; of an object that is there already none."""
    encoders: tuple[str, ...]
    """Names of encoders that have not seen the images."""
    made: str = ""
    """Digest of the object where it is there already."""
    images: int = 0
    """How many of that object's images the pool asks for."""

    @property
    def id(self) -> str:
        """The same for equal work, whichever attempt asks for it."""
        return job_id((item.key for item in self.items), self.encoders, self.made)


def job_id(keys: Iterable[str], encoders: Iterable[str], made: str = "") -> str:
    """Of the job that makes the images with these keys, or looks at an object that is there."""
    return digest({"items": list(keys), "made": made, "encoders": list(encoders)})


class Sample(BaseModel):
    """How much of a worker's device is in use; None where nothing says so."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    utilisation: float | None = None
    """Share of the time, 0 to 1, that it computed since the worker's last job."""
    memory_bytes: int | None = None
    memory_total: int | None = None


class Done(BaseModel):
    """What came of a job. Objects are durable before it is said."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    keys: tuple[str, ...]
    """Of the images made, in the order of the object's slots."""
    made: str | None
    """Digest of the object with the images; None where one that should have been there is missing or damaged."""
    where: dict[str, Any]
    """Device, number format and threads that the images were made with; empty where none were made."""
    encoded: dict[str, str]
    """Encoder's name -> digest of the object with what it says of the images."""
    seconds: dict[str, float]
    """What took how long: `generate`, and each encoder's name."""
    device: str
    """The worker's, such as `cuda:0 NVIDIA H100`."""
    at_once: int | None = None
    """Images at once that the device's memory turned out to allow."""
    sample: Sample = Sample()


def encoders_of(compiled: Compiled, pool: Pool) -> dict[str, EncoderInput]:
    """All encoders that look at a pool, by name."""
    games = [game for game in compiled.games if game.pool.id == pool.id]
    return {encoder.name: encoder for game in games for encoder in game.encoders}


def image_jobs(compiled: Compiled, pool: Pool, there: Container[str], claimed: set[str]) -> Iterator[Job]:
    """What makes a pool's images that are neither `there` nor `claimed`; claims them, for later pools."""
    encoders = tuple(encoders_of(compiled, pool))
    for shard in cut(pool, compiled.spec.execution.batch_size):
        missing = tuple(item for item in shard if item.key not in there and item.key not in claimed)
        claimed.update(item.key for item in missing)
        if missing:
            yield Job(pool.id, missing, encoders)


def all_jobs(compiled: Compiled) -> list[Job]:
    """What an empty store needs, in the order in which it would be done there."""
    claimed: set[str] = set()
    return [job for pool in compiled.pools for job in image_jobs(compiled, pool, (), claimed)]
