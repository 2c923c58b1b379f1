"""Tables of a pool's images: which they are, and later what they look like, so that anyone can make them again."""

import hashlib
import io
from collections.abc import Iterable

import numpy as np
import polars as pl

from surrogateshap.plan.pool import Pool

GRID = 4
"""Cells per side whose mean brightness, per channel, stands for an image."""


def pool_tables(pools: Iterable[Pool]) -> dict[str, bytes]:
    """`pool-ID.parquet` of each: one row per image, in the pool's order.

    `key` names an image by content, `seed` is that of its noise, `condition` its place among the manifest's conditions
    (-1: none), `row` the manifest's row that it starts from (-1: noise).
    """
    return {f"pool-{pool.id}.parquet": _bytes(_frame(pool)) for pool in pools}


def _frame(pool: Pool) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "key": pl.Series([bytes.fromhex(key) for key in pool.keys], dtype=pl.Binary),
            "seed": pl.Series(pool.seeds, dtype=pl.UInt64),
            "condition": pl.Series(pool.conditions, dtype=pl.Int32),
            "row": pl.Series(pool.rows, dtype=pl.Int64),
        }
    )


def with_pixels(table: pl.DataFrame, digests: Iterable[str], means: Iterable[np.ndarray]) -> bytes:
    """The table with each image's `sha256` (as `pixel_digest` has it) and `means` (as `cell_means` has them)."""
    return _bytes(
        table.with_columns(
            pl.Series("sha256", [bytes.fromhex(one) for one in digests], dtype=pl.Binary),
            pl.Series("means", [one.tolist() for one in means], dtype=pl.List(pl.UInt8)),
        )
    )


def pixel_digest(image: np.ndarray) -> str:
    """SHA-256 of an image (H, W, C) uint8: of its shape and its bytes."""
    shape = "x".join(map(str, image.shape))
    return hashlib.sha256(f"{shape}\0".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def cell_means(image: np.ndarray) -> np.ndarray:
    """(GRID² · C,) uint8: mean of each of GRID × GRID cells of an image (H, W, C), row by row, channels last."""
    height, width = image.shape[:2]
    rows = np.linspace(0, height, GRID + 1).astype(int)[:-1]
    columns = np.linspace(0, width, GRID + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(image.astype(np.int64), rows, axis=0), columns, axis=1)
    heights, widths = np.diff([*rows, height]), np.diff([*columns, width])
    means = sums / (heights[:, None] * widths[None, :])[..., None]
    return np.asarray(np.round(means).astype(np.uint8).reshape(-1))


def _bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()
