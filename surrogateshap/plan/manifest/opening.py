"""From what a spec names to a table: a file, a folder as `datasets` saves it, or a Croissant description."""

from pathlib import Path

from surrogateshap.plan.manifest.croissant import open_croissant
from surrogateshap.plan.manifest.files import ManifestRefused, Part, kind_of
from surrogateshap.plan.manifest.folders import open_folder
from surrogateshap.plan.manifest.table import Table
from surrogateshap.text import harmless

KINDS = (
    "A manifest is a Parquet, CSV or JSON Lines file with one row per training image, a folder as `datasets` saves it, "
    "or a Croissant description."
)


def open_table(path: Path, split: str | None = None) -> Table:
    """The table at `path`; `split` says which where there are several.

    Raises ManifestRefused, a ValueError with message, remedy and key, where there is none, and OSError where something
    can't be read.
    """
    if path.is_dir():
        return open_folder(path, split)
    try:
        kind = kind_of(path)
    except OSError as error:
        raise ManifestRefused(error.strerror or str(error), KINDS) from None
    if kind == "croissant":
        return open_croissant(path, split)
    if split is not None:
        message = f"the manifest is a single file, which has no split `{harmless(split)}`"
        raise ManifestRefused(message, "Leave `split` out, or name rows with `where`.", "split")
    return Table(path.parent, (Part(path, kind),))
