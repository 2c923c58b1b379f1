"""From a TOML file to a spec, with every problem at once."""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from surrogateshap.archive import MAGIC, Archive
from surrogateshap.errors import Problem, SpecError
from surrogateshap.spec.checks import check
from surrogateshap.spec.model import Spec
from surrogateshap.spec.positions import KeyPath, Positions
from surrogateshap.spec.repair import repair
from surrogateshap.spec.wording import dotted
from surrogateshap.strangers import UnreadableError
from surrogateshap.text import harmless

MAX_BYTES = 2**20
SPEC_IN_RECORDS = "spec.toml"
MAX_DEPTH = 16
"""Tables and lists inside one another; a spec needs five."""


@dataclass(frozen=True)
class Loaded:
    """A spec and the text it came from."""

    spec: Spec
    file: str
    """As the user named it."""
    folder: Path
    """That its paths are relative to; absolute."""
    text: str
    positions: Positions
    data: bytes
    """The file's bytes."""
    digest: str
    """SHA-256 of them."""

    def problem(self, key: KeyPath, message: str, remedy: str = "") -> Problem:
        """A problem of the value at `key`, such as `("utility", 0, "encoder")`, at its line."""
        return Problem(harmless(self.file, 4096), self.positions.line(key), dotted(key), message, remedy)


def load_spec(path: Path) -> Loaded:
    """The spec in `path`, or in the record there. Raises SpecError with every problem of it."""
    loaded, problems = read_spec(path)
    if problems or loaded is None:
        raise SpecError(problems)
    return loaded


def read_spec(path: Path) -> tuple[Loaded | None, list[Problem]]:
    """The spec in `path`, and every problem of it, sorted by line.

    With problems, the spec is one where defaults stand for what is wrong, so that a caller can look for more problems
    behind it; it may still name encoders that don't exist. None where something required is missing.
    """
    file = harmless(str(path), 4096)
    data = _read(path)
    if isinstance(data, _Unreadable):
        return None, [Problem(file, data.line, "", data.message, data.remedy)]
    text, document = _parse(data)
    if isinstance(document, _Unreadable):
        return None, [Problem(file, document.line, "", document.message, document.remedy)]
    positions = Positions.of(text)
    if deep := _too_deep(document):
        message = f"tables and lists are nested more than {MAX_DEPTH} deep"
        return None, [Problem(file, positions.line(deep), dotted(deep[:2]), message, "a spec needs no more than five")]
    repaired = repair(document)
    faults = list(repaired.faults)
    if repaired.spec is not None:
        faults += check(repaired.spec, repaired.broken)
    problems = sorted({Problem(file, positions.line(at), dotted(at), what, cure) for at, what, cure in faults})
    if repaired.spec is None or repaired.guessed:
        return None, problems
    digest = hashlib.sha256(data).hexdigest()
    return Loaded(repaired.spec, str(path), path.absolute().parent, text, positions, data, digest), problems


def spec_text(path: Path) -> str:
    """What a spec's file says, to be shown beside its problems. Empty where it can't be read as text."""
    data = _read(path)
    return "" if isinstance(data, _Unreadable) else data.decode("utf-8-sig", "replace")


@dataclass(frozen=True)
class _Unreadable:
    message: str
    remedy: str
    line: int = 0


def _read(path: Path) -> bytes | _Unreadable:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _Unreadable("is a folder, not a spec", "name the TOML file in it")
        if not stat.S_ISREG(mode):
            return _Unreadable("is not a regular file", "save the spec in a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if data.startswith(MAGIC):
            data = Archive(path).read(SPEC_IN_RECORDS, MAX_BYTES)
    except UnreadableError as error:
        return _Unreadable(f"is no record: {error}", "name a spec, or a record that `export` made")
    except FileNotFoundError:
        return _Unreadable("does not exist", "write one with: surrogateshap init")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return _Unreadable(f"can't be read: {reason or type(error).__name__}", "check its name and permissions")
    if len(data) > MAX_BYTES:
        return _Unreadable("is larger than 1 MiB", "a spec is a short text; name data files by path")
    return data


def _parse(data: bytes) -> tuple[str, dict[str, Any] | _Unreadable]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return "", _Unreadable(f"is not UTF-8 text (byte 0x{data[error.start]:02x})", "save it as UTF-8", line)
    try:
        return text, tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        lines = text.split("\n")
        shown = harmless(lines[error.lineno - 1], 100) if error.lineno <= len(lines) else ""
        quotes = "texts need quotes; " if error.msg.startswith("Invalid value") else ""
        remedy = f"{quotes}look at column {error.colno} of: {shown}" if shown else "something is left open above"
        return text, _Unreadable(f"not valid TOML: {harmless(error.msg)}", remedy, error.lineno)
    except RecursionError:
        return text, _Unreadable("tables and lists are nested too deep", "a spec needs no more than five levels")
    except ValueError:  # Python's limit on the digits of a whole number
        return text, _Unreadable("holds a number with thousands of digits", "shorten it")


def _too_deep(document: dict[str, Any]) -> KeyPath | None:
    """Path of something nested too deep. Without recursion: what is checked is what recursion can't be trusted with."""
    pending: list[tuple[KeyPath, Any]] = [((), document)]
    while pending:
        path, value = pending.pop()
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        if inner and len(path) >= MAX_DEPTH:
            return path
        pending.extend(((*path, key), each) for key, each in inner)
    return None
