"""What a pool's images look like: digests and mean brightness for everyone, the images themselves where allowed."""

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from surrogateshap.errors import RunError

if TYPE_CHECKING:
    import numpy as np

    from surrogateshap.store import Store


def pool_files(store: "Store", tables: Mapping[str, bytes], images: int) -> dict[str, bytes]:
    """The pools' tables with what each image looks like, and `images` of each pool, evenly chosen, as PNG.

    `POOL-NUMBER.png` is the image of that row. Raises RunError where images are gone from the store.
    """
    import numpy as np
    import polars as pl

    from surrogateshap.execute.images import png
    from surrogateshap.record.pools import cell_means, pixel_digest, with_pixels

    files = {}
    for name, data in tables.items():
        frame = pl.read_parquet(io.BytesIO(data))
        keys = [key.hex() for key in frame["key"]]
        shown = set(np.linspace(0, len(keys) - 1, min(images, len(keys))).astype(int).tolist()) if images else set()
        digests, means = [""] * len(keys), [np.zeros(0, np.uint8)] * len(keys)
        for at, image in _images(store, keys):
            digests[at], means[at] = pixel_digest(image), cell_means(image)
            if at in shown:
                files[f"image-{name.removesuffix('.parquet')}-{at:06d}.png"] = png(image)
        files[name] = with_pixels(frame, digests, means)
    return files


def _images(store: "Store", keys: list[str]) -> "Iterator[tuple[int, np.ndarray]]":
    """Every image with its position, object by object."""
    from surrogateshap.execute.evaluate import by_object

    found = store.find_images(set(keys))
    missing = sum(key not in found for key in keys)
    for made, (at, slots) in by_object([found.get(key) for key in keys]).items():
        arrays = store.get_arrays(made)
        if arrays is None:
            missing += len(at)
            continue
        for position, slot in zip(at, slots, strict=True):
            yield position, arrays["images"][slot]
    if missing:
        message = f"{missing} images of the run are gone from its store"
        raise RunError(message, "Run `surrogateshap apply` again: it makes them again.")
