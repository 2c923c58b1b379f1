"""How much of a worker's device is in use."""

import time
from typing import TYPE_CHECKING

from surrogateshap.execute.jobs import Sample
from surrogateshap.execute.memory import device_memory, process_memory
from surrogateshap.plan.device import cores, memory_total

if TYPE_CHECKING:
    from surrogateshap.execute.workshop import Workshop


class Usage:
    """Since the last sample: of a GPU what its driver says, of a CPU what this process took of the worker's cores."""

    def __init__(self, workshop: "Workshop") -> None:
        self._workshop = workshop
        self._wall, self._busy = time.monotonic(), time.process_time()

    def sample(self) -> Sample:
        """Numbers that nothing tells are None; never raises for the want of them."""
        device = self._workshop.device
        if device.type == "cuda":
            free, total = device_memory(device)
            used = None if free is None or total is None else total - free
            return Sample(utilisation=self._of_gpu(), memory_bytes=used, memory_total=total)
        if device.type != "cpu":
            return Sample()
        wall, busy = time.monotonic(), time.process_time()
        share = (busy - self._busy) / max(wall - self._wall, 1e-9) / (self._workshop.threads or cores())
        self._wall, self._busy = wall, busy
        return Sample(utilisation=min(1.0, share), memory_bytes=process_memory(), memory_total=memory_total())

    def _of_gpu(self) -> float | None:
        import torch

        try:
            return min(1.0, torch.cuda.utilization(self._workshop.device) / 100)
        except Exception:  # NVIDIA's bindings are not installed, or their library has errors of its own
            return None
