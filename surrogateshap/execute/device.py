"""Which device a run computes on."""

from typing import TYPE_CHECKING

from surrogateshap.errors import DeviceError

if TYPE_CHECKING:
    import torch


def choose_device(asked: str) -> "torch.device":
    """The device that a spec asks for; `auto` is CUDA where there is one, else MPS, else the CPU.

    Raises DeviceError where the one asked for isn't there.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        asked = next(name for name, available in there.items() if available)
    if not there[asked]:
        found = ", ".join(name for name, available in there.items() if available)
        raise DeviceError(f"no `{asked}` device is there; found: {found}", 'Set `device = "auto"` under [execution].')
    return torch.device("cuda:0" if asked == "cuda" else asked)


def device_name(device: "torch.device") -> str:
    """Such as `cpu` or `cuda:0 NVIDIA H100`."""
    import torch

    return f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)
