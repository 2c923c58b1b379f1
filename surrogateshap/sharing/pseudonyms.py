"""Salted hashes in the place of contributors' names.

A name's salt is HMAC-SHA256 of the name under a secret that stays with the owner; its pseudonym is HMAC-SHA256 of the
name under that salt. Revealing a name and its salt proves the one pseudonym and says nothing of any other.
"""

import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tomli
from pydantic import BaseModel, ConfigDict, StringConstraints

from surrogateshap.errors import RunError
from surrogateshap.record.checks import Check
from surrogateshap.record.statement import Sha256
from surrogateshap.strangers import UnreadableError, parse_json, parse_model, read_file
from surrogateshap.text import harmless

_PREFIX = "c_"
_DIGITS = 32
_KEPT = frozenset(
    {"grouping", "utility", "proxy", "estimator", "kind", "mode", "scheduler", "dtype", "plan_id", "digest"}
)
"""Keys of results, plans and specs whose values are words of the format, or the owner's own for games."""
_SHORT = (40, 80, 200)
"""Lengths that names are cut to in texts."""
_TOML_TEXTS = re.compile(r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)


_Model = TypeVar("_Model", bound=BaseModel)


class _Data(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class Secret(_Data):
    """What the owner keeps."""

    surrogateshap_secret: Literal[1] = 1
    secret: Sha256


class Opening(_Data):
    """What reveals one name of a record."""

    surrogateshap_opening: Literal[1] = 1
    record: Sha256
    """SHA-256 of its record.json."""
    name: Annotated[str, StringConstraints(max_length=100_000)]
    salt: Sha256
    pseudonym: str


def new_secret() -> Secret:
    """From the operating system's randomness."""
    return Secret(secret=os.urandom(32).hex())


def read_secret(path: Path) -> Secret:
    """Raises RunError where the file holds none."""
    return _read(path, Secret, "a secret of `export --pseudonyms`")


def read_opening(path: Path) -> Opening:
    """Raises RunError where the file holds none."""
    return _read(path, Opening, "what `reveal` wrote")


def _read(path: Path, kind: type[_Model], what: str) -> _Model:
    try:
        data = read_file(path, follow=True, limit=1 << 20)
        parse_json(data)
        return parse_model(kind, data)
    except UnreadableError as error:
        raise RunError(f"{harmless(str(path))} is not {what}: {error}", "Name another file.") from None


def salt_of(name: str, secret: Secret) -> str:
    """Of one name; to be revealed with it."""
    return hmac.digest(bytes.fromhex(secret.secret), b"salt\0" + name.encode(), "sha256").hex()


def pseudonym_of(name: str, salt: str) -> str:
    """What stands for a name."""
    return _PREFIX + hmac.new(bytes.fromhex(salt), name.encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def opening_of(name: str, secret: Secret, record: str) -> Opening:
    """What reveals a name of the record with that digest."""
    salt = salt_of(name, secret)
    return Opening(record=record, name=name, salt=salt, pseudonym=pseudonym_of(name, salt))


def check_opening(opening: Opening, record: str, names: Iterable[str]) -> Check:
    """Whether an opening's name is behind a pseudonym of the record with that digest, and these names."""
    made = pseudonym_of(opening.name, opening.salt)
    if opening.record != record:
        detail = "was revealed for another record"
    elif made != opening.pseudonym or made not in set(names):
        detail = "is behind none of the record's pseudonyms"
    else:
        return Check(step="names", name=made, holds=True, detail=f"is {harmless(opening.name)}")
    return Check(step="names", name=harmless(opening.name), holds=False, detail=detail)


class Pseudonyms:
    """Replaces names in everything that is exported."""

    def __init__(self, names: Iterable[str], secret: Secret) -> None:
        self._secret = bytes.fromhex(secret.secret)
        self._of = {name: pseudonym_of(name, salt_of(name, secret)) for name in names if name}

    def name(self, name: str) -> str:
        """Of a contributor."""
        return self._of[name]

    def knows(self, name: str) -> bool:
        """Whether it is a contributor's."""
        return name in self._of

    def seal(self, digest: str) -> str:
        """What stands for the digest of something with names in it: the digest itself would let guesses be checked."""
        return hmac.digest(self._secret, b"digest\0" + digest.encode(), "sha256").hex()

    @cached_property
    def _written(self) -> Mapping[str, str]:
        """By every way in which a name may be written in a text."""
        found: dict[str, str] = {}
        for name, pseudonym in self._of.items():
            ways = (name, *(harmless(name, length) for length in _SHORT), json.dumps(name)[1:-1])
            found |= {way: pseudonym for way in ways if way not in found}
            found |= {json.dumps(name, ensure_ascii=False)[1:-1]: pseudonym}
        return found

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._written, key=len, reverse=True)
        return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")

    def text(self, text: str) -> str:
        """A text with every name in it replaced, where it stands as a word."""
        return self._of.get(text) or self._pattern.sub(lambda match: self._written[match[0]], text)

    def value(self, value: Any, key: str = "") -> Any:
        """JSON data with all texts and keys so."""
        match value:
            case str():
                return value if key in _KEPT else self.text(value)
            case dict():
                return {self.text(name): self.value(item, name) for name, item in value.items()}
            case list() | tuple():
                return [self.value(item, key) for item in value]
        return value

    def toml(self, data: bytes) -> bytes:
        """A spec's text with the names in its texts and comments replaced. Raises RunError where that can't be done."""
        text = data.decode("utf-8-sig")
        replaced = _TOML_TEXTS.sub(lambda match: self._inside(match[0]), text)
        try:
            left = any(self.text(one) != one for key, one in _texts(tomli.loads(replaced)) if key not in _KEPT)
        except tomli.TOMLDecodeError:
            left = True
        if left:
            message = "a contributor's name in the spec is written in a way that can't be replaced"
            raise RunError(message, "Write it without escapes, or leave it out of the spec.")
        return data if replaced == text else replaced.encode()

    def _inside(self, token: str) -> str:
        edge = 3 if token.startswith(('"""', "'''")) else 1
        if token.startswith("#"):
            return "#" + self.text(token[1:])
        return token[:edge] + self.text(token[edge:-edge]) + token[-edge:]


def _texts(value: Any, key: str = "") -> Iterable[tuple[str, str]]:
    """Texts of a document with the keys that they stand under."""
    match value:
        case str():
            yield key, value
        case dict():
            for name, item in value.items():
                yield "", name  # a bare key can't be replaced where it stands
                yield from _texts(item, name)
        case list():
            for item in value:
                yield from _texts(item, key)
