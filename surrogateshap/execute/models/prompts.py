"""Prompts encoded once each, however many batches they come in."""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch

_PLAIN = (str, int, float, bool, type(None), torch.device, torch.dtype)


class _NotApartError(Exception):
    """What prompts became can't be put together from each prompt's own."""


class PromptCache:
    """What a pipeline's own `encode_prompt` makes of each prompt, kept on the CPU.

    Every prompt is encoded alone, so that what comes of it depends neither on its batch nor on what is kept. Nothing is
    dropped once it is kept: prompts come round and round, and dropping the oldest would lose each before its turn.
    """

    def __init__(self, limit: int = 2 << 30) -> None:
        self._limit = limit
        self._kept: dict[Any, Any] = {}
        self._bytes = 0

    def serve(self, pipeline: Any) -> None:
        """Puts the cache before a pipeline's `encode_prompt`, where it has one."""
        encode = getattr(pipeline, "encode_prompt", None)
        if encode is None:
            return
        signature = inspect.signature(encode)

        @wraps(encode)
        def cached(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            split = _split(bound.arguments)
            if split is None:
                return encode(*args, **kwargs)
            try:
                parts = [self._encoded(encode, one) for one in split]
                return _joined(parts, pipeline._execution_device)
            except _NotApartError:  # such as lengths that differ: then whole batches are encoded, as without us
                return encode(*args, **kwargs)

        pipeline.encode_prompt = cached

    def _encoded(self, encode: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        key = tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in sorted(arguments.items()))
        if key in self._kept:
            return self._kept[key]
        made = _on_cpu(encode(**arguments))
        size = _size(made)
        if self._bytes + size <= self._limit:
            self._kept[key] = made
            self._bytes += size
        return made


def _split(arguments: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The arguments of one call for each prompt; None where the call isn't one for a list of texts alone."""
    given = {name: value for name, value in arguments.items() if value != {}}  # **kwargs without any
    lists = [name for name in given if isinstance(given[name], list) and "prompt" in name]
    plain = [
        isinstance(value, _PLAIN) or (isinstance(value, list) and all(isinstance(item, str) for item in value))
        for value in given.values()
    ]
    sizes = {len(given[name]) for name in lists}
    if not all(plain) or len(sizes) != 1 or given.get("num_images_per_prompt", 1) != 1:
        return None
    return [given | {name: [given[name][at]] for name in lists} for at in range(sizes.pop())]


def _on_cpu(value: Any) -> Any:
    """Copies, since what a pipeline returns may be a view of something larger."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    return type(value)(map(_on_cpu, value)) if type(value) in (tuple, list) else value


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    return type(value)(_moved(one, device) for one in value) if type(value) in (tuple, list) else value


def _size(value: Any) -> int:
    """Bytes of its tensors."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    return sum(map(_size, value)) if type(value) in (tuple, list) else 0


def _joined(parts: Sequence[Any], device: torch.device) -> Any:
    """What the prompts would have become together."""
    first = parts[0]
    if isinstance(first, torch.Tensor):
        if first.ndim == 2 and first.shape[0] > 1 and first.shape[1] <= 4:  # position ids, the same for all prompts
            if not all(torch.equal(first, part) for part in parts):
                raise _NotApartError
            return first.to(device)
        if any(part.ndim == 0 or part.shape[0] != 1 or part.shape != first.shape for part in parts):
            raise _NotApartError
        return torch.cat(list(parts)).to(device)
    if type(first) is tuple:
        return tuple(_joined(items, device) for items in zip(*parts, strict=True))
    if type(first) is list:  # one for each prompt, of any length
        if any(len(part) != 1 for part in parts):
            raise _NotApartError
        return [_moved(part[0], device) for part in parts]
    if any(part is not first and part != first for part in parts):
        raise _NotApartError
    return first
