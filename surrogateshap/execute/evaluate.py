"""Games from encoded pools: what every coalition is worth, without another image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from surrogateshap.execute.beside import Layers, read_head, reference_moments
from surrogateshap.execute.damage import DamagedError
from surrogateshap.games import Encoded, FreshGame, Membership, MixtureGame, Utility, make_utility
from surrogateshap.games.encoded import Floats, Moments
from surrogateshap.plan import keys
from surrogateshap.plan.beside import own_keys, reference_key, texts_key
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.configs import class_index
from surrogateshap.plan.pool import Pool, own_rows
from surrogateshap.store import Store
from surrogateshap.text import harmless

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
                raise DamagedError(key)
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

    def of_reference(self, game: GameDesign) -> Encoded | Moments | None:
        """What the game's encoder says of its reference; None where it has none."""
        if game.reference is not None and game.reference.kind == "statistics":
            return reference_moments(game.reference)
        key = reference_key(self._compiled, game)
        if key is None:
            return None
        arrays = self._read(key)
        return as_encoded(
            arrays["features"], arrays["probabilities"], np.full(len(arrays["features"]), -1, np.int64), game.encoder
        )

    def of_texts(self, game: GameDesign) -> Floats | None:
        """(C, d): what the game's encoder says of the manifest's conditions; None where the game doesn't ask."""
        key = texts_key(self._compiled, game)
        return None if key is None else finite(self._read(key)["texts"], game.encoder)

    def of_own(self, game: GameDesign, images: Sequence[int]) -> Floats | None:
        """(N, d): features of the training images that the pool's images at the given positions stand for."""
        named = own_keys(self._compiled, game)
        if named is None:
            return None
        found = self._store.find_images(named.values())
        for missing in {key for key in named.values() if key not in found}:
            raise DamagedError(missing)
        arrays = {made: self._store.get_arrays(made) for made in {at[0] for at in found.values()}}
        for damaged in {made for made, each in arrays.items() if each is None}:
            raise DamagedError(damaged)
        views = {made: each["features"] for made, each in arrays.items() if each is not None}
        spec, manifest = self._compiled.spec, self._compiled.checked.manifest
        rows = own_rows(game.pool, manifest, spec.seed)[np.asarray(images, np.int64)]
        features = {row: views[found[key][0]][found[key][1]] for row, key in named.items()}
        return spread_own(features, rows, game.encoder)

    def utility(self, game: GameDesign, found: Mapping[str, tuple[str, int]], images: Sequence[int]) -> Utility:
        """The game's utility on the pool's images at the given positions."""
        return make_utility(game.utility, *self.seen(game, found, images))

    def seen(
        self, game: GameDesign, found: Mapping[str, tuple[str, int]], images: Sequence[int]
    ) -> tuple[Encoded, Encoded | Moments | None, Encoded | None, Layers]:
        """All that a game's utility looks at: the pool, its reference, a second encoder's view, and its head."""
        pool, prompts = game.pool, self._compiled.checked.manifest.conditions
        encoded = replace(
            self.of_pool(pool, game.encoder, found, images),
            asked=pool.conditions[np.asarray(images, np.int64)].astype(np.int64),
            prompts=prompts,
            texts=self.of_texts(game),
            own=self.of_own(game, images),
        )
        second = None if game.second is None else self.of_pool(pool, game.second, found, images)
        head: Layers = () if game.head is None else read_head(game.head)
        return encoded, self.of_reference(game), second, head


def encoder_classes(compiled: Compiled, encoder: EncoderInput) -> np.ndarray:
    """(C + 1,): the encoder's class of each of the manifest's conditions, -1 where it has none; -1 for no condition."""
    card = compiled.checked.card
    found = []
    for condition in compiled.checked.manifest.conditions:
        label = card.label(condition)
        known = None if label is None else class_index(label, encoder.labels)
        found.append(-1 if known is None else known)
    return np.array([*found, -1], np.int64)


def finite(values: np.ndarray, encoder: EncoderInput) -> Floats:
    """In double precision. Raises NotFiniteError where the encoder returned NaN or infinities."""
    if not np.isfinite(values).all():
        message = f"encoder `{encoder.name}` gives values that are not finite for some images"
        remedy = "Check its weights and its preprocessor_config.json."
        raise NotFiniteError(("encoder", encoder.position), message, remedy)
    return values.astype(np.float64)


def as_encoded(
    features: np.ndarray, probabilities: np.ndarray, conditions: np.ndarray, encoder: EncoderInput
) -> Encoded:
    """In double precision. Raises NotFiniteError where the encoder returned NaN or infinities."""
    features, doubled = finite(features, encoder), finite(probabilities, encoder)
    of_label = np.array(encoder.attributes or (0,) * len(encoder.labels), np.int64)
    for attribute in np.unique(of_label):
        doubled[:, of_label == attribute] /= doubled[:, of_label == attribute].sum(axis=1, keepdims=True)
    return Encoded(features, doubled, conditions, encoder.labels, encoder.attributes)


def spread_own(features: Mapping[int, np.ndarray], rows: np.ndarray, encoder: EncoderInput) -> Floats:
    """(N, d): of each image, the features of the row that it stands for; NaN where it stands for none."""
    known = sorted(features)
    table = finite(np.stack([features[row] for row in known]), encoder) if known else np.zeros((0, 1))
    table = np.vstack([table, np.full(table.shape[1], np.nan)])
    at = np.where(rows < 0, len(known), np.searchsorted(np.array(known, np.int64), rows))
    return np.asarray(table[at])


def make_game(features: Features, game: GameDesign, found: Mapping[str, tuple[str, int]]) -> Game:
    """The game on the whole pool. Raises NotFiniteError where a value is not a finite number, or can't be had."""
    pool = game.pool
    made: Game
    try:
        utility = features.utility(game, found, range(len(pool.keys)))
        if pool.masks is not None:
            made = FreshGame(utility, pool.masks, pool.cell_of_image, game.empty_value, rows=game.grouping.rows)
        else:
            made = MixtureGame(utility, pool.memberships[game.grouping.name], game.empty_value)
    except ValueError as error:
        message = f"utility `{game.utility.name}` can't be evaluated: {harmless(str(error))}"
        remedy = "Give it what it needs, or choose another utility."
        raise NotFiniteError(("utility", game.position), message, remedy) from error
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
    utility = features.utility(game, found, images)
    return MixtureGame(utility, membership, game.empty_value), len(images)


class NotFiniteError(Exception):
    """A value is NaN or infinite, or can't be had; `key` is where the spec asks for it."""

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
