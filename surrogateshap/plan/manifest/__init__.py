"""The manifest: which contributor supplied which rows, under which condition. Read with polars, column by column."""

from surrogateshap.plan.manifest.files import nearest, parquet_schema
from surrogateshap.plan.manifest.groupings import JOINT
from surrogateshap.plan.manifest.images import count_images, is_image_column, read_images, spread
from surrogateshap.plan.manifest.model import Grouping, Manifest, digest_manifest
from surrogateshap.plan.manifest.read import load_manifest, read_manifest

__all__ = [
    "JOINT",
    "Grouping",
    "Manifest",
    "count_images",
    "digest_manifest",
    "is_image_column",
    "load_manifest",
    "nearest",
    "parquet_schema",
    "read_images",
    "read_manifest",
    "spread",
]
