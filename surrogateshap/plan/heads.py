"""Linear layers on top of an encoder's features, as one safetensors file holds them."""

import re
from pathlib import Path

from surrogateshap.plan.tensors import FLOATS, read_tensors
from surrogateshap.text import harmless


def layer_names(path: Path) -> tuple[str, ...]:
    """Names of a head's layers in the order in which they are applied: that of their names, numbers by value.

    A layer `x` is a matrix `x.weight` (out, in) and, where there is one, `x.bias` (out,); a layer alone may be `weight`
    and `bias`, without a name. The last one has one output. Raises ValueError that says what is wrong.
    """
    tensors = read_tensors(path)
    weights = (name for name in tensors if name == "weight" or name.endswith(".weight"))
    names = sorted((name.removesuffix("weight").removesuffix(".") for name in weights), key=_by_value)
    known = {part_of(name, part) for name in names for part in ("weight", "bias")}
    if strange := sorted(tensors.keys() - known):
        raise ValueError(f"holds `{harmless(strange[0], 60)}`, which is no layer's weight or bias")
    if not names:
        raise ValueError("holds no layers: it needs weights `NAME.weight`")
    before: int | None = None
    for name in names:
        shown = f"`{harmless(part_of(name, 'weight'), 60)}`"
        weight, bias = tensors[part_of(name, "weight")], tensors.get(part_of(name, "bias"))
        if any(each is not None and each.dtype not in FLOATS for each in (weight, bias)):
            raise ValueError(f"its {shown} is no float32; save it as such")
        if len(weight.shape) != 2 or weight.size == 0:
            raise ValueError(f"its {shown} has the shape {weight.shape}, not (outputs, inputs)")
        if before is not None and weight.shape[1] != before:
            raise ValueError(f"its {shown} takes {weight.shape[1]} numbers, and the layer before it gives {before}")
        if bias is not None and bias.shape != weight.shape[:1]:
            named = harmless(part_of(name, "bias"), 60)
            raise ValueError(f"its `{named}` has the shape {bias.shape}, not {weight.shape[:1]}")
        before = weight.shape[0]
    if before != 1:
        raise ValueError(f"ends in {before} numbers, not in one score")
    return tuple(names)


def head_inputs(path: Path) -> int:
    """How many features a head takes. Raises ValueError as `layer_names` does."""
    return read_tensors(path)[part_of(layer_names(path)[0], "weight")].shape[1]


def part_of(layer: str, part: str) -> str:
    """Name of a layer's weight or bias."""
    return f"{layer}.{part}" if layer else part


def _by_value(name: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+|[0-9]+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
