"""Which devices a run computes on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from surrogateshap.errors import DeviceError
from surrogateshap.plan.device import cores

if TYPE_CHECKING:
    import torch

Asked = str | Sequence[str]
"""What `execution.devices` says."""


def choose_devices(asked: Asked, workers: int | None = None) -> tuple[str, ...]:
    """The device of each worker, such as `cuda:1`: one for each device, or the devices in turn for `workers`.

    `auto` is every CUDA device where there is one, else MPS, else the CPU. Raises DeviceError where one that is asked
    for isn't there.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = {
        "cuda": tuple(f"cuda:{index}" for index in range(gpus)),
        "mps": ("mps",) if torch.backends.mps.is_available() else (),
        "cpu": ("cpu",),
    }
    known = [name for names in there.values() for name in names]
    if isinstance(asked, str):
        chosen = next(names for names in there.values() if names) if asked == "auto" else there[asked]
        absent = [asked] if not chosen else []
    else:
        chosen, absent = tuple(asked), [name for name in asked if name not in known]
    if absent:
        remedy = 'Set `devices = "auto"` under [execution].'
        raise DeviceError(f"no `{absent[0]}` device is there; found: {', '.join(known)}", remedy)
    return tuple(chosen[worker % len(chosen)] for worker in range(workers or len(chosen)))


def device_name(device: "torch.device") -> str:
    """Such as `cpu` or `cuda:0 NVIDIA H100`."""
    import torch

    return f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)


def threads_of(device: str, devices: Sequence[str], asked: int | None) -> int | None:
    """CPU threads of one worker: those asked for, else its part of the cores where several compute on CPUs.

    None leaves them to the libraries.
    """
    on_cpu = sum(name == "cpu" for name in devices)
    return asked if asked is not None or device != "cpu" or on_cpu < 2 else max(1, cores() // on_cpu)
