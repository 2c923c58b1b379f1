"""Memory of devices, and whether a model fits before anything of it is loaded."""

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

from surrogateshap.errors import DeviceError
from surrogateshap.plan.device import memory_total
from surrogateshap.units import size

if TYPE_CHECKING:
    import torch


def device_memory(device: "torch.device") -> tuple[int | None, int | None]:
    """Bytes that are free and bytes in all; None where nothing says so."""
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)
    return memory_total("MemAvailable"), memory_total()


def check_fits(device: "torch.device", name: str, weights: int) -> None:
    """Raises DeviceError where a model's weights alone, of so many bytes, are more than is free on its device."""
    free, total = device_memory(device)
    if free is None or weights <= free:
        return
    of = f" of {size(total)}" if total is not None else ""
    message = f"the model's weights take {size(weights)}, and {name} has {size(free)}{of} free"
    remedy = (
        'Give `dtype = "bfloat16"` under [model] where it is wider, free memory, or choose a smaller model or another '
        "device; a lower `batch_size` or image size doesn't help here."
    )
    raise DeviceError(message, remedy)


def free(device: "torch.device") -> None:
    """Gives back the memory of models that nobody holds any more: pipelines hold themselves in cycles."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def process_memory() -> int | None:
    """Bytes of memory that this process holds now; None where nothing says so."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, IndexError, OSError, ValueError):
        return None
