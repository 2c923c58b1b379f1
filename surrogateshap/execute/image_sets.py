"""What the utilities say of sets of images that are no pool of the run's: images of other models, above all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from surrogateshap.errors import RunError
from surrogateshap.execute.beside import decode_rows, read_head, reference_images, reference_moments
from surrogateshap.execute.evaluate import as_encoded, encoder_classes, finite, spread_own
from surrogateshap.execute.workshop import Workshop
from surrogateshap.games import Encoded, Utility, make_utility
from surrogateshap.games.encoded import Floats, Moments
from surrogateshap.plan.beside import own_keys, reference_key, texts_key
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.pool import Pool, own_rows

Arrays = Mapping[str, np.ndarray]


class ImageSets:
    """Encodes sets of images and evaluates utilities on them; references, texts and heads are encoded once.

    `games` holds one game per utility: such images have no proxy and need no grouping.
    """

    def __init__(self, compiled: Compiled, workshop: Workshop) -> None:
        self._compiled, self._workshop = compiled, workshop
        self.games = {game.info.utility: game for game in reversed(compiled.games)}
        self._references: dict[str, Encoded] = {}
        self._encoded_texts: dict[str, Floats] = {}
        self._own_features: dict[str, np.ndarray] = {}

    @property
    def encoders(self) -> dict[str, EncoderInput]:
        """All that any utility looks through, by name."""
        return {encoder.name: encoder for game in self.games.values() for encoder in game.encoders}

    def look(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What all encoders say of images (N, H, W, C) uint8: `NAME.features` (N, d), `NAME.probabilities` (N, k)."""
        found: dict[str, np.ndarray] = {}
        for name, encoder in self.encoders.items():
            view = self._workshop.encode(encoder, images)
            found |= {f"{name}.features": view.features, f"{name}.probabilities": view.probabilities}
        return found

    def utility(self, game: GameDesign, looked: Arrays, pool: Pool, rows: np.ndarray) -> Utility:
        """A game's utility on the images of a pool, given what `look` says of them, in the pool's order.

        `rows` are the manifest rows that the images stand for. Raises NotFiniteError, and ValueError as `make_utility`.
        """
        encoded = replace(
            self._view(game.encoder, looked, pool),
            texts=self._texts(game),
            own=self._own(game, pool, rows),
        )
        second = None if game.second is None else self._view(game.second, looked, pool)
        head = () if game.head is None else read_head(game.head)
        return make_utility(game.utility, encoded, self._reference(game), second, head)

    def value(self, game: GameDesign, looked: Arrays, pool: Pool, rows: np.ndarray) -> float:
        """The utility of the images, all of the same weight. Raises RunError where it is not a finite number."""
        utility = self.utility(game, looked, pool, rows)
        weights = np.full((1, len(pool.keys)), 1 / len(pool.keys))
        value = float(utility.value(utility.summarise(weights))[0])
        if not np.isfinite(value):
            message = f"utility `{game.utility.name}` is not a finite number on its model's images"
            raise RunError(message, "They may all be alike, or too few: look at the model, or raise --images.")
        return value

    def _view(self, encoder: EncoderInput, looked: Arrays, pool: Pool) -> Encoded:
        return replace(
            as_encoded(
                looked[f"{encoder.name}.features"],
                looked[f"{encoder.name}.probabilities"],
                encoder_classes(self._compiled, encoder)[pool.conditions],
                encoder,
            ),
            asked=pool.conditions.astype(np.int64),
            prompts=self._compiled.checked.manifest.conditions,
        )

    def _reference(self, game: GameDesign) -> Encoded | Moments | None:
        if game.reference is not None and game.reference.kind == "statistics":
            return reference_moments(game.reference)
        key = reference_key(self._compiled, game)
        if key is None or game.reference is None:
            return None
        if key not in self._references:
            images = reference_images(self._compiled.checked.card, game.reference)
            view = self._workshop.encode(game.encoder, images)
            nobody = np.full(len(images), -1, np.int64)
            self._references[key] = as_encoded(view.features, view.probabilities, nobody, game.encoder)
        return self._references[key]

    def _texts(self, game: GameDesign) -> Floats | None:
        key = texts_key(self._compiled, game)
        if key is None:
            return None
        if key not in self._encoded_texts:
            texts = self._workshop.encode_texts(game.encoder, self._compiled.checked.manifest.conditions)
            self._encoded_texts[key] = finite(texts, game.encoder)
        return self._encoded_texts[key]

    def _own(self, game: GameDesign, pool: Pool, rows: np.ndarray) -> Floats | None:
        """Features of the training images that the images stand for: of the given rows."""
        named = own_keys(self._compiled, game, pool, rows)
        if named is None:
            return None
        checked, spec = self._compiled.checked, self._compiled.spec
        missing = {key: row for row, key in named.items() if key not in self._own_features}
        self._own_features |= dict(zip(missing, self._features(game.encoder, [*missing.values()]), strict=True))
        found = {row: self._own_features[key] for row, key in named.items()}
        return spread_own(found, own_rows(pool, checked.manifest, spec.seed, rows), game.encoder)

    def _features(self, encoder: EncoderInput, rows: Sequence[int]) -> list[np.ndarray]:
        """What an encoder says of training images, batch by batch."""
        checked, size = self._compiled.checked, self._compiled.spec.execution.batch_size
        found: list[np.ndarray] = []
        for batch in (rows[at : at + size] for at in range(0, len(rows), size)):
            found += [*self._workshop.encode(encoder, decode_rows(checked.card, checked.manifest, batch)).features]
        return found
