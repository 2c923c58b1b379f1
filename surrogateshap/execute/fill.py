"""Fills the pools: has made what is missing and encoded what no encoder has seen, shard by shard."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from surrogateshap.errors import RunError
from surrogateshap.execute.assembly import DEPTH
from surrogateshap.execute.beside import BesideFiller
from surrogateshap.execute.crew import Crew
from surrogateshap.execute.jobs import Done, Job, encoders_of, image_jobs
from surrogateshap.execute.merge import register
from surrogateshap.execute.progress import Progress
from surrogateshap.execute.workshop import keep_batch
from surrogateshap.plan import keys
from surrogateshap.plan.build import unique_keys
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled
from surrogateshap.plan.costs import rate_key
from surrogateshap.plan.pool import Pool
from surrogateshap.store import Store

Found = dict[str, tuple[str, int]]
_PASSES = 8
"""Times that a pool is gone through: each finds less to do, unless what is written can't be read."""


@dataclass(frozen=True)
class _Filling:
    """A pool that is being filled."""

    pool: Pool
    wanted: frozenset[str]
    encoders: dict[str, EncoderInput]

    @property
    def generate(self) -> str:
        """Its stage."""
        return f"generate:{self.pool.id}"

    def encode(self, name: str) -> str:
        """Its stage for an encoder."""
        return f"encode:{self.pool.id}:{name}"


