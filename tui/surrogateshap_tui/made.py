"""What a finished run's folder says of where its results come from: the plan, and the record's own words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surrogateshap.plan.model import Plan

_LIMIT = 64 << 20


@dataclass(frozen=True)
class Provenance:
    """What a record says, as far as it is there: it may come from a stranger, or from another version."""

    subjects: tuple[tuple[str, str], ...] = ()
    """Files beside it, each with its SHA-256."""
    inputs: tuple[tuple[str, str, str], ...] = ()
    """Role, name and SHA-256."""
    versions: tuple[tuple[str, str], ...] = ()
    devices: tuple[str, ...] = ()
    batch_size: str = ""
    seeds: tuple[tuple[str, str], ...] = ()
    limits: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: Any) -> "Provenance":
        """From a record as JSON data."""
        predicate = _map(_map(record).get("predicate"))
        environment = _map(predicate.get("environment"))
        return cls(
            subjects=tuple(
                (str(one.get("name")), str(_map(one.get("digest")).get("sha256")))
                for one in _maps(_map(record).get("subject"))
            ),
            inputs=tuple(
                (str(one.get("role")), str(one.get("name")), str(one.get("digest")))
                for one in _maps(predicate.get("inputs"))
            ),
            versions=tuple((str(name), str(number)) for name, number in _map(environment.get("versions")).items()),
            devices=tuple(
                f"{one.get('device')}, {one.get('dtype')}, threads: {one.get('threads')}"
                for one in _maps(environment.get("devices"))
            ),
            batch_size=str(environment.get("batch_size", "")),
            seeds=tuple((str(name), str(seed)) for name, seed in _map(predicate.get("seeds")).items()),
            limits=tuple(str(one) for one in _list(predicate.get("limits"))),
        )


@dataclass(frozen=True)
class Made:
    """Of a finished run; None for what is not there or can't be read."""

    folder: str = ""
    plan: Plan | None = None
    record: Provenance | None = None


def read_made(folder: Path) -> Made:
    """Reads a run's folder. Damaged files count as absent: `verify` says what is wrong with them."""
    plan, record = _read(folder / "plan.json"), _read(folder / "record.json")
    try:
        made = Plan.model_validate_json(plan) if plan is not None else None
    except ValueError:
        made = None
    try:
        said = Provenance.of(json.loads(record)) if record is not None else None
    except (ValueError, RecursionError):
        said = None
    return Made(str(folder), made, said)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= _LIMIT else None
    except OSError:
        return None


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [_map(one) for one in _list(value)]
