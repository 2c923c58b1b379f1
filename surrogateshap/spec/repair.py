"""What is wrong with a TOML document as a spec, all of it, and what can be made of the rest.

pydantic decides whether a document is a spec; this module walks the same models to say why it isn't. Unknown keys and
invalid optional values are dropped, so that defaults step in; required ones get a stand-in, so that later checks can
look at the rest, and the result is marked as `guessed`.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import MaxLen, MinLen
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from surrogateshap.spec import wording
from surrogateshap.spec.fields import (
    Member,
    adapter,
    example_line,
    expected,
    fields_of,
    holds_tables,
    members_of,
    unknown_key_remedy,
)
from surrogateshap.spec.model import SPEC_VERSION, Spec
from surrogateshap.spec.positions import KeyPath
from surrogateshap.spec.section import Section
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
        fields = fields_of(model)
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
        fields = fields_of(model)
        kept = {key: (key, each) for key, each in value.items() if key in fields}
        unknown = [key for key in value if key not in fields]
        for key in unknown[:MAX_UNKNOWN]:
            guess = wording.nearest(key, fields)
            remedy = unknown_key_remedy(key, list(fields), guess, path)
            self.fault((*path, key), f"unknown key {wording.named(key)}", remedy)
            if guess is None or guess in {meant for meant, _ in kept.values()}:
                continue
            if fields[guess].is_required():
                kept[key] = (guess, value[key])
            else:
                self.broken.add((*path, guess))
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
            keys = message.split("`")[1::2]
            if any((*path, key) in self.broken for key in keys):
                return _UNFIT  # what is broken has been told, and may be all that is wrong
            key = next((each for each in keys if each in kept), None)
            return self.fault((*path, key) if key else path, message, "add or remove one of them")
        return kept

    def missing(self, key: str, info: FieldInfo, path: KeyPath) -> None:
        where = (*path, key)
        members = members_of(info.annotation)
        if holds_tables(info.annotation):
            self.fault(where, f"missing `[[{wording.header(where)}]]`", "add at least one")
        elif members[0].is_section:
            fields = fields_of(members[0].type)
            needed = [example_line(each, inner) for each, inner in fields.items() if inner.is_required()]
            remedy = "add it with " + ", ".join(line for line in needed if line)
            self.fault(where, f"missing table `[{wording.header(where)}]`", remedy)
        else:
            self.fault(where, f"missing key `{key}`", f"add {example_line(key, info) or key}")

    def field(self, key: str, info: FieldInfo, value: Any, path: KeyPath) -> Any:
        before = self.guessed
        found = self.value(info.annotation, tuple(info.metadata), value, path, example_line(key, info))
        if not info.is_required() and self.guessed > before and not holds_tables(info.annotation):
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
        members = members_of(annotation, constraints)
        if isinstance(value, dict) and any(member.is_section for member in members):
            return self.section(members, value, path)
        if holds_tables(annotation):
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
            remedy = f'did you mean "{guess}"? It takes {expected(members)}' if guess else f"write {expected(members)}"
            return self.fault(path, f"unknown value {wording.quoted(value)}", remedy)
        try:
            return adapter(fitting).validate_python(value)
        except ValidationError:
            return self.fault(path, *wording.out_of_bounds(value, fitting.constraints))

    def wrong_type(self, members: list[Member], value: Any, path: KeyPath, example: str) -> Any:
        if len(members) == 1 and members[0].is_section:
            name = wording.header(path)
            if isinstance(value, list) and value and isinstance(value[0], dict):
                self.fault(path, "expected one table, got a list of them", f"write `[{name}]`, in single brackets")
                return self.section(members, value[0], path)
            message = f"expected a table, got {wording.got(value)}"
            remedy = f"write, for example, {example}" if example else f"write `[{name}]` on a line of its own"
            return self.fault(path, message, remedy)
        message = f"expected {expected(members)}, got {wording.got(value)}"
        if isinstance(value, float) and value.is_integer() and any(member.type is int for member in members):
            return self.fault(path, message, f"write {value:.0f}, without a decimal point")
        if isinstance(value, str) and wording.numeric(value) and any(member.type in (int, float) for member in members):
            return self.fault(path, message, f"write {value}, without quotes")
        return self.fault(path, message, f"write, for example, {example}" if example else f"write {expected(members)}")

    def several(self, member: Member, values: dict[Any, Any], path: KeyPath, example: str) -> Any:
        """A list, or a table of the user's own keys, of plain values."""
        item = get_args(member.type)[1 if get_origin(member.type) is dict else 0]
        if not self.length_fits(member, len(values), path):
            return _UNFIT
        found = {key: self.value(item, (), each, (*path, key), example) for key, each in values.items()}
        if any(each is _UNFIT for each in found.values()):
            return _UNFIT
        return found if get_origin(member.type) is dict else list(found.values())

    def length_fits(self, member: Member, length: int, path: KeyPath) -> bool:
        for constraint in member.constraints:
            if isinstance(constraint, MinLen) and length < constraint.min_length:
                self.fault(path, "must not be empty", "add at least one element")
                return False
            if isinstance(constraint, MaxLen) and length > constraint.max_length:
                self.fault(path, f"holds {length} elements, more than {constraint.max_length}", "remove some")
                return False
        return True

    def tables(self, member: Member, value: Any, path: KeyPath) -> Any:
        """An array of tables."""
        name = wording.header(path)
        item = get_args(member.type)[0]
        if isinstance(value, dict):
            self.fault(path, "expected an array of tables, got a table", f"write `[[{name}]]`, in double brackets")
            if value and all(isinstance(each, dict) for each in value.values()):  # `[utility.quality]`
                return [self.element(item, {"name": key} | each, (*path, key)) for key, each in value.items()]
            return [self.element(item, value, path)]
        if not isinstance(value, list):
            message = f"expected an array of tables, got {wording.got(value)}"
            return self.fault(path, message, f"write `[[{name}]]` on a line of its own")
        if not self.length_fits(member, len(value), path) and not value:
            return _UNFIT
        limit = next((each.max_length for each in member.constraints if isinstance(each, MaxLen)), len(value))
        return [self.element(item, each, (*path, index)) for index, each in enumerate(value[:limit])]

    def element(self, item: Any, value: Any, path: KeyPath) -> Any:
        """One table of an array of tables, or a stand-in that keeps its place."""
        found = self.value(item, (), value, path, "")
        if found is _UNFIT:
            self.guessed = True
            self.broken.add(path)
            with self.silence():
                found = self.value(item, (), {}, path, "")
        return found

    def section(self, members: list[Member], value: dict[str, Any], path: KeyPath) -> Any:
        """A table, of the one of several models that its `kind`, or else its keys, choose."""
        sections = [member.type for member in members if member.is_section]
        if len(sections) == 1:
            return self.table(sections[0], value, path)
        if all("kind" in fields_of(each) for each in sections):
            kinds = {kind: each for each in sections for kind in get_args(fields_of(each)["kind"].annotation)}
            return self.of_kind(kinds, value, path)
        keys = {key: each for each in sections for key in fields_of(each)}
        chosen = {keys[found] for key in value if (found := key if key in keys else wording.nearest(key, keys))}
        if len(chosen) == 1:
            return self.table(chosen.pop(), value, path)
        if chosen:
            return self.fault(path, f"takes only one of the keys {wording.listed(keys)}", "remove the others")
        return self.fault(path, f"expected {expected(members)}, got a table without them", f"write {expected(members)}")

    def of_kind(self, kinds: dict[str, type[Section]], value: dict[str, Any], path: KeyPath) -> Any:
        kind = value.get("kind")
        if isinstance(kind, str) and kind in kinds:
            return self.table(kinds[kind], value, path)
        where = (*path, "kind")
        every = ", ".join(wording.toml(each) for each in kinds)
        if "kind" not in value:
            first = wording.toml(next(iter(kinds)))
            self.fault(where, "missing key `kind`", f"add kind = {first}, or another of {every}")
        elif not isinstance(kind, str):
            self.fault(where, f"expected one of {every}, got {wording.got(kind)}", f"write one of {every}")
        else:
            guess = wording.nearest(kind, kinds)
            remedy = f'did you mean "{guess}"? Known kinds: {every}' if guess else f"known kinds: {every}"
            self.fault(where, f"unknown kind {wording.quoted(kind)}", remedy)
        self.guessed = True
        self.broken.add(where)
        simplest = min(kinds, key=lambda each: sum(info.is_required() for info in fields_of(kinds[each]).values()))
        shared = set.intersection(*(set(fields_of(each)) for each in kinds.values()))
        return self.table(kinds[simplest], {k: v for k, v in value.items() if k in shared} | {"kind": simplest}, path)
