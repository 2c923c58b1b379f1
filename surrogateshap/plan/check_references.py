"""What utilities compare with or are scored by, beside encoders: references and heads."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from surrogateshap.plan.check_encoders import EncoderInput, Key, Read, Tell, encoder_of
from surrogateshap.plan.heads import head_inputs
from surrogateshap.plan.manifest import Manifest, count_images, is_image_column, nearest, parquet_schema
from surrogateshap.plan.statistics import SUFFIXES, read_dimension
from surrogateshap.spec.model import Spec
from surrogateshap.spec.utilities import AestheticUtility, WithReference
from surrogateshap.text import harmless

Kind = Literal["table", "folder", "statistics"]
REFERENCE_AT_MOST = 10_000
"""Images of a reference that are encoded; of a larger one, as many evenly spaced ones."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Reference:
    """What a distance is measured to."""

    path: Path
    digest: str
    column: str = ""
    """With the images, where it is a table."""
    kind: Kind = "table"
    manifest: Manifest | None = None
    """Where it is the manifest's own images."""


@dataclass(frozen=True)
class Head:
    """Linear layers on top of an encoder's features."""

    path: Path
    digest: str


def read_references(
    spec: Spec, encoders: Mapping[str, EncoderInput], read: Read, digest: Callable[[str], str], tell: Tell
) -> Iterator[tuple[str, Reference]]:
    """By utility, those that are files or folders of their own. What is wrong is told at the key that names them."""
    column = spec.contributors.image or "image"
    for at, utility in enumerate(spec.utility):
        if not isinstance(utility, WithReference) or utility.reference == "manifest":
            continue
        key: Key = ("utility", at, "reference")
        role = f"reference {utility.name}"
        encoder = encoders.get(encoder_of(spec, utility.encoder))
        length = encoder.features if encoder is not None else None
        path, kind = read(key, utility.reference, role, partial(_look, utility, length))
        shown = f"`{harmless(utility.reference)}`"
        if path is None or kind is None:
            continue
        if kind == "table":
            _check_table(key, shown, path, column, tell)
        yield utility.name, Reference(path, digest(role), column if kind == "table" else "", kind)


def _look(utility: WithReference, length: int | None, path: Path) -> Kind:
    """Which kind of reference a path holds, for an encoder of `length` features. Raises ValueError, or OSError."""
    if path.is_dir():
        if not list_images(path):
            raise ValueError(f"holds no images: it needs files that end in {', '.join(IMAGE_SUFFIXES)}")
        return "folder"
    if path.suffix not in SUFFIXES:
        parquet_schema(path)
        return "table"
    if utility.kind != "frechet":
        raise ValueError("holds statistics, which only a Fréchet distance can be measured to: name images")
    d = read_dimension(path)
    if length is not None and d != length:
        raise ValueError(f"has statistics of {d} features, and the encoder gives {length}")
    return "statistics"


def _check_table(key: Key, shown: str, path: Path, column: str, tell: Tell) -> None:
    try:
        schema = parquet_schema(path)
        if column not in schema or not is_image_column(schema[column]):
            tell(key, f"{shown} has no column `{harmless(column)}` with images", nearest(column, schema.names()))
        elif count_images(path, column) == 0:
            tell(key, f"{shown} has no images", "Name a file that has some.")
    except OSError as error:
        tell(key, f"{shown} can't be read: {error}", "Write it again.")


def list_images(folder: Path) -> list[Path]:
    """Image files of a folder and of those in it, by name; hidden ones are passed over. Raises OSError."""
    found = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            found.append(path)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def read_heads(
    spec: Spec, encoders: Mapping[str, EncoderInput], read: Read, digest: Callable[[str], str], tell: Tell
) -> Iterator[tuple[str, Head]]:
    """By utility. What is wrong with a head is told at the key that names it."""
    for at, utility in enumerate(spec.utility):
        if not isinstance(utility, AestheticUtility):
            continue
        key: Key = ("utility", at, "head")
        role = f"head {utility.name}"
        path, inputs = read(key, utility.head, role, head_inputs)
        if path is None or inputs is None:
            continue
        encoder = encoders.get(encoder_of(spec, utility.encoder))
        if encoder is not None and encoder.features not in (None, inputs):
            message = f"`{harmless(utility.head)}` takes {inputs} features"
            remedy = f"Name a head that was made for encoder `{encoder.name}`, which gives {encoder.features}."
            tell(key, message, remedy)
        yield utility.name, Head(path, digest(role))
