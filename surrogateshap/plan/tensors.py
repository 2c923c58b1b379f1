"""Headers of safetensors files: names, types and shapes of what they hold, without the weights or a library."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LIMIT = 64 << 20
"""Bytes of a header."""
FLOATS = ("F64", "F32", "F16")
"""Types that numpy knows too."""


@dataclass(frozen=True)
class Tensor:
    """One entry of a header."""

    dtype: str
    """By safetensors' name, such as `F32`."""
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def read_tensors(path: Path) -> Mapping[str, Tensor]:
    """By name, what a safetensors file holds. Raises ValueError that says what is wrong with it."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LIMIT:
                raise ValueError("is not a safetensors file")
            header = json.loads(file.read(length).decode())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ValueError("is not a safetensors file") from None
    if type(header) is not dict:
        raise ValueError("is not a safetensors file")
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
            raise ValueError("is not a safetensors file")
        found[name] = Tensor(str(entry.get("dtype")), tuple(shape))
    return found
