"""The device that a plan's costs are estimated for, found without loading torch."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from surrogateshap.units import plural

_GPUS = {
    "B200": (2200e12, 75e12),
    "H200": (990e12, 67e12),
    "H100": (990e12, 67e12),
    "A100": (312e12, 19.5e12),
    "L40S": (362e12, 91e12),
    "L40": (181e12, 90e12),
    "L4": (121e12, 30e12),
    "A10": (125e12, 31e12),
    "V100": (125e12, 15.7e12),
    "T4": (65e12, 8.1e12),
    "RTX 5090": (210e12, 105e12),
    "RTX 4090": (165e12, 82e12),
    "RTX 3090": (71e12, 35e12),
}
"""Peak floating point operations per second by part of the name, from data sheets: dense half precision, float32."""
_UNKNOWN_GPU = (60e12, 15e12)
_CORE = 100e9
"""Of one CPU core: two 256-bit fused multiply-adds per cycle at 3 GHz."""
_MPS = 8e12
_SECONDS = 5.0
"""That nvidia-smi may take: it hangs where a driver does."""


@dataclass(frozen=True)
class Device:
    """What a run would compute on."""

    kind: str
    """`cpu`, `cuda` or `mps`."""
    name: str
    """For people."""
    memory: int | None
    """Bytes, in use or not; None where unknown."""
    half: float
    """Peak operations per second in half precision."""
    single: float
    """The same in float32."""
    workers: int = 1
    """That work side by side, each on such a device of its own."""


def guess_device(devices: str | Sequence[str], threads: int | None, workers: int | None = None) -> Device:
    """What the keys of [execution] would come to here, as far as can be told without torch; of several the first."""
    asked = (devices if isinstance(devices, str) else devices[0]).partition(":")[0]
    named = None if isinstance(devices, str) else len(set(devices))
    found = _nvidia() if asked in ("auto", "cuda") else None
    if found is not None:
        gpu, there = found
        return replace(gpu, workers=min(workers or there, named or there))
    if asked == "mps" or (asked == "auto" and sys.platform == "darwin" and os.uname().machine == "arm64"):
        return Device("mps", "mps", memory_total(), _MPS, _MPS)
    several = workers or (1 if isinstance(devices, str) else len(devices))
    each = threads or max(1, cores() // several)
    peak = _CORE * each
    side_by_side = max(1, min(several, cores() // each))
    return Device("cpu", f"cpu, {plural(each, 'thread')}", memory_total(), peak, peak, side_by_side)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_total(key: str = "MemTotal") -> int | None:
    """Bytes of this machine's memory; with `MemAvailable`, those that are free. None where nothing says so."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if key == "MemTotal" else None
    except (AttributeError, OSError, ValueError):
        return None


def _nvidia() -> tuple[Device, int] | None:
    """The first NVIDIA GPU that torch could use, and how many there are; None where there is none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    executable = shutil.which("nvidia-smi")
    if executable is None or visible in ("", "-1") or not _torch_knows_cuda():
        return None
    query = [executable, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.rpartition(",") for line in done.stdout.splitlines() if "," in line]
    first = (visible or "0").partition(",")[0]
    position = int(first) if first.isdecimal() and int(first) < len(rows) else 0
    if not rows:
        return None
    name, memory = rows[position][0].strip(), rows[position][2].strip()
    half, single = next((peaks for part, peaks in _GPUS.items() if part in name), _UNKNOWN_GPU)
    seen = len(visible.split(",")) if visible else len(rows)
    return Device("cuda", name, int(memory) << 20 if memory.isdecimal() else None, half, single), min(seen, len(rows))


def _torch_knows_cuda() -> bool:
    try:
        return "+cpu" not in version("torch")
    except PackageNotFoundError:
        return False
