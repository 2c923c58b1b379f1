"""What changed between two specs, key by key, and what it means for results."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from surrogateshap.plan.model import InputFile
from surrogateshap.spec.model import Spec

Sort = Literal["results", "execution", "cosmetic"]
"""Changes results; only how they are computed; or neither."""

_Path = tuple[str, ...]


class KeyChange(BaseModel):
    """One key of the spec, or a whole table that only one of two specs has."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)
    key: str
    """Dotted; tables of a list by their names: `utility[quality].kind`."""
    sort: Sort
    old: Any
    """JSON; None where it is not there, as `new`."""
    new: Any
    why: str = ""
    """Why it is of this sort, where that can't be seen from the key."""


class InputChange(BaseModel):
    """One input whose content changed, or that only one of two plans has."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)
    role: str
    old_name: str | None
    """None where it is not there, as the other three."""
    new_name: str | None
    old_digest: str | None
    new_digest: str | None


def key_changes(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    old_inputs: Sequence[InputFile] = (),
    new_inputs: Sequence[InputFile] = (),
) -> tuple[KeyChange, ...]:
    """Keys in which two resolved specs, as JSON, differ, by the spec's tables. Lists of named tables have no order.

    A key that says where an input is changes no result where the inputs, given for both, have equal content.
    """
    before, after = ({file.role: file.digest for file in inputs} for inputs in (old_inputs, new_inputs))
    found = []
    for path, was, is_now in _differing(old, new, ()):
        sort, why = _sort_of(path), ""
        role = _role(path)
        if role in before and before[role] == after.get(role):
            sort, why = "cosmetic", "the same content"
        found.append(KeyChange(key=_dotted(path), sort=sort, old=was, new=is_now, why=why))
    found += _first_grouping(old, new)
    places = {name: position for position, name in enumerate(Spec.model_fields)}
    return tuple(sorted(found, key=lambda change: (places.get(_top(change.key), len(places)), change.key)))


def _top(key: str) -> str:
    """The spec's table that a key lies in."""
    return key.partition(".")[0].partition("[")[0]


def input_changes(old: Sequence[InputFile], new: Sequence[InputFile]) -> tuple[InputChange, ...]:
    """Inputs by role whose content differs; the spec, whose keys are compared, is not among them."""
    before, after = ({file.role: file for file in inputs if file.role != "spec"} for inputs in (old, new))
    found = []
    for role in dict.fromkeys((*before, *after)):
        was, is_now = before.get(role), after.get(role)
        if was is None or is_now is None or was.digest != is_now.digest:
            found.append(
                InputChange(
                    role=role,
                    old_name=was.name if was else None,
                    new_name=is_now.name if is_now else None,
                    old_digest=was.digest if was else None,
                    new_digest=is_now.digest if is_now else None,
                )
            )
    return tuple(found)


def _differing(old: Any, new: Any, path: _Path) -> Iterator[tuple[_Path, Any, Any]]:
    tables = _tables(old), _tables(new)
    if tables[0] is not None and tables[1] is not None:
        for key in dict.fromkeys((*tables[0], *tables[1])):
            yield from _differing(tables[0].get(key), tables[1].get(key), (*path, key))
    elif json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True):  # for Python true is 1
        yield path, old, new


def _tables(value: Any) -> Mapping[str, Any] | None:
    """A table, or a list of tables by `[name]` or `[position]`; None for anything else."""
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) for one in value):
        return None
    names = [one.get("name") for one in value]
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return {f"[{name}]": one for name, one in zip(names, value, strict=True)}
    return {f"[{position}]": one for position, one in enumerate(value)}


def _dotted(path: _Path) -> str:
    return "".join(part if part.startswith("[") else f".{part}" for part in path).removeprefix(".")


def _sort_of(path: _Path) -> Sort:
    """As the model of specs marks the key."""
    sections: list[type[BaseModel]] = [Spec]
    for part in path:
        if part.startswith("["):
            continue
        fields = [
            field for section in sections for name, field in section.model_fields.items() if part in (name, field.alias)
        ]
        for field in fields:
            if isinstance(field.json_schema_extra, dict) and "sort" in field.json_schema_extra:
                return "execution" if field.json_schema_extra["sort"] == "execution" else "cosmetic"
        sections = [section for field in fields for section in _sections(field.annotation)]
    return "execution" if path[:1] in (("execution",), ("compare",)) else "results"


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The tables that a key may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)


def _role(path: _Path) -> str:
    """The role of the input that a key names the place of; empty where it names none."""
    match path:
        case ("model", "source" | "revision"):
            return "model"
        case ("model", "adapters", position, "source" | "revision"):
            return f"adapter {position[1:-1]}"
        case ("contributors", "manifest"):
            return "manifest"
        case ("contributors", "grouping", name, "groups"):
            return f"groups {name[1:-1]}"
        case ("encoder", name, "source" | "revision"):
            return f"encoder {name[1:-1]}"
        case ("utility", name, "reference" | "head" as key):
            return f"{key} {name[1:-1]}"
        case ("fidelity", "anchors"):
            return "anchors"
        case _:
            return ""


def _first_grouping(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[KeyChange]:
    """The one place where the order of named tables counts: budgets and anchors are the first grouping's."""
    names = [[one.get("name") for one in (spec.get("contributors") or {}).get("grouping") or ()] for spec in (old, new)]
    if names[0] and names[1] and names[0][0] != names[1][0] and names[0][0] in names[1] and names[1][0] in names[0]:
        yield KeyChange(
            key="contributors.grouping",
            sort="results",
            old=names[0][0],
            new=names[1][0],
            why="which is first: images per contributor and anchors are that one's",
        )
