"""What changed between the specs and inputs of two runs, in words. Pure; all that screens know of it."""

from dataclasses import dataclass

from surrogateshap.plan.differences import changes
from surrogateshap.plan.model import Plan


@dataclass(frozen=True)
class SpecChanges:
    """Keys and inputs that differ, each in words; None where one of the plans is not known."""

    said: tuple[str, ...] | None


def spec_changes(left: Plan | None, right: Plan | None) -> SpecChanges:
    """From the left run to the right one; what only says how it is computed is left out."""
    if left is None or right is None:
        return SpecChanges(None)
    return SpecChanges(changes(left.model_dump(mode="json"), right.spec, right.inputs))
