"""The images that a run made last, small, for someone who looks on."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from surrogateshap.store.store import Store

if TYPE_CHECKING:
    import numpy as np

SIDE = 96
"""Pixels of the longer side, at most."""
_LARGEST = 8192
_FILES = 64


def newest_images(store: Store, run: str, count: int) -> "list[np.ndarray]":
    """At most `count` of the run's pool images, newest first, each (H, W) or (H, W, 3) uint8 of at most `SIDE` pixels.

    What can't be read is left out: the files are looked into, not checked against their digests, which would take
    reading them whole.
    """
    found: list[np.ndarray] = []
    for path in store.newest_files(run)[:_FILES]:
        found += _last_images(path, count - len(found))
        if len(found) >= count:
            break
    return found


def _last_images(path: Path, count: int) -> "Iterator[np.ndarray]":
    """The last images of one object, last first; none where it holds other things."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as opened:
            if "images" not in opened.keys():  # noqa: SIM118 - it is no mapping
                return
            images = opened.get_slice("images")
            shape = images.get_shape()
            if images.get_dtype() != "U8" or len(shape) != 4 or shape[3] not in (1, 3):
                return
            if not min(shape) > 0 or max(shape[1:3]) > _LARGEST:
                return
            for at in range(shape[0] - 1, max(-1, shape[0] - 1 - count), -1):
                yield _small(images[at : at + 1][0])
    except (OSError, SafetensorError):
        return


def _small(pixels: "np.ndarray") -> "np.ndarray":
    import numpy as np
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(image)
