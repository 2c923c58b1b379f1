"""Images that may go along with results."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """Some of the pool's images that a contributor's values rest on."""

    grouping: str
    proxy: str
    contributor: str
    images: tuple[bytes, ...]
    """PNG."""
