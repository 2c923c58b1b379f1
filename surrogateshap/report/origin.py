"""What a report is made from, beside the results: the plan, digests, the environment and sample images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from surrogateshap.plan.model import Plan
from surrogateshap.record.comparison import ComparisonReport
from surrogateshap.record.results import Results
from surrogateshap.record.sample import Sample


@dataclass(frozen=True)
class Origin:
    """What the record says of where results come from."""

    files: tuple[tuple[str, str], ...] = ()
    """Name and SHA-256 of the files beside the record."""
    versions: tuple[tuple[str, str], ...] = ()
    """Package and version."""
    commits: tuple[tuple[str, str], ...] = ()
    """What a repository is of, and its commit."""
    devices: tuple[str, ...] = ()
    batch_size: int | None = None

    @classmethod
    def of(cls, record: Any) -> "Origin | None":
        """From a record as JSON data; None where it is of another form."""
        try:
            predicate = record["predicate"]
            environment = predicate["environment"]
            return cls(
                files=tuple((str(one["name"]), str(one["digest"]["sha256"])) for one in record["subject"]),
                versions=tuple((str(name), str(number)) for name, number in environment["versions"].items()),
                commits=tuple(
                    (what, _commit(environment[key]))
                    for key, what in (("code", "surrogateshap"), ("project", "the spec's repository"))
                    if environment.get(key) is not None
                ),
                devices=tuple(_device(one) for one in environment["devices"]),
                batch_size=int(environment["batch_size"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


def _device(one: Mapping[str, Any]) -> str:
    return f"{one['device']}, {one['dtype']}, threads: {one['threads']}"


def _commit(one: Mapping[str, Any]) -> str:
    return f"{one['commit']}{', with changes' if one['dirty'] else ''}"


@dataclass(frozen=True)
class ReportData:
    """All that a report shows."""

    results: Results
    plan: Plan | None = None
    """None where it isn't known, as `origin`: the report then says nothing of it."""
    origin: Origin | None = None
    samples: tuple[Sample, ...] = ()
    """Empty where nobody asked for them."""
    comparisons: tuple[ComparisonReport, ...] = ()
    """Other methods on the run, where `surrogateshap compare` was asked for them."""
