"""Digests of the manifest's images, read once each."""

import hashlib

import numpy as np

from surrogateshap.plan.manifest import Manifest


class Sources:
    """Equal images have equal digests, whichever rows they stand in."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._seen: dict[int, str] = {}

    def of(self, rows: np.ndarray) -> dict[int, str]:
        """SHA-256 of the encoded images of the given rows. Raises OSError where one is missing or can't be read."""
        wanted = np.unique(rows)
        unseen = [row for row in wanted.tolist() if row not in self._seen]
        if unseen:
            images = self._manifest.images(np.array(unseen, np.int64))
            self._seen |= {row: hashlib.sha256(image).hexdigest() for row, image in images.items()}
        missing = [row for row in wanted.tolist() if row not in self._seen]
        if missing:
            raise OSError(f"{len(missing)} of the rows have no image, the first of them row {missing[0]} (from 0)")
        return {row: self._seen[row] for row in wanted.tolist()}
