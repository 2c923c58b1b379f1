"""What changed since an earlier plan, as dotted keys."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from surrogateshap.plan.model import InputFile, StageKind
from surrogateshap.text import harmless

_MATTERS: dict[StageKind, tuple[str, ...]] = {
    "generate": (
        "seed",
        "model",
        "proxy",
        "sampling",
        "contributors",
        "budget",
        "empty",
        "manifest",
        "groups",
        "images",
    ),
    "encode": ("encoder", "reference", "plugin"),
    "evaluate": ("utility", "head", "estimator.kind", "budget.coalitions"),
    "fit": ("estimator", "intervals", "payout"),
    "fidelity": ("fidelity", "anchors"),
    "record": ("flags",),
}
"""First words of the keys and inputs that invalidate a stage; every stage inherits those of the stages before it."""
_FLAGS_MATTER = ("seed", "model", "contributors", "manifest", "groups", "images", "flags")
"""The same for denoising losses, which stand beside that chain."""


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a document with their dotted keys."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flatten(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from flatten(item, f"{prefix}[{position}]")
    else:
        yield prefix, value


def changes(previous: Mapping[str, Any], spec: Mapping[str, Any], inputs: Iterable[InputFile]) -> tuple[str, ...]:
    """Keys of the spec, and inputs, in which a plan differs from an earlier one given as JSON."""
    before, after = dict(flatten(previous.get("spec", {}))), dict(flatten(spec))
    found = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key) and not key.startswith(("execution", "name", "compare")):
            found.append(f"{key}: {_shown(before.get(key))} → {_shown(after.get(key))}")
    digests = {file["role"]: file["digest"] for file in previous.get("inputs", ())}
    for file in inputs:
        if file.role != "spec" and digests.get(file.role, file.digest) != file.digest:
            found.append(f"{file.role}: its content changed")
    return tuple(found)


def _shown(value: Any) -> str:
    return "not there" if value is None else harmless(str(value), 40)


def reason(kind: StageKind, changed: tuple[str, ...] | None) -> str:
    """Why a stage has work to do; `changed` is None where there is no earlier plan to compare with."""
    if changed is None:
        return "not done yet"
    matters: tuple[str, ...] = _FLAGS_MATTER if kind == "flags" else ()
    for stage, words in _MATTERS.items() if kind != "flags" else ():
        matters += words
        if stage == kind:
            break
    named = [change for change in changed if change.startswith(matters)]
    return "; ".join(named[:3]) + (f"; {len(named) - 3} more" if len(named) > 3 else "") if named else "not done yet"


def reached(changed: Iterable[str]) -> dict[StageKind, tuple[str, ...]]:
    """The first stage that each changed key or input matters to, by stage in their order; later ones follow it."""
    found: dict[StageKind, list[str]] = {stage: [] for stage in _MATTERS}
    for key in changed:
        lengths = {
            stage: max((len(word) for word in words if key.startswith(word)), default=0)
            for stage, words in _MATTERS.items()
        }
        stage = max(lengths, key=lambda one: lengths[one])
        if lengths[stage]:
            found[stage].append(key)
    return {stage: tuple(keys) for stage, keys in found.items() if keys}
