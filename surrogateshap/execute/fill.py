"""Fills the pools: generates what is missing and encodes what no encoder has seen, shard by shard."""

import time
from collections.abc import Callable, Iterable

import numpy as np

from surrogateshap.execute.beside import BesideFiller
from surrogateshap.execute.progress import Progress
from surrogateshap.execute.shards import cut
from surrogateshap.execute.workshop import Workshop
from surrogateshap.plan import keys
from surrogateshap.plan.build import unique_keys
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled
from surrogateshap.plan.costs import rate_key
from surrogateshap.plan.pool import Pool
from surrogateshap.store import Store

Found = dict[str, tuple[str, int]]


class Filler:
    """Generates and encodes for one attempt; `found` grows as images come."""

    def __init__(self, compiled: Compiled, store: Store, workshop: Workshop, progress: Progress) -> None:
        self._compiled, self._store, self._workshop, self._progress = compiled, store, workshop, progress
        self.took = 0.0
        """Seconds of this attempt, where a rule asks for them."""
        self._beside = BesideFiller(compiled, store, workshop, progress)
        self._timed = any(rule.gpu_hours is not None for rule in compiled.spec.budget.rules)
        self.found: Found = store.find_images({key for pool in compiled.pools for key in pool.keys})

    def fill(self, pool: Pool, after_shard: Callable[[], None]) -> None:
        """All of a pool's images, encoded by all encoders that its games need."""
        self.fill_round(pool, after_shard)
        self.finish(pool)

    def fill_round(self, pool: Pool, after_shard: Callable[[], None], go_on: Callable[[], bool] = lambda: True) -> bool:
        """The same for a pool that may grow afterwards: `finish` closes its stages.

        `go_on` is asked before each shard; returns False where it said no. What is found is encoded then too.
        """
        encoders = self._encoders(pool)
        generate = f"generate:{pool.id}"
        wanted = unique_keys(pool)
        self.found |= self._store.find_images(key for key in wanted if key not in self.found)
        self._progress.start(generate, sum(key in self.found for key in wanted))
        for name, encoder in encoders.items():
            self._start_encoding(pool, name, encoder, wanted)
        size = self._compiled.spec.execution.batch_size
        for shard in cut(pool, size):
            missing = [item for item in shard if item.key not in self.found]
            if not missing:
                continue
            self._progress.check()
            if not go_on():
                return False
            _ = self._workshop.model  # loaded outside the stage's own time, which tells the rate
            with self._progress.working(generate):
                began = time.monotonic()
                images, where = self._workshop.make(missing)
                made = self._store.put_arrays({"images": images})
                self._keep_seconds(made, began)
                self._store.remember(keys.provenance(made), self._store.put_json(where), "generate")
                self._store.add_images(made, [item.key for item in missing])
            self.found.update({item.key: (made, slot) for slot, item in enumerate(missing)})
            self._progress.advance(generate, len(missing))
            for name, encoder in encoders.items():
                self._encode(f"encode:{pool.id}:{name}", encoder, made, images, len(missing))
            after_shard()
        self._fill_own(pool)
        return True

    def finish(self, pool: Pool) -> None:
        """Closes a pool's stages, which may have come to fewer images than planned."""
        self._fill_own(pool)
        images = len(unique_keys(pool))
        generate = f"generate:{pool.id}"
        self._progress.finish(generate, images)
        self.keep_rate(generate)
        for name in self._encoders(pool):
            self._progress.finish(f"encode:{pool.id}:{name}", images)
            self.keep_rate(f"encode:{pool.id}:{name}")

    def _fill_own(self, pool: Pool) -> None:
        """Training images that a pool stands for which grew, or was cut short, in another way than was planned."""
        if self._compiled.spec.budget.rules:
            self._beside.fill_own(self._compiled.with_pools([pool]))

    def _encoders(self, pool: Pool) -> dict[str, EncoderInput]:
        games = [game for game in self._compiled.games if game.pool.id == pool.id]
        return {encoder.name: encoder for game in games for encoder in game.encoders}

    def _keep_seconds(self, made: str, began: float) -> None:
        """What an object took counts for whoever uses it, in whichever attempt it was made."""
        if self._timed:
            seconds = time.monotonic() - began
            self.took += seconds
            self._store.remember(keys.spent(made), self._store.put_json({"seconds": seconds}), "generate")

    def seconds(self, pools: Iterable[Pool]) -> float:
        """What the images of these pools that are there took to generate and encode, as far as that was measured."""
        made: dict[str, None] = {}
        measured: set[str] = set()
        for pool in pools:
            made |= {self.found[key][0]: None for key in pool.keys if key in self.found}
            measured |= {encoder.digest for encoder in self._encoders(pool).values()}
        wanted = [*made, *(keys.encoding(encoder, name) for name in made for encoder in sorted(measured))]
        there = self._store.lookup(keys.spent(name) for name in wanted)
        documents = (self._store.get_json(there[key]) for name in wanted if (key := keys.spent(name)) in there)
        return float(sum(document["seconds"] for document in documents if document is not None))

    def _start_encoding(self, pool: Pool, name: str, encoder: EncoderInput, wanted: list[str]) -> None:
        """Encodes the images that were there before and that this encoder has not seen."""
        stage = f"encode:{pool.id}:{name}"
        objects: dict[str, int] = {}
        for key in wanted:
            if key in self.found:
                objects[self.found[key][0]] = objects.get(self.found[key][0], 0) + 1
        seen = self._store.lookup(keys.encoding(encoder.digest, name) for name in objects)
        fresh = {made: n for made, n in objects.items() if keys.encoding(encoder.digest, made) not in seen}
        self._progress.start(stage, sum(objects.values()) - sum(fresh.values()))
        for made, count in fresh.items():
            self._progress.check()
            arrays = self._store.get_arrays(made)
            if arrays is None:
                # Damaged since it was found: its images are made again below.
                self.found = {key: at for key, at in self.found.items() if at[0] != made}
                continue
            self._encode(stage, encoder, made, arrays["images"], count)

    def _encode(self, stage: str, encoder: EncoderInput, made: str, images: np.ndarray, count: int) -> None:
        self._workshop.prepare(encoder)
        with self._progress.working(stage):
            began = time.monotonic()
            view = self._workshop.encode(encoder, images)
            encoded = self._store.put_arrays({"features": view.features, "probabilities": view.probabilities})
            self._keep_seconds(keys.encoding(encoder.digest, made), began)
            self._store.remember(keys.encoding(encoder.digest, made), encoded, "encode")
        self._progress.advance(stage, count)

    def encode_references(self, name: str) -> None:
        """All that one encoder's games compare the pools' images with."""
        stage = self._beside.fill(name)
        if stage is not None:
            self.keep_rate(stage)

    def keep_rate(self, stage: str) -> None:
        """Remembers how fast a stage was in this attempt, for the costs of later plans."""
        rate = self._progress.rate(stage)
        if rate > 0:
            key = rate_key(self._compiled, stage)
            device = self._workshop.device_name if key.on_device else "cpu"
            self._store.add_rate(key.kind, key.subject, device, rate * key.per_unit, 1.0)
