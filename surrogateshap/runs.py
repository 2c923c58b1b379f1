"""What a store says of its runs, and what it lets go: plain data."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from surrogateshap.events import DeviceProgress, Event


class _Data(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class RunSummary(_Data):
    """One run."""

    run: str
    name: str
    status: Literal["running", "done", "failed", "interrupted"]
    """A run whose process is gone counts as interrupted."""
    created: float
    """Seconds since the epoch, as `updated`."""
    updated: float
    """When it last began or changed its status."""
    spec_file: str
    stages: int
    """0 where it has told nothing, as `games`."""
    stages_done: int
    games: int


class StageSummary(_Data):
    """How far a stage of a run is."""

    id: str
    title: str
    unit: str
    done: int
    total: int
    seconds: float
    """That it took in those attempts that finished it."""
    rate: float
    """Units per second when it last worked; 0 where unknown."""


class RunDetails(RunSummary):
    """One run, all that is told of it."""

    per_stage: tuple[StageSummary, ...]
    devices: tuple[DeviceProgress, ...]
    """What each device told last."""
    warnings: tuple[str, ...]
    """Of the last attempt."""
    error: str
    """That ended the last attempt; else empty, as `remedy`."""
    remedy: str
    objects: int | None
    """Objects of the store that it uses; None where an older version made it, which didn't tell."""
    bytes: int | None
    events: tuple[Event, ...] = ()
    """The last ones, oldest first, as many as were asked for."""


class Freed(_Data):
    """Files of one kind."""

    kind: str
    """Such as `images`, `features` or `temporary files`."""
    files: int
    bytes: int


class Cleanup(_Data):
    """What was let go, or would be."""

    dry_run: bool
    files: int
    bytes: int
    kinds: tuple[Freed, ...]
    rows: int
    """Of the index, whose objects are gone."""
    kept_files: int
    """Objects that runs need, as `kept_bytes`."""
    kept_bytes: int
    unfinished: tuple[str, ...]
    """Runs that were done, and have lost objects since: `apply` makes those anew."""
    unlisted: tuple[str, ...]
    """Folders below `runs` with a record of runs that the store doesn't know: they are left alone."""
