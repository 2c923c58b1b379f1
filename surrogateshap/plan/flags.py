"""Which training images the frozen model is asked to denoise, for the flags beside the rankings."""

import hashlib
from dataclasses import dataclass

import numpy as np

from surrogateshap.plan import keys
from surrogateshap.plan.cells import first_rows
from surrogateshap.plan.manifest import Manifest
from surrogateshap.spec.model import Spec

NOISE_LEVELS = 8
"""At which every image is tried: with half as many the losses of a hundred images were a sixth less certain."""


@dataclass(frozen=True)
class FlagDesign:
    """K manifest rows whose images are tried, and whose they are."""

    rows: np.ndarray
    """(K,) int64, ascending."""
    conditions: np.ndarray
    """(K,) int32: position in the manifest's conditions."""
    seeds: np.ndarray
    """(K,) uint64: seed of each image's noise."""
    keys: tuple[str, ...]
    """Of each row's losses, by content: equal images under one condition have one key."""
    members: dict[str, tuple[np.ndarray, ...]]
    """By grouping: positions in `rows` of each contributor's."""


def design_flags(spec: Spec, manifest: Manifest, model_digest: str) -> FlagDesign:
    """Up to `flags.images_per_contributor` rows of each contributor of every grouping, in one seeded order for all.

    Raises OSError where training images can't be read.
    """
    chosen = {
        grouping.name: first_rows(grouping, spec.flags.images_per_contributor, spec.seed)
        for grouping in manifest.groupings
    }
    rows = np.unique(np.concatenate([own for contributors in chosen.values() for own in contributors]))
    found = manifest.sources(rows)
    if len(found) < len(rows):
        raise OSError(f"{len(rows) - len(found)} of the rows have no image")
    sources = [found[row] for row in rows.tolist()]
    conditions = manifest.condition_of_row[rows]
    denoising = keys.denoising(spec, model_digest, NOISE_LEVELS)
    return FlagDesign(
        rows=rows,
        conditions=conditions,
        seeds=np.array([_seed(spec.seed, source) for source in sources], np.uint64),
        keys=tuple(
            keys.loss(denoising, manifest.conditions[condition], source)
            for condition, source in zip(conditions.tolist(), sources, strict=True)
        ),
        members={
            name: tuple(np.searchsorted(rows, np.sort(own)) for own in contributors)
            for name, contributors in chosen.items()
        },
    )


def _seed(seed: int, source: str) -> int:
    """Of an image's noise: the same under every condition, so that two losses of an image differ by that alone."""
    return int.from_bytes(hashlib.sha256(f"denoising\0{seed}\0{source}".encode()).digest()[:8], "little") >> 1
