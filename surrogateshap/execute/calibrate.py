"""Measures how fast a spec's model and encoders are here, for the costs of its plans. No image is kept."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from surrogateshap.errors import InterruptedRun
from surrogateshap.execute.shards import Item, cut
from surrogateshap.execute.workshop import Workshop, keep_batch, known_batch
from surrogateshap.health import Speed
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled
from surrogateshap.plan.costs import rate_key
from surrogateshap.plan.pool import Pool
from surrogateshap.store import Store

T = TypeVar("T")
_FIRST = 4
"""Images of the first batch, which also warms up."""
_ENOUGH = 2.0
"""Seconds that the batch whose time counts takes at least, unless it is as large as the run's."""
_GROWTH = 4


def calibrate(compiled: Compiled, store: Store, say: Callable[[str], None], stop: threading.Event) -> tuple[Speed, ...]:
    """Generates and encodes one batch per proxy, and keeps the speeds.

    Batches grow from a few images until one takes long enough to be timed. Raises InterruptedRun once `stop` is set,
    and DeviceError and RunError as a run does.
    """
    with store.lock(), threadpool_limits(compiled.spec.execution.threads, user_api="blas"):
        return tuple(_measure(compiled, store, say, stop))


def _measure(compiled: Compiled, store: Store, say: Callable[[str], None], stop: threading.Event) -> Iterator[Speed]:
    workshop = Workshop(compiled, batch=known_batch(compiled, store), say=say)
    done: set[str] = set()
    for pool in {pool.proxy: pool for pool in compiled.pools}.values():
        say(f"generating with the {pool.proxy} proxy")
        _ = workshop.model
        made: list[np.ndarray] = []

        def generate(items: Sequence[Item], made: list[np.ndarray] = made) -> None:
            made[:] = [workshop.make(workshop.requests(items))[0]]

        stage = f"generate:{pool.id}"
        yield _keep(compiled, store, workshop, stage, *_time(_items(compiled, pool), generate, stop))
        if workshop.halved is not None:
            keep_batch(compiled, store, workshop.device_name, workshop.halved)
        games = (game for game in compiled.games if game.pool is pool)
        for encoder in {encoder.name: encoder for game in games for encoder in game.encoders}.values():
            if encoder.name in done:
                continue
            done.add(encoder.name)
            say(f"encoding with {encoder.name}")
            workshop.prepare(encoder)

            def encode(images: Sequence[np.ndarray], encoder: EncoderInput = encoder) -> None:
                workshop.encode(encoder, np.stack(list(images)))

            images, stage = list(made[0]), f"encode:{pool.id}:{encoder.name}"
            yield _keep(compiled, store, workshop, stage, *_time(images, encode, stop))


def _items(compiled: Compiled, pool: Pool) -> tuple[Item, ...]:
    """The pool's first batch of images with a condition."""
    shards = cut(pool, compiled.spec.execution.batch_size)
    return next(shard for shard in shards if pool.proxy == "prompt" or shard[0].row >= 0)


def _time(things: Sequence[T], work: Callable[[Sequence[T]], None], stop: threading.Event) -> tuple[int, float]:
    """How many things the last batch had, and its seconds."""
    number = min(_FIRST, len(things))
    work(things[:number])  # compiles, allocates, reads files
    while True:
        if stop.is_set():
            raise InterruptedRun("interrupted: nothing was kept of what was not measured to its end")
        began = time.monotonic()
        work(things[:number])
        seconds = time.monotonic() - began
        if seconds >= _ENOUGH or number == len(things):
            return number, max(seconds, 1e-6)
        number = min(number * _GROWTH, len(things))


def _keep(compiled: Compiled, store: Store, workshop: Workshop, stage: str, number: int, seconds: float) -> Speed:
    key = rate_key(compiled, stage)
    store.add_rate(key.kind, key.subject, workshop.device_name, number * key.per_unit, seconds)
    return Speed(stage=stage, device=workshop.device_name, images=number, seconds_per_image=seconds / number)