class Filler:
    """Generates and encodes for one attempt; `found` grows as images come."""

    def __init__(self, compiled: Compiled, store: Store, crew: Crew, progress: Progress) -> None:
        self._compiled, self._store, self._crew, self._progress = compiled, store, crew, progress
        self.took = 0.0
        """Seconds of this attempt, all workers', where a rule asks for them."""
        self._beside = BesideFiller(compiled, store, crew, progress)
        self._timed = any(rule.gpu_hours is not None for rule in compiled.spec.budget.rules)
        self._speeds: dict[tuple[str, str], tuple[int, float]] = {}
        """By stage and device: units, and the seconds that they took."""
        self._at_once: dict[str, int] = {}
        """By device: images in a batch, where its memory allows no more; as the store knows it."""
        self.found: Found = store.find_images({key for pool in compiled.pools for key in pool.keys})

    def fill(self, pools: Sequence[Pool], after_shard: Callable[[Pool], None]) -> None:
        """All of the pools' images, encoded by all encoders that their games need."""
        self._fill(pools, after_shard, lambda: True)
        for pool in pools:
            self.finish(pool)

    def fill_round(self, pool: Pool, go_on: Callable[[], bool] = lambda: True) -> bool:
        """The same for a pool that may grow afterwards: `finish` closes its stages.

        `go_on` is asked before each shard; returns False where it said no. What is found is encoded then too.
        """
        whole = self._fill([pool], lambda _: None, go_on)
        if whole:
            self._fill_own(pool)
        return whole

    def finish(self, pool: Pool) -> None:
        """Closes a pool's stages, which may have come to fewer images than planned."""
        self._fill_own(pool)
        self._progress.tell_use()
        images = len(unique_keys(pool))
        filling = self._filling(pool)
        for stage in (filling.generate, *map(filling.encode, filling.encoders)):
            self._progress.finish(stage, images)
            self._keep_rates(stage)

    def count(self, pool: Pool) -> int:
        """Images of a pool that are there."""
        return sum(key in self.found for key in pool.keys)

    def seconds(self, pools: Iterable[Pool]) -> float:
        """What the images of these pools that are there took to generate and encode, as far as that was measured."""
        made: dict[str, None] = {}
        measured: set[str] = set()
        for pool in pools:
            made |= {self.found[key][0]: None for key in pool.keys if key in self.found}
            measured |= {encoder.digest for encoder in self._filling(pool).encoders.values()}
        wanted = [*made, *(keys.encoding(encoder, name) for name in made for encoder in sorted(measured))]
        there = self._store.lookup(keys.spent(name) for name in wanted)
        documents = (self._store.get_json(there[key]) for name in wanted if (key := keys.spent(name)) in there)
        return float(sum(document["seconds"] for document in documents if document is not None))

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
            device = self._crew.device_name if key.on_device else "cpu"
            self._store.add_rate(key.kind, key.subject, device, rate * key.per_unit, 1.0)

    def _fill(self, pools: Sequence[Pool], after_shard: Callable[[Pool], None], go_on: Callable[[], bool]) -> bool:
        fillings = [self._filling(pool) for pool in pools]
        for filling in fillings:
            self.found |= self._store.find_images(filling.wanted - self.found.keys())
            self._progress.start(filling.generate, len(filling.wanted & self.found.keys()))
            self._start_encoding(filling)
        # What rests on time, and not on images alone, is decided after each shard.
        depth = 1 if self._timed else DEPTH
        for _ in range(_PASSES):
            jobs = list(self._jobs(fillings))
            if not jobs:
                return True
            done, unseen = 0, sum(not job.items for job in jobs)
            for job, what, worker in self._crew.do(jobs, go_on, depth):
                self._take(job, what, worker, fillings)
                unseen -= not job.items
                if not unseen:  # before that some of what is found can't be ranked
                    after_shard(next(filling.pool for filling in fillings if filling.pool.id == job.pool))
                done += 1
            if done < len(jobs):
                return False
        raise RunError(f"{self._store.root}: what is written there can't be read again", "Look at the disk.")

    def _filling(self, pool: Pool) -> _Filling:
        return _Filling(pool, frozenset(unique_keys(pool)), encoders_of(self._compiled, pool))

    def _jobs(self, fillings: Sequence[_Filling]) -> Iterator[Job]:
        """What is left to do, the same for the same store: images that two pools share are the first one's."""
        claimed: set[str] = set()
        looked: set[tuple[str, str]] = set()
        for filling in fillings:
            objects = self._objects(filling)
            unseen = self._unseen(filling, objects)
            for made, images in objects.items():
                names = [name for name in unseen[made] if (made, name) not in looked]
                looked.update((made, name) for name in names)
                if names:
                    yield Job(filling.pool.id, (), tuple(names), made, images)
            yield from image_jobs(self._compiled, filling.pool, self.found, claimed)

    def _objects(self, filling: _Filling) -> Counter[str]:
        """Objects that hold the pool's images, with how many of them."""
        return Counter(self.found[key][0] for key in unique_keys(filling.pool) if key in self.found)

    def _unseen(self, filling: _Filling, objects: Iterable[str]) -> dict[str, list[str]]:
        """By object, the encoders that have not seen it."""
        named = {
            keys.encoding(encoder.digest, made): (made, name)
            for name, encoder in filling.encoders.items()
            for made in objects
        }
        seen = self._store.lookup(named)
        found: dict[str, list[str]] = {made: [] for made in objects}
        for key, (made, name) in named.items():
            if key not in seen:
                found[made].append(name)
        return found

    def _start_encoding(self, filling: _Filling) -> None:
        objects = self._objects(filling)
        unseen = self._unseen(filling, objects)
        for name in filling.encoders:
            seen = sum(images for made, images in objects.items() if name not in unseen[made])
            self._progress.start(filling.encode(name), seen)

    def _take(self, job: Job, done: Done, worker: str, fillings: Sequence[_Filling]) -> None:
        """Registers what came of a job, and tells how far the stages are that it counts for."""
        if done.made is None:
            # Damaged since it was found: its images are made again in the next pass.
            self.found = {key: at for key, at in self.found.items() if at[0] != job.made}
            return
        named = register(self._compiled, self._store, done.made, done)
        fresh = frozenset(done.keys).difference(self.found)  # workers elsewhere make whole shards
        if done.keys:
            self.found.update({key: (done.made, slot) for slot, key in enumerate(done.keys)})
            self._spend(done.made, done.seconds["generate"])
        for name, key in named.items():
            self._spend(key, done.seconds[name])
        if done.at_once is not None and self._at_once.get(done.device) != done.at_once:
            self._at_once[done.device] = done.at_once
            keep_batch(self._compiled, self._store, done.device, done.at_once)
        for filling in fillings:
            self._advance(filling, job, done, fresh)
        self._progress.use(worker, len(done.keys), done.sample, sum(done.seconds.values()))

    def _advance(self, filling: _Filling, job: Job, done: Done, fresh: frozenset[str]) -> None:
        own = filling.pool.id == job.pool
        images = len(filling.wanted & fresh) if done.keys else job.images
        if not images or (not own and not done.keys):
            return
        stages = {"generate": filling.generate} if done.keys else {}
        stages |= {name: filling.encode(name) for name in done.encoded if name in filling.encoders}
        for what, stage in stages.items():
            if own:
                seconds = done.seconds[what]
                units, before = self._speeds.get((stage, done.device), (0, 0.0))
                self._speeds[stage, done.device] = (units + images, before + seconds)
                self._progress.spend(stage, seconds / self._crew.workers)
                self._progress.advance(stage, images)
            else:
                self._progress.find(stage, images)

    def _spend(self, key: str, seconds: float) -> None:
        """What an object took counts for whoever uses it, in whichever attempt it was made."""
        if self._timed:
            self.took += seconds
            self._store.remember(keys.spent(key), self._store.put_json({"seconds": seconds}), "generate")

    def _fill_own(self, pool: Pool) -> None:
        """Training images that a pool stands for which grew, or was cut short, in another way than was planned."""
        if self._compiled.spec.budget.rules:
            self._beside.fill_own(self._compiled.with_pools([pool]))

    def _keep_rates(self, stage: str) -> None:
        """The same for stages that workers do, for each device."""
        key = rate_key(self._compiled, stage)
        for (named, device), (units, seconds) in self._speeds.items():
            if named == stage and units and seconds > 0:
                self._store.add_rate(key.kind, key.subject, device, units * key.per_unit, seconds)
