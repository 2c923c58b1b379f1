"""What `verify` says."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from surrogateshap.text import harmless

StepName = Literal["files", "signatures", "contents", "names", "refit", "replay"]
_PROVES: dict[StepName, str] = {
    "files": "every file is the one that the record names, none is missing and none was added",
    "signatures": "statements are those that the named keys signed",
    "contents": "the record's numbers, plan and results agree with each other; not that they were computed so",
    "names": "pseudonyms stand for the names that their owner revealed",
    "refit": "the Shapley values follow from the record's coalition values; not its intervals, which need the images' "
    "features",
    "replay": "the named model makes the record's images, as far as they were tried",
}


class Check(BaseModel):
    """One thing that was checked."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)
    step: StepName = "contents"
    name: str
    holds: bool
    detail: str


class Step(BaseModel):
    """One step, and what it proved, if it holds."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)
    name: StepName
    holds: bool
    proves: str


class VerifyReport(BaseModel):
    """All that was checked; safe to print."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)
    record: str
    holds: bool
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    """What to know: what was not checked, and why."""


def report(record: Path, checks: Iterable[Check], notes: Iterable[str] = ()) -> VerifyReport:
    """The checks, step by step."""
    listed = tuple(checks)
    steps = tuple(
        Step(name=name, holds=all(check.holds for check in own), proves=proves)
        for name, proves in _PROVES.items()
        if (own := [check for check in listed if check.step == name])
    )
    return VerifyReport(
        record=harmless(str(record)),
        holds=all(check.holds for check in listed),
        steps=steps,
        checks=listed,
        notes=tuple(notes),
    )
