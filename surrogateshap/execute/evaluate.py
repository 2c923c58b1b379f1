"""Games from encoded pools: what every coalition is worth, without another image."""

from collections.abc import Mapping, Sequence

import numpy as np

from surrogateshap.errors import RunError
from surrogateshap.games import Encoded, FreshGame, Membership, MixtureGame, make_utility
from surrogateshap.plan import keys
from surrogateshap.plan.build import reference_key
from surrogateshap.plan.check import EncoderInput
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.configs import class_index
from surrogateshap.plan.pool import Pool
from surrogateshap.store import Store

Game = MixtureGame | FreshGame


class Features:
    """Encoded images from the store, each object read once."""

    def __init__(self, compiled: Compiled, store: Store) -> None:
        self._compiled, self._store = compiled, store
        self._objects: dict[str, dict[str, np.ndarray]] = {}
        self._pools: dict[tuple[str, str, int], Encoded] = {}

    def _read(self, key: str) -> dict[str, np.ndarray]:
        if key not in self._objects:
            name = self._store.lookup([key]).get(key)
            arrays = self._store.get_arrays(name) if name is not None else None
            if arrays is None:
                raise RunError("an object of the store is missing or damaged", "Run `apply` again: it is made anew.")
            self._objects[key] = arrays
        return self._objects[key]

    def of_pool(
        self, pool: Pool, encoder: EncoderInput, found: Mapping[str, tuple[str, int]], images: Sequence[int]
    ) -> Encoded:
        """What an encoder says of the pool's images at the given positions."""
        cached = (pool.id, encoder.name, len(images))
        if cached in self._pools:
            return self._pools[cached]
        places = [found[pool.keys[image]] for image in images]
        objects = {
            made: self._read(keys.encoding(encoder.digest, made)) for made in dict.fromkeys(at[0] for at in places)
        }
        class_of_condition = encoder_classes(self._compiled, encoder)
        encoded = as_encoded(
            np.stack([objects[made]["features"][slot] for made, slot in places]),
            np.stack([objects[made]["probabilities"][slot] for made, slot in places]),
            class_of_condition[pool.conditions[np.asarray(images)]],
            encoder,
        )
        self._pools[cached] = encoded
        return encoded

    def of_reference(self, game: GameDesign) -> Encoded | None:
        """What the game's encoder says of its reference; None where it has none."""
        key = reference_key(self._compiled, game)
        if key is None:
            return None
        arrays = self._read(key)
        return as_encoded(
            arrays["features"], arrays["probabilities"], np.full(len(arrays["features"]), -1, np.int64), game.encoder
        )


def encoder_classes(compiled: Compiled, encoder: EncoderInput) -> np.ndarray:
    """(C + 1,): the encoder's class of each of the manifest's conditions, -1 where it has none; -1 for no condition."""
    card = compiled.checked.card
    found = []
    for condition in compiled.checked.manifest.conditions:
        label = card.label(condition)
        known = None if label is None else class_index(label, encoder.labels)
        found.append(-1 if known is None else known)
    return np.array([*found, -1], np.int64)


def as_encoded(
    features: np.ndarray, probabilities: np.ndarray, conditions: np.ndarray, encoder: EncoderInput
) -> Encoded:
    """In double precision. Raises NotFiniteError where the encoder returned NaN or infinities."""
    if not (np.isfinite(features).all() and np.isfinite(probabilities).all()):
        message = f"encoder `{encoder.name}` gives values that are not finite for some images"
        remedy = "Check its weights and its preprocessor_config.json."
        raise NotFiniteError(("encoder", encoder.position), message, remedy)
    doubled = probabilities.astype(np.float64)
    doubled /= doubled.sum(axis=1, keepdims=True)
    return Encoded(features.astype(np.float64), doubled, conditions, encoder.labels)


def make_game(features: Features, game: GameDesign, found: Mapping[str, tuple[str, int]]) -> Game:
    """The game on the whole pool. Raises NotFiniteError where a value is not a finite number."""
    pool = game.pool
    encoded = features.of_pool(pool, game.encoder, found, range(len(pool.keys)))
    utility = make_utility(game.utility, encoded, features.of_reference(game))
    made: Game
    if pool.masks is not None:
        made = FreshGame(utility, pool.masks, pool.cell_of_image, game.empty_value, rows=game.grouping.rows)
    else:
        made = MixtureGame(utility, pool.memberships[game.grouping.name], game.empty_value)
    if not np.isfinite([made.v_empty, made.v_full]).all():
        raise not_finite(game)
    return made


def make_partial_game(
    features: Features, game: GameDesign, found: Mapping[str, tuple[str, int]]
) -> tuple[MixtureGame, int] | None:
    """The game on the images that are there so far, and their number; None while a contributor has none."""
    pool = game.pool
    if pool.masks is not None:
        return None
    images = [image for image, key in enumerate(pool.keys) if key in found]
    whole = pool.memberships[game.grouping.name]
    cells = pool.cell_of_image[images]
    there = np.bincount(cells, minlength=whole.shares.shape[1]) > 0
    if not (whole.shares @ there.astype(float) > 0).all() or (game.empty_value is None and not there[pool.empty_cell]):
        return None
    membership = Membership(whole.names, whole.rows, whole.shares, cells, whole.empty_cell)
    encoded = features.of_pool(pool, game.encoder, found, images)
    utility = make_utility(game.utility, encoded, features.of_reference(game))
    return MixtureGame(utility, membership, game.empty_value), len(images)


class NotFiniteError(Exception):
    """A value is NaN or infinite; `key` is where the spec asks for it."""

    def __init__(self, key: tuple[str | int, ...], message: str, remedy: str) -> None:
        super().__init__(message)
        self.key, self.message, self.remedy = key, message, remedy


def not_finite(game: GameDesign) -> NotFiniteError:
    """The error for a utility that is NaN or infinite somewhere."""
    return NotFiniteError(
        ("utility", game.position),
        f"utility `{game.utility.name}` is not a finite number for some coalitions",
        "Its images may all be alike, or too few; raise `images_per_contributor`, or choose another utility.",
    )
