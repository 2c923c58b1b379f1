"""What is wrong with a TOML document as a spec, all of it, and what can be made of the rest.

pydantic decides whether a document is a spec; this module walks the same models to say why it isn't. Unknown keys and
invalid optional values are dropped, so that defaults step in; required ones get a stand-in, so that later checks can
look at the rest, and the result is marked as `guessed`.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from annotated_types import MaxLen, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from surrogateshap.spec import wording
from surrogateshap.spec.model import SPEC_VERSION, Section, Spec
from surrogateshap.spec.positions import KeyPath
from surrogateshap.text import harmless

MAX_UNKNOWN = 20
"""Unknown keys of one table that are told one by one."""

_UNFIT = object()
"""Stands for a value that can't be used."""


class Fault(NamedTuple):
    """A problem that doesn't know its line yet."""

    path: KeyPath
    message: str
    remedy: str


@dataclass
class Repaired:
    """A spec made of what is valid in a document."""

    spec: Spec | None
    faults: list[Fault]
    broken: set[KeyPath]
    """Paths whose values the spec doesn't hold."""
    guessed: bool
    """Whether something required is missing, so that the spec holds stand-ins and must not be used."""


def repair(document: dict[str, Any]) -> Repaired:
    """Reads a TOML document as a spec, whatever is wrong with it."""
    with suppress(ValidationError):
        return Repaired(Spec.model_validate(_frozen(document)), [], set(), guessed=False)
    walk = _Walk()
    version = document.get("spec_version")
    if type(version) is int and version != SPEC_VERSION:
        message = f"version {wording.got(version)} is not supported; this surrogateshap reads version {SPEC_VERSION}"
        walk.fault(("spec_version",), message, f"upgrade surrogateshap, or write spec_version = {SPEC_VERSION}")
        document = document | {"spec_version": SPEC_VERSION}
    kept = walk.table(Spec, document, ())
    try:
        return Repaired(Spec.model_validate(_frozen(kept)), walk.faults, walk.broken, walk.guessed)
    except ValidationError as error:  # where pydantic knows better, its words are better than none
        told = [Fault(tuple(each["loc"]), harmless(each["msg"]), "") for each in error.errors()]
        return Repaired(None, walk.faults + told, walk.broken, guessed=True)


