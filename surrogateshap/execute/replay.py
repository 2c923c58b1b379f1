"""Images of a record made once more, and compared with what it says of them."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from surrogateshap.errors import SpecError
from surrogateshap.execute.shards import Item
from surrogateshap.execute.workshop import Workshop
from surrogateshap.frames import frame_of
from surrogateshap.plan.compile import Compiled
from surrogateshap.record.checks import Check
from surrogateshap.record.pools import GRID, cell_means, pixel_digest
from surrogateshap.strangers import UnreadableError

TOLERANCE = 4
"""Of 255: how far the mean brightness of a cell of an image may be from the record's. Other devices and batches move
single pixels (https://github.com/huggingface/diffusers/issues/2659)."""
_KINDS = {
    "key": pl.Binary,
    "seed": pl.UInt64,
    "condition": pl.Int32,
    "row": pl.Int64,
    "sha256": pl.Binary,
    "means": pl.List(pl.UInt8),
}


def replay(
    compiled: Compiled, tables: Mapping[str, bytes], images: int, seed: int, say: Callable[[str], None]
) -> Iterator[Check]:
    """Makes `images` of all pools' images, drawn at random by `seed`, with the model that a record names.

    `tables` are the record's, by file name; `compiled` its spec, with the inputs that the record had. Raises RunError
    and DeviceError as a run does.
    """
    frames = {}
    for name, data in tables.items():
        try:
            frames[name] = read_pool(name, data, compiled)
        except UnreadableError as error:
            yield Check(step="replay", name=name, holds=False, detail=str(error))
    places = [(name, at) for name, frame in frames.items() for at in range(frame.height)]
    if not places:
        yield Check(step="replay", name="images", holds=False, detail="the record has no table of a pool's images")
        return
    chosen = np.random.default_rng(seed).choice(len(places), min(images, len(places)), replace=False)
    workshop = Workshop(compiled, say=say)
    with threadpool_limits(compiled.spec.execution.threads, user_api="blas"):
        for name, frame in frames.items():
            rows = sorted(places[one][1] for one in chosen.tolist() if places[one][0] == name)
            from_noise = [at for at in rows if frame["row"][at] < 0]
            for part in (from_noise, [at for at in rows if at not in set(from_noise)]):
                yield from _compare(workshop, name, frame, part)


def read_pool(name: str, data: bytes, compiled: Compiled) -> pl.DataFrame:
    """The table of a pool's images. Raises UnreadableError where it is none, or not of this manifest."""
    if data[:4] != b"PAR1":
        raise UnreadableError("is no Parquet file")
    try:
        frame = frame_of(name, data)
    except SpecError as error:
        raise UnreadableError(error.problems[0].message) from None
    if dict(frame.schema) != _KINDS:
        raise UnreadableError("has other columns than a table of images")
    manifest = compiled.checked.manifest
    inside = (
        frame["condition"].is_between(-1, len(manifest.conditions) - 1).all()
        and frame["row"].is_between(-1, manifest.rows - 1).all()
        and frame["seed"].le(2**63 - 1).all()
        and not any(frame[column].null_count() for column in frame.columns)
    )
    if not inside:
        raise UnreadableError("names conditions or rows that the manifest doesn't have")
    return frame


def _compare(workshop: Workshop, name: str, frame: pl.DataFrame, rows: list[int]) -> Iterator[Check]:
    if not rows:
        return
    found = frame[rows]
    items = [
        Item(key.hex(), condition, seed, row)
        for key, condition, seed, row in zip(found["key"], found["condition"], found["seed"], found["row"], strict=True)
    ]
    made, _ = workshop.make(workshop.requests(items))
    pairs = zip(rows, made, found["sha256"], found["means"], strict=True)
    for at, image, digest, means in pairs:
        yield _check(f"{name}, image {at}", image, digest.hex(), np.array(means, np.int64))


def _check(name: str, image: np.ndarray, digest: str, means: np.ndarray) -> Check:
    here = cell_means(image).astype(np.int64)
    if here.shape != means.shape:
        return Check(step="replay", name=name, holds=False, detail="has another shape than the record says")
    if pixel_digest(image) == digest:
        return Check(step="replay", name=name, holds=True, detail="the same pixels")
    apart = int(np.abs(here - means).max())
    detail = f"up to {apart} of 255 apart in the means of {GRID} × {GRID} cells; {TOLERANCE} are tolerated"
    return Check(step="replay", name=name, holds=apart <= TOLERANCE, detail=detail)
