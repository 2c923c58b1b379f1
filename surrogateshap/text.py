"""Strangers' text, made harmless; canonical JSON; digests."""

import hashlib
import json
import unicodedata
from typing import Any

_JOINER = "\u200d"
"""The one format character that is let through: it joins emoji."""


def harmless(text: str, limit: int = 200) -> str:
    """`text` on one line of at most `limit` characters, with control, format and unassigned characters as U+FFFD.

    Escape codes can't reach a terminal and right-to-left overrides can't reorder a table. Markup is the caller's
    matter: pass the result as a plain `Text`, never as markup.
    """
    shown = "".join(
        "\ufffd" if unicodedata.category(character) in _UNPRINTABLE and character != _JOINER else character
        for character in " ".join(text[: 4 * limit].split())
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def escaped(text: str) -> str:
    """`text` exactly, between quotes, with escapes as in JSON for what `harmless` would replace or shorten."""
    shown = ""
    for character in text:
        if character == " ":
            shown += "\\u0020" if shown.endswith(" ") else " "
        elif character in '"\\':
            shown += "\\" + character
        else:
            shown += character if character.isprintable() else json.dumps(character)[1:-1]
    return f'"{shown}"'


_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp", "Co"})


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN. Raises ValueError on NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: bytes | str | Any) -> str:
    """SHA-256, in hex, of bytes as they are, or of the canonical JSON of anything else."""
    data = value if isinstance(value, bytes) else canonical_json(value).encode()
    return hashlib.sha256(data).hexdigest()
