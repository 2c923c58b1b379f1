"""The words in which problems of a spec are told: TOML's, not Python's."""

import datetime
import difflib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import StringConstraints

from surrogateshap.spec.positions import KeyPath
from surrogateshap.text import harmless

_TECHNICAL = 10**6
"""Bounds from here on only keep numbers within what computers count with; told only to those who exceed them."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME_REMEDY = "use lower case letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit"


def dotted(path: KeyPath) -> str:
    """`utility[0].encoder`; keys that TOML would quote are quoted, and harmless."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += ("." if shown else "") + (part if _BARE_KEY.fullmatch(part) else quoted(part))
    return shown


def header(path: KeyPath) -> str:
    """The name between a table's brackets: `contributors.grouping`."""
    return dotted(tuple(part for part in path if isinstance(part, str)))


def quoted(text: str) -> str:
    """A stranger's text between quotes."""
    return f'"{harmless(text, 60)}"'


def named(key: str) -> str:
    """A stranger's key or name between backticks."""
    return f"`{harmless(key, 60)}`"


def listed(names: Iterable[str]) -> str:
    """`a`, `b`."""
    return ", ".join(named(name) for name in names)


def toml(value: Any) -> str:
    """A value of our own, a number, text, list of texts or inline table of those, as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def nearest(word: str, known: Iterable[str], alike: float = 0.6) -> str | None:
    """The known word that `word` most likely stands for."""
    if len(word) > 64:
        return None
    found = difflib.get_close_matches(word.lower().replace("-", "_"), list(known), n=1, cutoff=alike)
    return found[0] if found else None


def got(value: Any) -> str:
    """What stands in the spec instead of what was expected."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
        case float():
            return repr(value)
        case str():
            return f"the text {quoted(value)}"
        case list():
            return "a list"
        case dict():
            return "a table"
        case datetime.datetime():
            return "a date and time"
        case datetime.date():
            return "a date"
        case _:
            return "a time"


def expected(member: Any) -> str:
    """What one member of a union takes."""
    origin = get_origin(member)
    if origin is Literal:
        words = [toml(word) for word in get_args(member)]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if member is bool:
        return "true or false"
    if member is int:
        return "a whole number"
    if member is float:
        return "a number"
    if member is str:
        return "a text"
    return "a list" if origin is tuple else "a table"


def numeric(text: str) -> bool:
    """Whether a text would be a number without its quotes."""
    return re.fullmatch(r"[+-]?\d{1,18}(\.\d{1,18})?", text) is not None


def out_of_bounds(value: Any, metadata: Sequence[Any]) -> tuple[str, str]:
    """Message and remedy for a number or text that its field's constraints refuse."""
    for constraint in metadata:
        if isinstance(constraint, StringConstraints):
            if constraint.pattern is not None:
                return f"{quoted(value)} can't be a name", _NAME_REMEDY
            if value == "":
                return "must not be empty", "write a text"
            return f"is longer than {constraint.max_length} characters", "shorten it"
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f"must be finite, got {value}", "write a number"
    bounds: list[tuple[Any, str, bool]] = []
    for bound in metadata:
        match bound:
            case Ge(ge=limit):
                bounds.append((limit, "at least", value < limit))
            case Gt(gt=limit):
                bounds.append((limit, "more than", value <= limit))
            case Le(le=limit):
                bounds.append((limit, "at most", value > limit))
            case Lt(lt=limit):
                bounds.append((limit, "less than", value >= limit))
            case _:
                pass
    told = [f"{words} {limit}" for limit, words, violated in bounds if violated or limit < _TECHNICAL]
    return f"must be {' and '.join(told) or 'smaller'}, got {got(value)}", "write a number in that range"