def _frozen(value: Any) -> Any:
    """TOML's lists as the tuples that the strict models take."""
    if isinstance(value, dict):
        return {key: _frozen(each) for key, each in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


class _Member(NamedTuple):
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
        if isinstance(value, bool):
            return False
        if get_origin(self.type) is Literal or self.type is str:
            return isinstance(value, str)
        return isinstance(value, int) or (self.type is float and isinstance(value, float))


def _members(annotation: Any, constraints: tuple[Any, ...] = ()) -> list[_Member]:
    if get_origin(annotation) is Annotated:
        base, *extra = get_args(annotation)
        for each in extra:
            constraints += tuple(each.metadata) if isinstance(each, FieldInfo) else (each,)
        return _members(base, constraints)
    if get_origin(annotation) in (Union, UnionType):
        return [member for each in get_args(annotation) for member in _members(each, constraints)]
    return [] if annotation is NoneType else [_Member(annotation, constraints)]


def _holds_tables(annotation: Any) -> bool:
    """Whether it is an array of tables."""
    return get_origin(annotation) is tuple and all(member.is_section for member in _members(get_args(annotation)[0]))


@cache
def _fields(model: type[Section]) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _example(key: str, info: FieldInfo) -> str:
    """A line that would do."""
    if info.examples:
        return f"{key} = {wording.toml(info.examples[0])}"
    default = None if info.is_required() else info.get_default()
    return f"{key} = {wording.toml(default)}" if isinstance(default, int | float | str) else ""


@dataclass
class _Walk:
    """One walk through a document. Methods return what can be kept of a value, or `_UNFIT`."""

    faults: list[Fault] = field(default_factory=list)
    broken: set[KeyPath] = field(default_factory=set)
    guessed: bool = False
    quiet: bool = False

    def fault(self, path: KeyPath, message: str, remedy: str) -> Any:
        if not self.quiet:
            self.faults.append(Fault(path, message, remedy))
        return _UNFIT

    def table(self, model: type[Section], value: dict[str, Any], path: KeyPath) -> Any:
        fields = _fields(model)
        value = self.known_keys(model, value, path)
        kept = {}
        for key, info in fields.items():
            written = next((each for each in value if value[each][0] == key), None)
            if written is not None:
                found = self.field(key, info, value[written][1], (*path, written))
            elif info.is_required():
                self.missing(key, info, path)
                found = self.stand_in(info, (*path, key))
            else:
                continue
            if found is not _UNFIT:
                kept[key] = found
        return self.together(model, kept, path)

    def known_keys(self, model: type[Section], value: dict[str, Any], path: KeyPath) -> dict[str, tuple[str, Any]]:
        """Keys as written, with what they mean: a misspelt one stands in for a required one that is missing."""
        fields = _fields(model)
        kept = {key: (key, each) for key, each in value.items() if key in fields}
        unknown = [key for key in value if key not in fields]
        for key in unknown[:MAX_UNKNOWN]:
            guess = wording.nearest(key, fields)
            if guess and fields[guess].is_required() and guess not in {meant for meant, _ in kept.values()}:
                kept[key] = (guess, value[key])
            self.fault((*path, key), f"unknown key {wording.named(key)}", _what_key(key, list(fields), guess, path))
        for key in unknown[MAX_UNKNOWN:][:1]:
            more = len(unknown) - MAX_UNKNOWN
            self.fault((*path, key), f"and {more} more unknown keys", "remove them")
        return kept

    def together(self, model: type[Section], kept: dict[str, Any], path: KeyPath) -> Any:
        """Rules about several keys of a table, which the model itself checks."""
        if model is Spec or not model.__pydantic_decorators__.model_validators:
            return kept
        try:
            model.model_validate(_frozen(kept))
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            key = next((part for part in message.split("`")[1::2] if part in kept), None)
            return self.fault((*path, key) if key else path, message, "change one of them")
        return kept

    def missing(self, key: str, info: FieldInfo, path: KeyPath) -> None:
        where = (*path, key)
        members = _members(info.annotation)
        if _holds_tables(info.annotation):
            self.fault(where, f"missing `[[{wording.header(where)}]]`", "add at least one")
        elif members[0].is_section:
            needed = [_example(each, inner) for each, inner in _fields(members[0].type).items() if inner.is_required()]
            remedy = "add it with " + ", ".join(line for line in needed if line)
            self.fault(where, f"missing table `[{wording.header(where)}]`", remedy)
        else:
            self.fault(where, f"missing key `{key}`", f"add {_example(key, info) or key}")

    def field(self, key: str, info: FieldInfo, value: Any, path: KeyPath) -> Any:
        before = self.guessed
        found = self.value(info.annotation, tuple(info.metadata), value, path, _example(key, info))
        if not info.is_required() and self.guessed > before and not _holds_tables(info.annotation):
            self.guessed, found = before, _UNFIT  # an optional value that lacks something goes as a whole
        if found is not _UNFIT:
            return found
        self.broken.add(path)
        return self.stand_in(info, path) if info.is_required() else _UNFIT

    def stand_in(self, info: FieldInfo, path: KeyPath) -> Any:
        """Any valid value, for something that must be there."""
        self.guessed = True
        self.broken.add(path)
        candidates: tuple[Any, ...] = ("unnamed", 1, 0.5, ["unnamed"], {}, [{}])
        with self.silence():
            tried = (self.value(info.annotation, tuple(info.metadata), each, path, "") for each in candidates)
            return next(found for found in tried if found is not _UNFIT)

    @contextmanager
    def silence(self) -> Iterator[None]:
        before, self.quiet = self.quiet, True
        try:
            yield
        finally:
            self.quiet = before

    def value(self, annotation: Any, constraints: tuple[Any, ...], value: Any, path: KeyPath, example: str) -> Any:
        """A value of any type; `example` is a line that would do in its place."""
        members = _members(annotation, constraints)
        sections = [member.type for member in members if member.is_section]
        if sections and isinstance(value, dict):
            return self.section(sections, members, value, path)
        if _holds_tables(annotation):
            return self.tables(members[0], value, path)
        fitting = next((member for member in members if member.takes(value)), None)
        if fitting is None:
            return self.wrong_type(members, value, path, example)
        if isinstance(value, list):
            return self.several(fitting, dict(enumerate(value)), path, example)
        if isinstance(value, dict):
            return self.several(fitting, value, path, example)
        if get_origin(fitting.type) is Literal:
            words = get_args(fitting.type)
            if value in words:
                return value
            guess = wording.nearest(value, words)
            remedy = (
                f'did you mean "{guess}"? It takes {_expected(members)}' if guess else f"write {_expected(members)}"
            )
            return self.fault(path, f"unknown value {wording.quoted(value)}", remedy)
        try:
            return _adapter(fitting).validate_python(value)
        except ValidationError:
            return self.fault(path, *wording.out_of_bounds(value, fitting.constraints))

    def wrong_type(self, members: list[_Member], value: Any, path: KeyPath, example: str) -> Any:
        if len(members) == 1 and members[0].is_section:
            name = wording.header(path)
            if isinstance(value, list) and value and isinstance(value[0], dict):
                self.fault(path, "expected one table, got a list of them", f"write `[{name}]`, in single brackets")
                return self.section([members[0].type], members, value[0], path)
            return self.fault(
                path, f"expected a table, got {wording.got(value)}", f"write `[{name}]` on a line of its own"
            )
        message = f"expected {_expected(members)}, got {wording.got(value)}"
        if isinstance(value, str) and wording.numeric(value):
            return self.fault(path, message, f"write {value}, without quotes")
        return self.fault(path, message, f"write, for example, {example}" if example else f"write {_expected(members)}")

    def several(self, member: _Member, values: dict[Any, Any], path: KeyPath, example: str) -> Any:
        """A list, or a table of the user's own keys, of plain values."""
        item = get_args(member.type)[1 if get_origin(member.type) is dict else 0]
        if not self.length_fits(member, len(values), path):
            return _UNFIT
        found = {key: self.value(item, (), each, (*path, key), example) for key, each in values.items()}
        if any(each is _UNFIT for each in found.values()):
            return _UNFIT
        return found if get_origin(member.type) is dict else list(found.values())

    def length_fits(self, member: _Member, length: int, path: KeyPath) -> bool:
        for constraint in member.constraints:
            if isinstance(constraint, MinLen) and length < constraint.min_length:
                self.fault(path, "must not be empty", "add at least one element")
                return False
            if isinstance(constraint, MaxLen) and length > constraint.max_length:
                self.fault(path, f"holds {length} elements, more than {constraint.max_length}", "remove some")
                return False
        return True

    def tables(self, member: _Member, value: Any, path: KeyPath) -> Any:
        """An array of tables."""
        name = wording.header(path)
        item = get_args(member.type)[0]
        if isinstance(value, dict):
            self.fault(path, "expected an array of tables, got a table", f"write `[[{name}]]`, in double brackets")
            return [self.value(item, (), value, path, "")]
        if not isinstance(value, list):
            message = f"expected an array of tables, got {wording.got(value)}"
            return self.fault(path, message, f"write `[[{name}]]` on a line of its own")
        if not self.length_fits(member, len(value), path) and not value:
            return _UNFIT
        limit = next((each.max_length for each in member.constraints if isinstance(each, MaxLen)), len(value))
        kept = []
        for index, each in enumerate(value[:limit]):
            found = self.value(item, (), each, (*path, index), "")
            if found is _UNFIT:
                self.guessed = True
                self.broken.add((*path, index))
                with self.silence():
                    found = self.value(item, (), {}, (*path, index), "")
            kept.append(found)
        return kept

    def section(
        self, sections: list[type[Section]], members: list[_Member], value: dict[str, Any], path: KeyPath
    ) -> Any:
        """A table, of the one of several models that its `kind`, or else its keys, choose."""
        if len(sections) == 1:
            return self.table(sections[0], value, path)
        kinds = {get_args(_fields(each)["kind"].annotation)[0]: each for each in sections if "kind" in _fields(each)}
        if kinds:
            return self.of_kind(kinds, value, path)
        keys = {key: each for each in sections for key in _fields(each)}
        chosen = {keys[found] for key in value if (found := key if key in keys else wording.nearest(key, keys))}
        if len(chosen) == 1:
            return self.table(chosen.pop(), value, path)
        if chosen:
            return self.fault(path, f"takes only one of the keys {wording.listed(keys)}", "remove the others")
        return self.fault(
            path, f"expected {_expected(members)}, got a table without them", f"write {_expected(members)}"
        )

    def of_kind(self, kinds: dict[str, type[Section]], value: dict[str, Any], path: KeyPath) -> Any:
        kind = value.get("kind")
        if isinstance(kind, str) and kind in kinds:
            return self.table(kinds[kind], value, path)
        where = (*path, "kind")
        every = ", ".join(wording.toml(each) for each in kinds)
        if "kind" not in value:
            self.fault(
                where, "missing key `kind`", f"add kind = {wording.toml(next(iter(kinds)))}, or another of {every}"
            )
        elif not isinstance(kind, str):
            self.fault(where, f"expected one of {every}, got {wording.got(kind)}", f"write one of {every}")
        else:
            guess = wording.nearest(kind, kinds)
            remedy = f'did you mean "{guess}"? Known kinds: {every}' if guess else f"known kinds: {every}"
            self.fault(where, f"unknown kind {wording.quoted(kind)}", remedy)
        self.guessed = True
        self.broken.add(where)
        simplest = min(kinds, key=lambda each: sum(info.is_required() for info in _fields(kinds[each]).values()))
        shared = set.intersection(*(set(_fields(each)) for each in kinds.values()))
        return self.table(kinds[simplest], {k: v for k, v in value.items() if k in shared} | {"kind": simplest}, path)


@cache
def _adapter(member: _Member) -> TypeAdapter[Any]:
    constraints = tuple(each for each in member.constraints if not isinstance(each, FieldInfo))
    constrained: Any = Annotated[member.type, *constraints] if constraints else member.type
    return TypeAdapter(constrained, config=_STRICT)


_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def _expected(members: list[_Member]) -> str:
    """What a union takes, in words."""
    words = [wording.expected(member.type) for member in members if not member.is_section]
    if keys := [key for member in members if member.is_section for key in _fields(member.type)]:
        words.append(f"a table with the key {' or '.join(map(wording.named, keys))}")
    return ", or ".join(words)


def _what_key(key: str, known: list[str], guess: str | None, path: KeyPath) -> str:
    """Remedy for an unknown key: the table that it belongs to, or else the nearest spelling, here or there."""
    homes: dict[str, list[str]] = {each: ["at the top, before the first table"] for each in _fields(Spec)}
    for name, info in _fields(Spec).items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section) and (name,) != path:
            for each in _fields(info.annotation):
                homes.setdefault(each, []).append(f"under `[{name}]`")
    if key in homes and len(homes[key]) == 1:
        return f"{wording.named(key)} belongs {homes[key][0]}"
    if guess:
        return f"did you mean `{guess}`?"
    there = wording.nearest(key, [each for each, places in homes.items() if len(places) == 1])
    return f"did you mean `{there}`, {homes[there][0]}?" if there else f"known keys: {wording.listed(known)}"
