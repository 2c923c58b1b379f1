"""Linear layers on top of an encoder's features, as one safetensors file holds them."""

import re
from pathlib import Path

from surrogateshap.plan.tensors import FLOATS, read_tensors
from surrogateshap.text import harmless

_WEIGHT = ".weight"
_BIAS = ".bias"


def layer_names(path: Path) -> tuple[str, ...]:
    """Names of a head's layers in the order in which they are applied: that of their names, numbers by value.

    A layer `x` is a matrix `x.weight` (out, in) and, where there is one, `x.bias` (out,); the last one has one output.
    Raises ValueError that says what is wrong.
    """
    tensors = read_tensors(path)
    names = sorted((name.removesuffix(_WEIGHT) for name in tensors if name.endswith(_WEIGHT)), key=_by_value)
    known = {name + part for name in names for part in (_WEIGHT, _BIAS)}
    if strange := sorted(tensors.keys() - known):
        raise ValueError(f"holds `{harmless(strange[0], 60)}`, which is no layer's weight or bias")
    if not names:
        raise ValueError("holds no layers: it needs weights `NAME.weight`")
    before: int | None = None
    for name in names:
        shown = f"`{harmless(name, 60)}{_WEIGHT}`"
        weight, bias = tensors[name + _WEIGHT], tensors.get(name + _BIAS)
        if any(each is not None and each.dtype not in FLOATS for each in (weight, bias)):
            raise ValueError(f"its {shown} is no float32; save it as such")
        if len(weight.shape) != 2 or weight.size == 0:
            raise ValueError(f"its {shown} has the shape {weight.shape}, not (outputs, inputs)")
        if before is not None and weight.shape[1] != before:
            raise ValueError(f"its {shown} takes {weight.shape[1]} numbers, and the layer before it gives {before}")
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ValueError(f"its `{harmless(name, 60)}{_BIAS}` has the shape {bias.shape}, not {weight.shape[:1]}")
        before = weight.shape[0]
    if before != 1:
        raise ValueError(f"ends in {before} numbers, not in one score")
    return tuple(names)


def head_inputs(path: Path) -> int:
    """How many features a head takes. Raises ValueError as `layer_names` does."""
    return read_tensors(path)[layer_names(path)[0] + _WEIGHT].shape[1]


def _by_value(name: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+|[0-9]+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
