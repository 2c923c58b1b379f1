"""What a method works on: one grouping's contributors, the run's utilities, and pieces that survive a kill."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from surrogateshap.errors import RunError
from surrogateshap.execute.beside import decode_rows
from surrogateshap.execute.damage import DamagedError
from surrogateshap.execute.evaluate import Features, Game, make_game
from surrogateshap.execute.image_sets import ImageSets
from surrogateshap.execute.models import Request
from surrogateshap.execute.shards import Item, cut
from surrogateshap.execute.workshop import Workshop
from surrogateshap.games.encoded import Bools, Floats
from surrogateshap.methods.protocol import Cost
from surrogateshap.plan import keys
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.costs import rate_key
from surrogateshap.plan.manifest import Grouping, spread
from surrogateshap.plan.pool import Pool, PoolRequest, build_anchor_pool
from surrogateshap.record.anchors import rows_digest
from surrogateshap.record.results import GameResult, Results
from surrogateshap.spec.compare import CompareSection
from surrogateshap.store import Store
from surrogateshap.text import digest, harmless

VERSION = 1
"""Raised whenever a method's pieces would be others than before."""
_KEYS, _COSTS = "_keys", "_costs"
"""Of the arrays that tell what a piece and those inside of it took."""
_LOOSE = ""
"""Stands for the key of what is in no piece."""
_NUMBERS = 1 << 22
"""Of summaries held at a time, of which a utility has at most about the square of its encoder's features per image."""


@dataclass(frozen=True)
class Generated:
    """Images of the frozen model under the conditions of all rows, in proportion: what attribution explains."""

    pool: Pool
    """Their conditions (positions in the manifest's), seeds and keys."""
    images: np.ndarray
    """(N, H, W, C) uint8."""
    requests: Sequence[Request]
    """What the model was asked for, one per image."""


