"""What is known of one contributor of a finished run beside its values."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the estimators take long to import, and the terminal UI needs none of them to start
    from surrogateshap.estimate.by_size import SizeValue as SizeValue


@dataclass(frozen=True)
class Condition:
    """One of the conditions of a contributor's rows."""

    name: str
    rows: int


@dataclass(frozen=True)
class Overlap:
    """A contributor of another grouping that has rows in common."""

    grouping: str
    name: str
    rows: int
    """In common."""
    share: float
    """Of the other contributor's rows, from 0 to 1."""


@dataclass(frozen=True)
class ContributorData:
    """One contributor in one game; what can't be had is empty, and `notes` say why."""

    rows: int | None = None
    conditions: tuple[Condition, ...] = ()
    """The most frequent first, at most 20 of them."""
    conditions_in_all: int = 0
    overlaps: tuple[Overlap, ...] = ()
    """Of all other groupings, those with the most rows in common first, at most 20 of them."""
    sizes: "tuple[SizeValue, ...]" = ()
    images: tuple[bytes, ...] = ()
    """PNG: those of the pool that weigh most for the contributor."""
    notes: tuple[str, ...] = ()
