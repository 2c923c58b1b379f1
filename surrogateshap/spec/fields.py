"""The spec's models as a walk through a document needs them: each field's types, constraints and wording."""

from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter
from pydantic.fields import FieldInfo

from surrogateshap.spec import wording
from surrogateshap.spec.model import Spec
from surrogateshap.spec.positions import KeyPath
from surrogateshap.spec.section import Section


class Member(NamedTuple):
    """One member of a union, or a type alone, with the constraints on it."""

    type: Any
    constraints: tuple[Any, ...]

    @property
    def is_section(self) -> bool:
        return isinstance(self.type, type) and issubclass(self.type, Section)

    def takes(self, value: Any) -> bool:
        """Whether the value is of the TOML type that this member is for."""
        if get_origin(self.type) is tuple:
            return isinstance(value, list)
        if self.is_section or get_origin(self.type) is dict:
            return isinstance(value, dict)
        if isinstance(value, bool) or self.type is bool:
            return isinstance(value, bool) and self.type is bool
        if get_origin(self.type) is Literal or self.type is str:
            return isinstance(value, str)
        return isinstance(value, int) or (self.type is float and isinstance(value, float))


def members_of(annotation: Any, constraints: tuple[Any, ...] = ()) -> list[Member]:
    """The members of a union, `None` left out; of any other type, itself."""
    if get_origin(annotation) is Annotated:
        base, *extra = get_args(annotation)
        for each in extra:
            constraints += tuple(each.metadata) if isinstance(each, FieldInfo) else (each,)
        return members_of(base, constraints)
    if get_origin(annotation) in (Union, UnionType):
        return [member for each in get_args(annotation) for member in members_of(each, constraints)]
    return [] if annotation is NoneType else [Member(annotation, constraints)]


def holds_tables(annotation: Any) -> bool:
    """Whether it is an array of tables."""
    return get_origin(annotation) is tuple and all(member.is_section for member in members_of(get_args(annotation)[0]))


@cache
def fields_of(model: type[Section]) -> dict[str, FieldInfo]:
    """A model's fields under the keys that TOML has for them."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def example_line(key: str, info: FieldInfo) -> str:
    """A line that would do."""
    if info.examples:
        return f"{key} = {wording.toml(info.examples[0])}"
    default = None if info.is_required() else info.get_default()
    return f"{key} = {wording.toml(default)}" if isinstance(default, int | float | str) else ""


@cache
def adapter(member: Member) -> TypeAdapter[Any]:
    """What pydantic itself says of a plain value."""
    constrained: Any = Annotated[member.type, *member.constraints] if member.constraints else member.type
    return TypeAdapter(constrained, config=_STRICT)


_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def expected(members: list[Member]) -> str:
    """What a union takes, in words."""
    words = [wording.expected(member.type) for member in members if not member.is_section]
    if keys := [key for member in members if member.is_section for key in fields_of(member.type)]:
        words.append(f"a table with the key {' or '.join(map(wording.named, keys))}")
    return ", or ".join(words)


def unknown_key_remedy(key: str, known: list[str], guess: str | None, path: KeyPath) -> str:
    """Remedy for an unknown key: the table that it belongs to, or else the nearest spelling, here or there."""
    homes: dict[str, list[str]] = {each: ["at the top, before the first table"] for each in fields_of(Spec)}
    for name, info in fields_of(Spec).items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section) and (name,) != path:
            for each in fields_of(info.annotation):
                homes.setdefault(each, []).append(f"under `[{name}]`")
    if key in homes and len(homes[key]) == 1:
        return f"{wording.named(key)} belongs {homes[key][0]}"
    if guess:
        return f"did you mean `{guess}`?"
    there = wording.nearest(key, [each for each, places in homes.items() if len(places) == 1], 0.8)
    return f"did you mean `{there}`, {homes[there][0]}?" if there else f"known keys: {wording.listed(known)}"
