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
                files[f"image-{name.removesuffix('.parquet')}-{at:06d}.png"] = _png(image)
        files[name] = with_pixels(frame, digests, means)
    return files


def _images(store: "Store", keys: list[str]) -> "Iterator[tuple[int, np.ndarray]]":
    """Every image with its position, object by object."""
    found = store.find_images(set(keys))
    missing = sum(key not in found for key in keys)
    by_object: dict[str, list[tuple[int, int]]] = {}
    for at, key in enumerate(keys):
        if key in found:
            by_object.setdefault(found[key][0], []).append((at, found[key][1]))
    for made, places in by_object.items():
        arrays = store.get_arrays(made)
        if arrays is None:
            missing += len(places)
            continue
        for at, slot in places:
            yield at, arrays["images"][slot]
    if missing:
        message = f"{missing} images of the run are gone from its store"
        raise RunError(message, "Run `surrogateshap apply` again: it makes them again.")


def _png(image: "np.ndarray") -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()