class Task:
    """One grouping of a finished run, for any method. Made by `comparing.py`.

    `check` raises InterruptedRun once the user wants to stop; call it between pieces. `say` tells the user one line.
    """

    def __init__(
        self,
        compiled: Compiled,
        store: Store,
        results: Results,
        grouping: str,
        *,
        workshop: Workshop | None = None,
        say: Callable[[str], None] = lambda _: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`compiled` has the pools that the run ended with, and `results` are the run's."""
        self.compiled, self.store, self.say, self.check = compiled, store, say, check
        self.grouping: Grouping = next(one for one in compiled.checked.manifest.groupings if one.name == grouping)
        self.workshop = workshop or Workshop(compiled, say=say)
        self.designs: tuple[GameDesign, ...] = tuple(one for one in compiled.games if one.info.grouping == grouping)
        """The run's games with this grouping: each utility under each of the run's proxies."""
        self.seed = compiled.spec.seed
        self._ledger: list[dict[str, Cost]] = [{_LOOSE: Cost()}]
        """Of the method, then of each open piece: costs by key, its own first."""
        self._waited, self._began = 0.0, time.monotonic()
        self._results = {(game.utility, game.proxy): game for game in results.games if game.grouping == grouping}
        self._features = Features(compiled, store)
        self._made: dict[str, Game] = {}

    @property
    def n(self) -> int:
        """How many contributors there are."""
        return len(self.grouping.contributors)

    @property
    def settings(self) -> CompareSection:
        """The spec's [compare]."""
        return self.compiled.spec.compare

    @property
    def utilities(self) -> tuple[str, ...]:
        """Names of the run's utilities: scores have one entry for each."""
        return tuple(one.name for one in self.compiled.spec.utility)

    @cached_property
    def sets(self) -> ImageSets:
        """Encodes and evaluates images from anywhere."""
        return ImageSets(self.compiled, self.workshop)

    @cached_property
    def _base(self) -> str:
        """Of all that every piece depends on: the frozen model, the training rows, whose they are, and the seed."""
        rows = rows_digest(self.compiled, self.grouping)
        base: dict[str, Any] = {"compare": VERSION, "model": self.generation, "rows": rows, "seed": self.seed}
        manifest = self.compiled.checked.manifest
        if manifest.image_files:  # among the run's inputs are only those that its pools look at
            try:
                base["images"] = digest([*manifest.sources(np.arange(len(self.grouping.of_row))).values()])
            except OSError as error:
                message = f"the manifest's images can't be read: {harmless(str(error))}"
                raise RunError(message, "Look at the manifest.") from None
        return digest(base)

    @cached_property
    def generation(self) -> str:
        """Digest of the frozen model and of how it is sampled from noise."""
        checked = self.compiled.checked
        adapters = [(one.digest, one.weight_name, one.scale) for one in checked.adapters]
        return keys.generation(self.compiled.spec, checked.digest("model"), "prompt", adapters)

    @property
    def encoders(self) -> dict[str, EncoderInput]:
        """All that any utility looks through, by name."""
        return self.sets.encoders

    def encoder_of(self, utility: str) -> EncoderInput:
        """The encoder that a utility looks through."""
        return self.sets.games[utility].encoder

    # Pieces: what is done once, whatever is killed.

    def begin(self) -> None:
        """Forgets what was spent: a method begins."""
        self._ledger, self._waited, self._began = [{_LOOSE: Cost()}], 0.0, time.monotonic()

    @property
    def spent(self) -> Cost:
        """By the method that is running, each piece counted once, and those that were in the store as when made."""
        loose = time.monotonic() - self._began - self._waited
        return sum(self._ledger[0].values(), Cost(seconds=loose))

    def count(self, *, images: int = 0, training_steps: int = 0, gradients: int = 0, seconds: float = 0.0) -> None:
        """Adds to what the innermost piece has spent; `seconds` are those of others: its own are measured."""
        self._add(Cost(images, training_steps, gradients, seconds))

    def _add(self, cost: Cost) -> None:
        own = next(iter(self._ledger[-1]))
        self._ledger[-1][own] += cost

    def piece(self, what: Mapping[str, Any], make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Arrays from the store, or made now and kept.

        `what`, as JSON, says what they are and all that they depend on beside the model, the rows and the seed: the
        method's name and settings, the coalition, the digests of encoders. Numbers and booleans only. What `make`
        counts, and how long it took, is kept with them. One piece may ask for another.
        """
        key = digest({"base": self._base, "what": dict(what)})
        name = self.store.lookup([key]).get(key)
        arrays = self.store.get_arrays(name) if name is not None else None
        began, waited = time.monotonic(), self._waited
        if arrays is None:
            self.check()
            self._ledger.append({key: Cost()})
            try:
                arrays = dict(make())
            except BaseException:
                self._ledger.pop()
                raise
            self._add(Cost(seconds=time.monotonic() - began - (self._waited - waited)))
            entries = self._ledger.pop()
            self.store.remember(key, self.store.put_arrays({**arrays, **_written(entries)}), "compare")
        else:
            entries = _read(arrays)
        self._ledger[-1].update(entries)
        self._waited = waited + time.monotonic() - began
        return {name: array for name, array in arrays.items() if name not in (_KEYS, _COSTS)}

    # Images of models and what they are worth.

    def rows_of(self, mask: Bools) -> np.ndarray:
        """Manifest rows of a coalition (n,), ascending."""
        return np.flatnonzero(np.asarray(mask, dtype=np.bool_)[self.grouping.of_row])

    def pool_of(self, mask: Bools, images: int | None = None) -> Pool:
        """Which images stand for a model of the coalition's rows: conditions in their proportions, seeds, keys.

        Each has the noise that images of the same condition have everywhere in the run. `images` is by default what
        [compare] says. Only for the frozen model are the keys those of the images themselves.
        """
        made, manifest = self.generation, self.compiled.checked.manifest
        request = PoolRequest("prompt", self.seed, images or self.settings.images, 0, made, made)
        return build_anchor_pool(request, manifest, self.rows_of(mask))

    def requests(self, pool: Pool) -> list[Request]:
        """What a model is asked for to make a pool's images, in its order."""
        items = zip(pool.keys, pool.conditions.tolist(), pool.seeds.tolist(), pool.rows.tolist(), strict=True)
        return self.workshop.requests([Item(*item) for item in items])

    def training(self, rows: Sequence[int] | np.ndarray) -> list[Request]:
        """Training rows as requests: condition, a seed of the row's own, and its image as `source`, decoded.

        Hold few at a time: take rows in chunks of `execution.batch_size`.
        """
        of_row = self.compiled.checked.manifest.condition_of_row
        return self.workshop.requests(
            [Item("", int(of_row[row]), _seed(self.seed, int(row)), int(row)) for row in np.asarray(rows).tolist()]
        )

    def evaluate(
        self,
        what: Mapping[str, Any],
        mask: Bools,
        make: Callable[[list[Request]], np.ndarray],
        pool: Pool | None = None,
    ) -> dict[str, float]:
        """Values by utility of the images that a coalition's model makes; what encoders say of them is kept.

        `make` is called with all requests at once, only where that is not in the store: it trains the model, generates
        (N, H, W, C) uint8, and counts its training steps; images are counted here. They are those of `pool`, by default
        of `pool_of`. Raises NotFiniteError and RunError.
        """
        chosen = np.asarray(mask, dtype=np.bool_)
        pool = pool or self.pool_of(chosen)
        asked = {**what, "coalition": chosen.astype(int).tolist(), "images": digest(list(pool.keys))}
        asked["encoders"] = self._encoders

        def looked() -> dict[str, np.ndarray]:
            images = make(self.requests(pool))
            self.count(images=len(images))
            return self.sets.look(images)

        seen, rows = self.piece(asked, looked), self.rows_of(chosen)
        return {name: self.sets.value(game, seen, pool, rows) for name, game in self.sets.games.items()}

    def generated(self) -> Generated:
        """The images to explain. From the run's own pool where they are there, else made now and kept."""
        pool = self.pool_of(np.ones(self.n, dtype=np.bool_))
        self.piece({"generate": digest(list(pool.keys))}, lambda: self._generate(pool))
        self._generate(pool, again=True)
        return Generated(pool, self._read_images(pool), self.requests(pool))

    def _generate(self, pool: Pool, *, again: bool = False) -> dict[str, np.ndarray]:
        """Makes what the store lacks. Unless `again`, all of it is counted as made for the method, whoever made it."""
        ready = 0
        for shard in cut(pool, self.compiled.spec.execution.batch_size):
            there = self.store.find_images([item.key for item in shard])
            missing = [item for item in shard if item.key not in there]
            ready += len(there)
            if missing:
                self.check()
                images, _ = self.workshop.make(self.workshop.requests(missing))
                self.store.add_images(self.store.put_arrays({"images": images}), [item.key for item in missing])
        if not again:
            self.count(images=len(pool.keys), seconds=self.seconds_of_images(ready) or 0.0)
        return {}

    def _read_images(self, pool: Pool) -> np.ndarray:
        found = self.store.find_images(pool.keys)
        objects: dict[str, np.ndarray] = {}
        for key in pool.keys:
            name = found[key][0]
            if name not in objects:
                arrays = self.store.get_arrays(name)
                if arrays is None:
                    raise DamagedError(key)
                objects[name] = arrays["images"]
        return np.stack([objects[found[key][0]][found[key][1]] for key in pool.keys])

    def looked(self) -> dict[str, np.ndarray]:
        """What encoders say of the generated images: `NAME.features` (N, d), `NAME.probabilities` (N, k)."""
        images = digest(list(self.pool_of(np.ones(self.n, dtype=np.bool_)).keys))
        return self.piece({"look": images, "encoders": self._encoders}, lambda: self.sets.look(self.generated().images))

    def influence(self, utility: str) -> Floats:
        """(N,): by how much each of the generated images raises the utility, less the mean: they sum to 0.

        The jackknife's (N − 1)(v − v without the image), which is the utility's derivative in the image's weight up to
        O(1/N), and exists for utilities with jumps too (Efron & Stein 1981).
        """
        pool, everybody = self.pool_of(np.ones(self.n, dtype=np.bool_)), np.arange(len(self.grouping.of_row))
        found, count = self.sets.utility(self.sets.games[utility], self.looked(), pool, everybody), len(pool.keys)
        width = self.sets.games[utility].encoder.features or 1
        chunk, values = max(1, _NUMBERS // width**2), []
        for start in range(0, count, chunk):
            left = np.arange(start, min(start + chunk, count))
            weights = np.full((len(left), count), 1 / (count - 1))
            weights[np.arange(len(left)), left] = 0.0
            values.append(found.value(found.summarise(weights)))
        without = np.concatenate(values)
        return np.asarray((count - 1) * (without.mean() - without))

    def model_value(self, utility: str) -> float:
        """The utility of the frozen model's images, all of the same weight."""
        pool, everybody = self.pool_of(np.ones(self.n, dtype=np.bool_)), np.arange(len(self.grouping.of_row))
        return self.sets.value(self.sets.games[utility], self.looked(), pool, everybody)

    def rows_looked(self, contributor: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Training rows (r,) of a contributor, evenly spread, and what encoders say of their images, as `looked`.

        At most `rows_per_contributor` of [compare].
        """
        rows = self.own_rows(contributor)

        def look() -> dict[str, np.ndarray]:
            size = self.compiled.spec.execution.batch_size
            parts = [self.sets.look(self.images_of(rows[at : at + size])) for at in range(0, len(rows), size)]
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

        return rows, self.piece({"look at rows": rows.tolist(), "encoders": self._encoders}, look)

    def own_rows(self, contributor: int) -> np.ndarray:
        """(r,): at most `rows_per_contributor` training rows of a contributor, evenly spread."""
        own = np.flatnonzero(self.grouping.of_row == contributor)
        return np.asarray(own[spread(len(own), self.settings.rows_per_contributor)])

    def images_of(self, rows: np.ndarray) -> np.ndarray:
        """Training images in the model's shape, (N, H, W, C) uint8. Raises RunError."""
        return decode_rows(self.compiled.checked.card, self.compiled.checked.manifest, rows.tolist())

    def pool_of_rows(self, rows: np.ndarray) -> Pool:
        """Training images as if a model had made them: each stands for its row."""
        conditions = self.compiled.checked.manifest.condition_of_row[rows].astype(np.int32)
        return Pool(
            proxy="image",
            grouping=None,
            conditions=conditions,
            rows=rows.astype(np.int64),
            seeds=np.zeros(len(rows), np.uint64),
            keys=tuple(map(str, rows.tolist())),
            cell_of_image=conditions.astype(np.int64),
            empty_cell=len(self.compiled.checked.manifest.conditions),
        )

    @property
    def _encoders(self) -> dict[str, str]:
        return {name: encoder.digest for name, encoder in sorted(self.sets.encoders.items())}

    # The run's own games.

    def game(self, design: GameDesign) -> Game:
        """A game of the run, to be asked for any coalition (for drawn ones alone where its images are fresh)."""
        name = str(design.info)
        if name not in self._made:
            found = self.store.find_images(design.pool.keys)
            for missing in (key for key in design.pool.keys if key not in found):
                raise DamagedError(missing)
            self._made[name] = make_game(self._features, design, found)
        return self._made[name]

    def result(self, design: GameDesign) -> GameResult:
        """What the run says of a game."""
        return self._results[design.info.utility, design.info.proxy]

    def own_values(self, design: GameDesign) -> Floats:
        """(n,): the run's values of a game, in the grouping's order."""
        of_name = {row.name: row.value for row in self.result(design).contributors}
        return np.array([of_name[name] for name in self.grouping.contributors])

    @property
    def proxy(self) -> str:
        """Whose games other estimators are tried on: the image proxy's where the run has it."""
        proxies = {design.info.proxy for design in self.designs}
        return "image" if "image" in proxies else "prompt"

    def designs_of(self, proxy: str) -> tuple[GameDesign, ...]:
        """The run's games under a proxy; none where it has no such."""
        return tuple(design for design in self.designs if design.info.proxy == proxy)

    def count_pool(self, design: GameDesign) -> None:
        """A method uses a game's pool: it counts as if made for the method."""
        self.count(images=len(design.pool.keys), seconds=self.seconds_of_pool(design) or 0.0)

    def seconds_of_pool(self, design: GameDesign) -> float | None:
        """What making and encoding a game's pool takes at the speed that was measured last; None where none was."""
        pool = design.pool
        encoders = {encoder.name for one in self.designs_of(design.info.proxy) for encoder in one.encoders}
        stages = [f"generate:{pool.id}", *(f"encode:{pool.id}:{name}" for name in sorted(encoders))]
        found = [self._seconds(stage, len(pool.keys)) for stage in stages]
        return sum(one for one in found if one is not None) if any(one is not None for one in found) else None

    def seconds_of_images(self, images: int) -> float | None:
        """What generating images from noise takes at the speed that was measured last; None where none was."""
        return self._seconds("generate:prompt", images)

    def _seconds(self, stage: str, images: int) -> float | None:
        key = rate_key(self.compiled, stage)
        found = self.store.latest_rate(key.kind, key.subject)
        return None if found is None else images * key.per_unit / found[1]

    def ends(self, utility: str) -> tuple[float, float]:
        """v(∅) and v(N) of a utility, as the run has them under its first proxy."""
        result = self.result(next(one for one in self.designs if one.info.utility == utility))
        return result.v_empty, result.v_full


def _written(entries: Mapping[str, Cost]) -> dict[str, np.ndarray]:
    """Costs by key as arrays: keys (K, 32) uint8, costs (K, 4)."""
    costs = [[cost.images, cost.training_steps, cost.gradients, cost.seconds] for cost in entries.values()]
    keys = b"".join(map(bytes.fromhex, entries))
    return {_KEYS: np.frombuffer(keys, np.uint8).reshape(-1, 32), _COSTS: np.array(costs)}


def _read(arrays: Mapping[str, np.ndarray]) -> dict[str, Cost]:
    names = [bytes(key).hex() for key in arrays[_KEYS]]
    return {
        name: Cost(int(cost[0]), int(cost[1]), int(cost[2]), cost[3])
        for name, cost in zip(names, arrays[_COSTS].tolist(), strict=True)
    }


def _seed(seed: int, row: int) -> int:
    return int.from_bytes(bytes.fromhex(digest({"seed": seed, "row": row}))[:8], "little") >> 1
