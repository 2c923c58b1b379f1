"""What workers on other machines leave behind: one immutable file per shard, `shards/<run>/<job id>.json`."""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from surrogateshap.execute.jobs import Done, Job, encoders_of, job_id
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled
from surrogateshap.record.statement import Device
from surrogateshap.store.files import Files
from surrogateshap.store.objects import Objects, arrays_from_bytes, is_digest

_NAME = re.compile(r"[0-9a-f]{64}\.json")
_LARGEST = 16 << 20
"""Bytes of a file that is read: a shard's keys take some megabytes at most."""


class ShardFile(BaseModel):
    """A job that was done for a pool, on a store that had nothing of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    version: Literal[1] = 1
    pool: str
    done: Done

    @model_validator(mode="after")
    def _whole(self) -> "ShardFile":
        done = self.done
        named = [*done.keys, done.made or "", *done.encoded.values()]
        if not done.keys or len(set(done.keys)) < len(done.keys) or not all(map(is_digest, named)):
            raise ValueError("names of images or objects are missing or wrong")
        if set(done.seconds) != {"generate", *done.encoded} or min(done.seconds.values()) < 0:
            raise ValueError("seconds of other work")
        if done.at_once is not None and done.at_once < 1:
            raise ValueError("no images at once")
        Device.model_validate(done.where, strict=True)
        return self


class ShardFiles:
    """The files of one run. Whoever reads them trusts none: they may come from strangers, or be cut off."""

    def __init__(self, compiled: Compiled, files: Files, objects: Objects) -> None:
        self._compiled, self._files, self._objects = compiled, files, objects
        self._folder = f"shards/{compiled.run}"

    def names(self) -> Iterator[str]:
        """Of the files that are there."""
        for path, size in self._files.list(self._folder):
            name = path.rpartition("/")[2]
            if path == f"{self._folder}/{name}" and _NAME.fullmatch(name) and size <= _LARGEST:
                yield name

    def write(self, job: Job, done: Done) -> None:
        """Keeps what came of a job."""
        data = ShardFile(pool=job.pool, done=done).model_dump_json().encode()
        self._files.write(f"{self._folder}/{job.id}.json", data)

    def has(self, job: Job) -> bool:
        """Whether a job is done, and all of it is there."""
        found = self.read(f"{job.id}.json")
        return found is not None and self.holds(found)

    def read(self, name: str) -> ShardFile | None:
        """A file's content; None where it is not what a worker writes."""
        data = self._files.read(f"{self._folder}/{name}", _LARGEST + 1)
        if data is None or len(data) > _LARGEST:
            return None
        try:
            found = ShardFile.model_validate_json(data)
        except (ValidationError, RecursionError):
            return None
        return found if f"{job_id(found.done.keys, found.done.encoded)}.json" == name else None

    def holds(self, found: ShardFile) -> bool:
        """Whether it tells of images of the plan, and its objects are there and hold as many."""
        encoders = self._encoders.get(found.pool)
        if encoders is None or set(found.done.encoded) != set(encoders):
            return False
        if not self._keys[found.pool].issuperset(found.done.keys) or not self._objects.has(found.done.made or ""):
            return False
        images = len(found.done.keys)
        return all(self._fits(encoders[name], made, images) for name, made in found.done.encoded.items())

    def _fits(self, encoder: EncoderInput, made: str, images: int) -> bool:
        """Whether an object can be what the encoder says of so many images."""
        data = self._objects.get(made, "safetensors")
        arrays = arrays_from_bytes(data) if data is not None else None
        if arrays is None or set(arrays) != {"features", "probabilities"}:
            return False
        for array, width in (
            (arrays["features"], encoder.features),
            (arrays["probabilities"], len(encoder.labels) or None),
        ):
            if array.ndim != 2 or len(array) != images or array.dtype.kind != "f":
                return False
            if width is not None and array.shape[1] != width:
                return False
        return True

    @cached_property
    def _keys(self) -> dict[str, frozenset[str]]:
        return {pool.id: frozenset(pool.keys) for pool in self._compiled.pools}

    @cached_property
    def _encoders(self) -> dict[str, dict[str, EncoderInput]]:
        return {pool.id: encoders_of(self._compiled, pool) for pool in self._compiled.pools}
