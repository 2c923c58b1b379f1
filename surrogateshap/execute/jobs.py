"""What workers are given and what they give back: plain data that any process can send to any other."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from surrogateshap.execute.shards import Item
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
        return digest({"items": [item.key for item in self.items], "made": self.made, "encoders": self.encoders})


class Sample(BaseModel):
    """How much of a worker's device is in use; None where nothing says so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    utilisation: float | None = None
    """Share of the time, 0 to 1, that it computed since the worker's last job."""
    memory_bytes: int | None = None
    memory_total: int | None = None


class Done(BaseModel):
    """What came of a job. Objects are durable before it is said."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
