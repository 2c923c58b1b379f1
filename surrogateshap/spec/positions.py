"""Where each key of a TOML text stands. Never used for values: tomli alone says what they are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import tomli

KeyPath = tuple[str | int, ...]
"""Keys, and indices of array elements counted from 0: `("utility", 0, "encoder")`."""

MAX_DEPTH = 32
"""Deeper keys are not recorded and resolve to a parent: no text costs more than in proportion to its length."""

_TOKEN = re.compile(
    r"""
    (?P<blank>[ \t\r]+|\#[^\n]*)
    |(?P<newline>\n)
    |(?P<text>
        \"\"\"(?:[^"\\]++|\\.|"{1,2}(?!"))*+"{3,5}
        |'''(?:[^']++|'{1,2}(?!'))*+'{3,5}
        |"(?:[^"\\\n]++|\\.)*+"
        |'[^'\n]*+'
    )
    |(?P<mark>[\[\]{},=.])
    |(?P<bare>[^\s\[\]{},=.\#"']+|.)
    """,
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int
    touches: bool
    """Whether nothing stands between it and the mark before it: tells `[[` from `[ [`."""


def _tokens(text: str) -> Iterator[_Token]:
    line, touches = 1, False
    for match in _TOKEN.finditer(text):
        kind, found = str(match.lastgroup), match.group()
        if kind != "blank":
            yield _Token(kind, found, line, touches)
        touches = kind == "mark"
        line += found.count("\n")


def _name(token: _Token) -> str:
    if token.kind != "text":
        return token.text
    if "\\" not in token.text:
        return token.text[1:-1]
    try:
        return next(iter(tomli.loads(f"{token.text}=0")))
    except ValueError:
        return token.text[1:-1]


@dataclass
class _Container:
    """An array or inline table that is open."""

    path: KeyPath
    is_array: bool
    index: int = 0


@dataclass(frozen=True)
class Positions:
    """Lines of a TOML text's keys, tables and array elements."""

    lines: dict[KeyPath, int] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> "Positions":
        """Scans `text`. Never raises: of a text that isn't TOML, the lines mean nothing."""
        return cls(_Scanner().scan(text))

    def line(self, path: KeyPath) -> int:
        """Line of `path`, counted from 1, or of its nearest parent that the text names; 0 where it names none."""
        for length in range(min(len(path), MAX_DEPTH), 0, -1):
            if found := self.lines.get(path[:length]):
                return found
        return 0


class _Scanner:
    """Follows the text token by token: a stack of open containers, the parts of the key being read, and its mode."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.elements: dict[KeyPath, int] = {}
        """Elements so far of each array of tables."""
        self.table: KeyPath = ()
        self.stack: list[_Container] = []
        self.key: list[_Token] = []
        self.path: KeyPath = ()
        """Of the value being read, unless it is an array's element."""

    def scan(self, text: str) -> dict[KeyPath, int]:
        mode: Literal["key", "value", "header", "array header"] = "key"
        for token in _tokens(text):
            sign = token.text if token.kind == "mark" else ""
            inside = self.stack[-1] if self.stack else None
            if mode in ("header", "array header"):
                if sign == "[" and token.touches and not self.key:
                    mode = "array header"
                elif sign == "]" or token.kind == "newline":
                    self.open_table(is_array=mode == "array header")
                    mode = "key" if token.kind == "newline" else "value"
                else:
                    self.add_part(token)
            elif token.kind == "newline":
                if inside is None:
                    mode = "key"
                    self.key.clear()
            elif sign in ("]", "}"):
                if self.stack:
                    self.stack.pop()
                self.key.clear()
                mode = "value"
            elif mode == "key":
                if sign == "=":
                    self.path = self.resolve_key()
                    mode = "value"
                elif sign == "[" and inside is None and not self.key:
                    mode = "header"
                else:
                    self.add_part(token)
            elif sign == ",":
                if inside is not None:
                    inside.index += 1
                    mode = "value" if inside.is_array else "key"
            else:
                path = self.note_element(inside, token)
                if sign in ("[", "{"):
                    self.stack.append(_Container(path, is_array=sign == "["))
                    mode = "value" if sign == "[" else "key"
        return self.lines

    def note_element(self, inside: _Container | None, token: _Token) -> KeyPath:
        """Path of the value that begins with `token`: a key's, or an array element's, whose line is noted."""
        if inside is None or not inside.is_array:
            return self.path
        path = _below(inside.path, inside.index)
        self.lines.setdefault(path, token.line)
        return path

    def add_part(self, token: _Token) -> None:
        if token.kind in ("bare", "text"):
            self.key.append(token)

    def resolve_key(self) -> KeyPath:
        """Path of the key that stands before `=`; notes its line, and that of the tables its dots imply."""
        path = self.stack[-1].path if self.stack else self.table
        for part in self.key:
            path = _below(path, _name(part))
            self.lines.setdefault(path, part.line)
        self.key.clear()
        return path

    def open_table(self, *, is_array: bool) -> None:
        path: KeyPath = ()
        for position, part in enumerate(self.key):
            path = _below(path, _name(part))
            last = position == len(self.key) - 1
            if last and is_array:
                self.elements[path] = self.elements.get(path, 0) + 1
            if last and not is_array:
                self.lines[path] = part.line
            self.lines.setdefault(path, part.line)
            if path in self.elements:
                path = _below(path, self.elements[path] - 1)
                self.lines.setdefault(path, part.line)
        self.key.clear()
        self.table = path


def _below(path: KeyPath, part: str | int) -> KeyPath:
    return (*path, part) if len(path) < MAX_DEPTH else path
