"""Games from encoded pools: what every coalition is worth, without another image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from surrogateshap.execute.beside import Layers, read_head, reference_moments
from surrogateshap.execute.damage import DamagedError
from surrogateshap.games import Encoded, FreshGame, Membership, MixtureGame, Utility, make_utility
from surrogateshap.games.encoded import Floats, Moments, Views
from surrogateshap.games.spill import release, room, spill_to
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
    """Encoded images from the store, read object by object; large arrays lie in files of the store's folder."""

    def __init__(self, compiled: Compiled, store: Store) -> None:
        self._compiled, self._store = compiled, store
        self._beside: dict[str, dict[str, np.ndarray]] = {}
        self._pools: dict[tuple[str, str], tuple[int, Encoded]] = {}
        spill_to(store.root)

    def _object(self, key: str, name: str | None) -> dict[str, np.ndarray]:
        """The object that goes by a key. Raises DamagedError."""
        arrays = None if name is None else self._store.get_arrays(name)
        if arrays is None:
            raise DamagedError(key)
        return arrays

    def _read(self, key: str) -> dict[str, np.ndarray]:
        """What is kept under a key of a reference or of texts, read once."""
        if key not in self._beside:
            self._beside[key] = self._object(key, self._store.lookup([key]).get(key))
        return self._beside[key]

    def of_pool(
        self, pool: Pool, encoder: EncoderInput, found: Mapping[str, tuple[str, int]], images: Sequence[int]
    ) -> Encoded:
        """What an encoder says of the pool's images at the given positions."""
        place = (pool.id, encoder.name)
        images_there, encoded = self._pools.get(place, (0, None))
        if encoded is not None and images_there == len(images):
            return encoded
        self._pools.pop(place, None)  # a pool that has grown takes the room of what it was
        places = [found[pool.keys[image]] for image in images]
        encodings = {made: keys.encoding(encoder.digest, made) for made in dict.fromkeys(at[0] for at in places)}
        named = self._store.lookup(encodings.values())
        features = probabilities = np.zeros((0, 0), np.float32)
        for made, (at, slots) in by_object(places).items():
            arrays = self._object(encodings[made], named.get(encodings[made]))
            if not features.size:
                features = room((len(places), arrays["features"].shape[1]), np.float32)
                probabilities = room((len(places), arrays["probabilities"].shape[1]))
            features[at] = checked(arrays["features"][slots], encoder)
            probabilities[at] = shared(arrays["probabilities"][slots], encoder)
        release(features)
        release(probabilities)
        class_of_condition = encoder_classes(self._compiled, encoder)
        conditions = class_of_condition[pool.conditions[np.asarray(images)]]
        encoded = Encoded(sealed(features), sealed(probabilities), conditions, encoder.labels, encoder.attributes)
        self._pools[place] = len(places), encoded
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

    def of_own(self, game: GameDesign, images: Sequence[int]) -> Views | None:
        """(N, d): features of the training images that the pool's images at the given positions stand for."""
        named = own_keys(self._compiled, game)
        if named is None:
            return None
        found = self._store.find_images(named.values())
        for missing in (key for key in named.values() if key not in found):
            raise DamagedError(missing)
        spec, manifest = self._compiled.spec, self._compiled.checked.manifest
        rows = own_rows(game.pool, manifest, spec.seed)[np.asarray(images, np.int64)]
        places = [found[named[row]] if row >= 0 else None for row in rows.tolist()]
        features = np.full((len(rows), 1), np.nan)
        for name, (at, slots) in by_object(places).items():
            arrays = self._object(name, name)
            if features.dtype != np.float32:
                features = room((len(rows), arrays["features"].shape[1]), np.float32)
                features[rows < 0] = np.nan
            features[at] = checked(arrays["features"][slots], game.encoder)
        release(features)
        return sealed(features)

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


def by_object(places: Sequence[tuple[str, int] | None]) -> dict[str, tuple[list[int], list[int]]]:
    """By object, the positions of the images that lie in it, and their slots there."""
    found: dict[str, tuple[list[int], list[int]]] = {}
    for image, place in enumerate(places):
        if place is not None:
            at, slots = found.setdefault(place[0], ([], []))
            at.append(image)
            slots.append(place[1])
    return found


def sealed(array: np.ndarray) -> np.ndarray:
    """The same array, which can't be written from now on: several games look at it."""
    array.flags.writeable = False
    return array


def checked(values: np.ndarray, encoder: EncoderInput) -> np.ndarray:
    """The values themselves. Raises NotFiniteError where the encoder returned NaN or infinities."""
    if not np.isfinite(values).all():
        message = f"encoder `{encoder.name}` gives values that are not finite for some images"
        remedy = "Check its weights and its preprocessor_config.json."
        raise NotFiniteError(("encoder", encoder.position), message, remedy)
    return values


def finite(values: np.ndarray, encoder: EncoderInput) -> Floats:
    """In double precision. Raises NotFiniteError where the encoder returned NaN or infinities."""
    return checked(values, encoder).astype(np.float64)


def shared(probabilities: np.ndarray, encoder: EncoderInput) -> Floats:
    """In double precision, with a sum of 1 for each attribute. Raises NotFiniteError."""
    doubled = finite(probabilities, encoder)
    of_label = np.array(encoder.attributes or (0,) * len(encoder.labels), np.int64)
    for attribute in np.unique(of_label):
        doubled[:, of_label == attribute] /= doubled[:, of_label == attribute].sum(axis=1, keepdims=True)
    return doubled


def as_encoded(
    features: np.ndarray, probabilities: np.ndarray, conditions: np.ndarray, encoder: EncoderInput
) -> Encoded:
    """Probabilities in double precision. Raises NotFiniteError where the encoder returned NaN or infinities."""
    seen, doubled = checked(features, encoder), shared(probabilities, encoder)
    return Encoded(seen, doubled, conditions, encoder.labels, encoder.attributes)


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
