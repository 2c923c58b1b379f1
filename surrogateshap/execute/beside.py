"""What utilities look at beside a pool's images, encoded: references, texts and training images."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from surrogateshap.errors import RunError
from surrogateshap.execute.backends import Studio
from surrogateshap.execute.images import decode
from surrogateshap.execute.progress import Progress
from surrogateshap.games.encoded import Floats, Moments
from surrogateshap.plan.beside import encoded_once, own_images, reference_key, texts_key
from surrogateshap.plan.cards import ModelCard
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.check_references import REFERENCE_AT_MOST, Head, Reference, list_images
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.heads import layer_names, part_of
from surrogateshap.plan.manifest import Manifest, read_images, spread
from surrogateshap.plan.statistics import read_moments
from surrogateshap.store import Store
from surrogateshap.text import harmless

Layers = tuple[tuple[Floats, Floats], ...]
"""Linear layers: weights (out, in) and biases (out,) of each."""


def reference_images(card: ModelCard, reference: Reference) -> np.ndarray:
    """A reference's images in the model's shape, (N, H, W, C) uint8. Raises RunError for what is no image."""
    return np.stack([decode(data, card.height, card.width, card.channels, where) for data, where in _read(reference)])


def _read(reference: Reference) -> Iterator[tuple[bytes, str]]:
    """Encoded images and where they stand."""
    name = harmless(reference.path.name)
    if reference.kind == "folder":
        files = list_images(reference.path)
        for at in spread(len(files), REFERENCE_AT_MOST).tolist():
            yield files[at].read_bytes(), harmless(files[at].name)
    elif reference.manifest is not None:
        for row, data in reference.manifest.each_image(at_most=REFERENCE_AT_MOST):
            yield data, f"row {row} of {name}"
    else:
        for row, data in read_images(reference.path, reference.column, at_most=REFERENCE_AT_MOST):
            yield data, f"row {row} of {name}"


def reference_moments(reference: Reference) -> Moments:
    """Stored statistics. Raises RunError where the file doesn't hold them."""
    try:
        return read_moments(reference.path)
    except ValueError as error:
        message = f"`{harmless(reference.path.name)}` {harmless(str(error))}"
        raise RunError(message, "Write it again.") from None


def read_head(head: Head) -> Layers:
    """In the order in which they are applied. Raises RunError for what is no head."""
    from safetensors.numpy import load_file

    try:
        arrays = {name: np.asarray(array, np.float64) for name, array in load_file(head.path).items()}
        layers = []
        for name in layer_names(head.path):
            weight = arrays[part_of(name, "weight")]
            layers.append((weight, arrays.get(part_of(name, "bias"), np.zeros(len(weight)))))
    except Exception as error:  # what safetensors raises on strangers' bytes has no common base
        message = f"the head in `{harmless(head.path.name)}` can't be read: {harmless(str(error))}"
        raise RunError(message, "Write it again.") from error
    if not all(np.isfinite(part).all() for layer in layers for part in layer):
        raise RunError(f"the head in `{harmless(head.path.name)}` holds numbers that are not finite", "Write it again.")
    return tuple(layers)


def decode_rows(card: ModelCard, manifest: Manifest, rows: Sequence[int]) -> np.ndarray:
    """Training images of distinct rows in the model's shape, (N, H, W, C) uint8, in the order of the rows.

    Raises RunError for what is no image or can't be read.
    """
    try:
        found = manifest.images(np.array(rows, np.int64))
    except OSError as error:
        message = f"the manifest's images can't be read: {harmless(str(error))}"
        raise RunError(message, "Look at the manifest.") from None
    name = harmless(manifest.path.name)
    if missing := [row for row in rows if row not in found]:
        raise RunError(f"row {missing[0]} of {name} has no image", "Plan again: the manifest has changed.")
    return np.stack(
        [decode(found[row], card.height, card.width, card.channels, f"row {row} of {name}") for row in rows]
    )


class BesideFiller:
    """Encodes for one attempt what is not in the store yet."""

    def __init__(self, compiled: Compiled, store: Store, studio: Studio, progress: Progress) -> None:
        self._compiled, self._store, self._studio, self._progress = compiled, store, studio, progress

    def fill(self, name: str) -> str | None:
        """All that one encoder's games need; returns the stage that did it, None where they need nothing."""
        compiled, stage = self._compiled, f"reference:{name}"
        once, own = dict.fromkeys(encoded_once(compiled, name)), own_images(compiled, name)
        if not once and not own:
            return None
        there, found = self._store.lookup(once), self._whole(own)
        self._progress.start(stage, len(there) + len(found))
        for key, game in self._games(name):
            if key in once and key not in there:
                self._progress.check()
                self._studio.prepare(game.encoder)
                with self._progress.working(stage):
                    self._encode_once(key, game)
                del once[key]
                self._progress.advance(stage, 1)
        for count in self._encode_own(stage, compiled.checked.encoders[name], own, found):
            self._progress.advance(stage, count)
        self._progress.finish(stage)
        return stage

    def fill_own(self, compiled: Compiled) -> None:
        """Training images that pools need which have grown in other ways than was planned."""
        for name, encoder in compiled.checked.encoders.items():
            own = own_images(compiled, name)
            for _ in self._encode_own(f"reference:{name}", encoder, own, self._whole(own)):
                pass

    def _games(self, name: str) -> Iterator[tuple[str, GameDesign]]:
        for game in self._compiled.games:
            if game.encoder.name == name:
                for key in (reference_key(self._compiled, game), texts_key(self._compiled, game)):
                    if key is not None:
                        yield key, game

    def _encode_once(self, key: str, game: GameDesign) -> None:
        if key == texts_key(self._compiled, game):
            texts = self._studio.encode_texts(game.encoder, self._compiled.checked.manifest.conditions)
            encoded = self._store.put_arrays({"texts": texts})
        else:
            assert game.reference is not None
            images = reference_images(self._compiled.checked.card, game.reference)
            view = self._studio.encode(game.encoder, images)
            encoded = self._store.put_arrays({"features": view.features, "probabilities": view.probabilities})
        self._store.remember(key, encoded, "encode")

    def _whole(self, own: Iterable[str]) -> set[str]:
        """Those keys whose features are in the store and can be read."""
        found = self._store.find_images(own)
        damaged = {made for made in {at[0] for at in found.values()} if self._store.get_arrays(made) is None}
        return {key for key, at in found.items() if at[0] not in damaged}

    def _encode_own(self, stage: str, encoder: EncoderInput, own: dict[str, int], found: set[str]) -> Iterator[int]:
        """Yields how many images were encoded, batch by batch."""
        missing = [(key, row) for key, row in own.items() if key not in found]
        size = self._compiled.spec.execution.batch_size
        checked = self._compiled.checked
        for start in range(0, len(missing), size):
            self._progress.check()
            self._studio.prepare(encoder)
            batch = missing[start : start + size]
            with self._progress.working(stage):
                images = decode_rows(checked.card, checked.manifest, [row for _, row in batch])
                made = self._store.put_arrays({"features": self._studio.encode(encoder, images).features})
                self._store.add_images(made, [key for key, _ in batch])
            yield len(batch)
