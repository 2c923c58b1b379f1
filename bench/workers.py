"""How work spreads: images per second by number of workers. `scale.py` runs it.

The digits example, as `surrogateshap apply --devices cpu,cpu` runs it, with one thread for each process. Images per
second are counted from when each worker's first shard has come back to the last one, so that the start of the
processes, told apart, doesn't count. Efficiency is against one worker, and against as many as there are cores.
"""

import os
import re
import tempfile
import time
from pathlib import Path

from surrogateshap import api
from surrogateshap.events import DeviceProgress, Event, StageStarted
from surrogateshap.execute import progress

SPEC = Path(__file__).parent.parent / "specs" / "digits.toml"
BATCH = 64


def measure(workers: int, images: int, folder: Path) -> tuple[float, float, int]:
    """Seconds to the first shard; images per second once all work; bytes that the largest worker held."""
    text = SPEC.read_text()
    text = re.sub(r"images_per_contributor = \d+", f"images_per_contributor = {images}", text)
    text = re.sub(r"batch_size = \d+", f"batch_size = {BATCH}", text)
    text = re.sub(r"denoising_loss = true", "denoising_loss = false", text)
    spec = folder / "digits.toml"
    spec.write_text(text)
    began = 0.0
    told: list[tuple[float, DeviceProgress]] = []

    def emit(event: Event) -> None:
        nonlocal began
        if isinstance(event, StageStarted) and event.stage.startswith("generate") and not began:
            began = time.monotonic()
        if isinstance(event, DeviceProgress):
            told.append((time.monotonic(), event))

    progress._DEVICE_TICK = 0.0  # every shard is told
    api.apply(spec, store=folder / f"store{workers}", execution={"devices": ("cpu",) * workers}, emit=emit)
    first = {event.device: at for at, event in reversed(told)}
    start, last = max(first.values()), told[-1][0]
    before = {event.device: event.images for at, event in told if at <= start}
    after = {event.device: event.images for _, event in told}
    memory = max(event.memory_bytes or 0 for _, event in told)
    return told[0][0] - began, (sum(after.values()) - sum(before.values())) / (last - start), memory


def compare(images: int) -> None:
    """Prints a row for each number of workers."""
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, one thread for each worker, batches of {BATCH}")
    print("workers   images/s   against one   of what the cores allow   first shard   memory of a worker")
    with tempfile.TemporaryDirectory() as folder:
        alone = 0.0
        for number in (1, 2, 4):
            start, rate, memory = measure(number, images, Path(folder))
            alone = alone or rate
            share = rate / alone / min(number, cores)
            line = f"{number:7}   {rate:8.1f}   {rate / alone:10.2f}x   {share:22.0%}"
            print(f"{line}   {start:9.1f} s   {memory / 1e9:15.2f} GB", flush=True)
