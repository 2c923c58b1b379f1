"""What utilities look at beside a pool's images: references, texts, training images. Their keys in the store."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from surrogateshap.plan import keys
from surrogateshap.plan.check_encoders import EncoderInput
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.pool import Pool, own_rows, sources_of
from surrogateshap.spec.utilities import ClipScoreUtility, OwnImageUtility
from surrogateshap.text import digest


def _shape(compiled: Compiled) -> str:
    """Of the images that encoders see."""
    card = compiled.checked.card
    return f"{card.height}x{card.width}x{card.channels}"


def reference_key(compiled: Compiled, game: GameDesign) -> str | None:
    """Of the encoded images of a game's reference, decoded to the model's shape; None where it has none."""
    reference = game.reference
    if reference is None or reference.kind == "statistics":
        return None
    content = f"{reference.digest}:{reference.column}:{_shape(compiled)}"
    return keys.encoding(game.encoder.digest, content)


def texts_key(compiled: Compiled, game: GameDesign) -> str | None:
    """Of what a game's encoder says of the manifest's conditions; None where the game doesn't ask."""
    if not isinstance(game.utility, ClipScoreUtility):
        return None
    return keys.encoding(game.encoder.digest, "texts:" + compiled.checked.manifest.conditions_digest)


def own_keys(
    compiled: Compiled, game: GameDesign, pool: Pool | None = None, among: np.ndarray | None = None
) -> dict[int, str] | None:
    """By manifest row, of the encoded training images that the game's images stand for; None where nobody asks.

    `pool` stands in the game's pool's place, and rows are `among` the given ones. Raises OSError where images of the
    manifest can't be read.
    """
    if not isinstance(game.utility, OwnImageUtility):
        return None
    rows = own_rows(pool or game.pool, compiled.checked.manifest, compiled.spec.seed, among)
    return own_image_keys(compiled, game.encoder, rows[rows >= 0])


def own_image_keys(compiled: Compiled, encoder: EncoderInput, rows: np.ndarray) -> dict[int, str]:
    """By manifest row, of encoded training images. Raises OSError."""
    shape = _shape(compiled)
    sources = sources_of(compiled.checked.manifest, rows)
    return {row: keys.encoding(encoder.digest, f"own:{source}:{shape}") for row, source in sources.items()}


def beside(
    compiled: Compiled, game: GameDesign, pool: Pool | None = None, among: np.ndarray | None = None
) -> dict[str, Any]:
    """What a game's values depend on beside pixels, its encoder's view of them and images of a reference, as JSON."""
    statistics = game.reference is not None and game.reference.kind == "statistics"
    named = own_keys(compiled, game, pool, among)
    own = None
    if named is not None:
        rows = own_rows(pool or game.pool, compiled.checked.manifest, compiled.spec.seed, among)
        own = digest([named.get(row) for row in rows.tolist()])
    return {
        "statistics": game.reference.digest if game.reference is not None and statistics else None,
        "texts": texts_key(compiled, game),
        "own": own,
        "second": game.second.digest if game.second is not None else None,
        "head": game.head.digest if game.head is not None else None,
    }


def encoded_once(compiled: Compiled, name: str) -> Iterator[str]:
    """Keys of the references and texts that one encoder's games need; some may come twice."""
    for game in compiled.games:
        if game.encoder.name == name:
            for key in (reference_key(compiled, game), texts_key(compiled, game)):
                if key is not None:
                    yield key


def own_images(compiled: Compiled, name: str) -> dict[str, int]:
    """Of the training images that one encoder's games need, by key, a row that holds each. Raises OSError."""
    seen: dict[str, dict[int, str]] = {}
    for game in compiled.games:
        if game.encoder.name == name and game.pool.id not in seen:
            found = own_keys(compiled, game)
            if found is not None:
                seen[game.pool.id] = found
    return {key: row for found in seen.values() for row, key in found.items()}
