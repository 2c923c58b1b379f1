"""Fills the pools: generates what is missing and encodes what no encoder has seen, shard by shard."""

import time
from collections.abc import Callable, Iterable

import numpy as np

from surrogateshap.execute.images import decode
from surrogateshap.execute.progress import Progress
from surrogateshap.execute.shards import cut
from surrogateshap.execute.workshop import Workshop
from surrogateshap.plan import keys
from surrogateshap.plan.build import reference_key, unique_keys
from surrogateshap.plan.cards import ModelCard
from surrogateshap.plan.check import REFERENCE_AT_MOST, EncoderInput, Reference
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.costs import rate_key
from surrogateshap.plan.manifest import read_images
from surrogateshap.plan.pool import Pool
from surrogateshap.store import Store

Found = dict[str, tuple[str, int]]


def reference_images(card: ModelCard, reference: Reference) -> np.ndarray:
    """A reference's images in the model's shape, (N, H, W, C) uint8. Raises RunError for what is no image."""
    if reference.manifest is not None:
        found = reference.manifest.each_image(at_most=REFERENCE_AT_MOST)
    else:
        found = read_images(reference.path, reference.column, at_most=REFERENCE_AT_MOST)
    images = [
        decode(data, card.height, card.width, card.channels, f"row {row} of {reference.path.name}")
        for row, data in found
    ]
    return np.stack(images)


class Filler:
    """Generates and encodes for one attempt; `found` grows as images come."""

    def __init__(self, compiled: Compiled, store: Store, workshop: Workshop, progress: Progress) -> None:
        self._compiled, self._store, self._workshop, self._progress = compiled, store, workshop, progress
        self.took = 0.0
        """Seconds of this attempt, where a rule asks for them."""
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
        return True

    def finish(self, pool: Pool) -> None:
        """Closes a pool's stages, which may have come to fewer images than planned."""
        images = len(unique_keys(pool))
        generate = f"generate:{pool.id}"
        self._progress.finish(generate, images)
        self.keep_rate(generate)
        for name in self._encoders(pool):
            self._progress.finish(f"encode:{pool.id}:{name}", images)
            self.keep_rate(f"encode:{pool.id}:{name}")

    def _encoders(self, pool: Pool) -> dict[str, EncoderInput]:
        return {game.encoder.name: game.encoder for game in self._compiled.games if game.pool.id == pool.id}

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
        """All references of one encoder's games."""
        stage = f"reference:{name}"
        mine = [game for game in self._compiled.games if game.encoder.name == name]
        games = {key: game for game in mine if (key := reference_key(self._compiled, game))}
        if not games:
            return
        there = self._store.lookup(games)
        self._progress.start(stage, len(there))
        for key, game in games.items():
            if key not in there:
                self._progress.check()
                self._workshop.prepare(game.encoder)
                with self._progress.working(stage):
                    self._encode_reference(key, game)
                self._progress.advance(stage, 1)
        self._progress.finish(stage)
        self.keep_rate(stage)

    def _encode_reference(self, key: str, game: GameDesign) -> None:
        if game.reference is None:
            return
        view = self._workshop.encode(game.encoder, reference_images(self._compiled.checked.card, game.reference))
        encoded = self._store.put_arrays({"features": view.features, "probabilities": view.probabilities})
        self._store.remember(key, encoded, "encode")

    def keep_rate(self, stage: str) -> None:
        """Remembers how fast a stage was in this attempt, for the costs of later plans."""
        rate = self._progress.rate(stage)
        if rate > 0:
            key = rate_key(self._compiled, stage)
            device = self._workshop.device_name if key.on_device else "cpu"
            self._store.add_rate(key.kind, key.subject, device, rate * key.per_unit, 1.0)
