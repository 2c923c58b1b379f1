"""Croissant descriptions (JSON-LD): https://docs.mlcommons.org/croissant/docs/croissant-spec.html, version 1.0.

Files beside the description are read; nothing is ever downloaded.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from surrogateshap.plan.configs import read_json
from surrogateshap.plan.inputs import digest_file
from surrogateshap.plan.manifest.files import ManifestRefused, Part
from surrogateshap.plan.manifest.folders import choose, data_files, part_of
from surrogateshap.plan.manifest.table import Table
from surrogateshap.text import harmless

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_PATTERNS = 100

Node = Mapping[str, Any]


def open_croissant(path: Path, split: str | None) -> Table:
    """The rows of a record set, the one called `split` where there are several. Raises ManifestRefused, and OSError."""
    try:
        document = read_json(path)
    except ValueError as error:
        raise ManifestRefused(str(error), "A Croissant description is one JSON-LD object.") from None
    sources = {_id(node): node for node in _nodes(document, "distribution")}
    sets = {_id(node): columns for node in _nodes(document, "recordSet") if (columns := _columns(node))}
    sets.pop("", None)
    if not sets:
        raise ManifestRefused("no record set in it has fields with columns of a file", _REMEDY)
    source, names = sets[choose(_full(split, list(sets)), list(sets), "record set")]
    if source not in sources:
        raise ManifestRefused(f"its fields come from `{harmless(source)}`, which it doesn't describe", _REMEDY)
    described = Path(os.path.realpath(path))
    parts = tuple(_parts(described.parent, described, sources[source]))
    return Table(described.parent, parts, (described,), names)


_REMEDY = "A record set needs fields whose `source` has a file and `extract` with its `column`."


def _nodes(document: Node, key: str) -> Iterator[Node]:
    """Objects under a key, which holds one or a list."""
    found = document.get(key)
    for node in found if isinstance(found, list) else [found]:
        if isinstance(node, Mapping):
            yield node


def _id(node: Node) -> str:
    found = node.get("@id") or node.get("name")
    return found if isinstance(found, str) else ""


def _type(node: Node) -> str:
    """`FileSet` of `cr:FileSet`, `ml:FileSet`, `http://mlcommons.org/croissant/FileSet`."""
    return re.split(r"[:/#]", str(node.get("@type", "")))[-1]


def _full(split: str | None, names: list[str]) -> str | None:
    """Record sets may be called by the last part of their names."""
    if split is None or split in names:
        return split
    alike = [name for name in names if name.rpartition("/")[2] == split]
    return alike[0] if len(alike) == 1 else split


def _columns(record_set: Node) -> tuple[str, dict[str, str]] | None:
    """The source that most fields come from, and its columns by the fields' names; None where no field has one."""
    found = []
    for field in _nodes(record_set, "field"):
        name = field.get("name")
        name = name if isinstance(name, str) and name else _id(field)
        name = name.removeprefix(f"{_id(record_set)}/")
        source = field.get("source")
        if not isinstance(source, Mapping) or not name:
            continue
        extract, held = source.get("extract"), source.get("fileObject") or source.get("fileSet")
        column = extract.get("column") if isinstance(extract, Mapping) else None
        file = _id(held) if isinstance(held, Mapping) else held
        if isinstance(column, str) and isinstance(file, str) and _is_plain(source):
            found.append((file, name, column))
    if not found:
        return None
    (most, _), *_ = Counter(file for file, _, _ in found).most_common(1)
    return most, {name: column for file, name, column in found if file == most}


def _is_plain(source: Node) -> bool:
    """Whether a field is a column as it stands. The bytes within an image column are that column to us."""
    transforms = list(_nodes(source, "transform"))
    return all(dict(transform) == {"jsonPath": "bytes"} for transform in transforms) and "format" not in source


def _parts(root: Path, described: Path, node: Node) -> Iterator[Part]:
    if _type(node) != "FileSet":
        yield _file(root, node)
        return
    includes, excludes = (_patterns(node, key) for key in ("includes", "excludes"))
    files = [
        name
        for name in data_files(root)
        if any(fnmatchcase(name, pattern) for pattern in includes)
        and not any(fnmatchcase(name, pattern) for pattern in excludes)
        and root / name != described
    ]
    if not files:
        listed = ", ".join(harmless(pattern, 60) for pattern in includes[:5])
        remedy = "Nothing is downloaded or unpacked: put the files beside the description, under the same names."
        raise ManifestRefused(f"no file beside it matches {listed or 'its file set, which includes none'}", remedy)
    for name in files:
        yield part_of(root, name)


def _patterns(node: Node, key: str) -> list[str]:
    found = node.get(key)
    patterns = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return [pattern.removeprefix("./") for pattern in patterns if isinstance(pattern, str)][:_MOST_PATTERNS]


def _file(root: Path, node: Node) -> Part:
    """A described file that lies beside the description."""
    url = node.get("contentUrl")
    shown = harmless(str(url), 80)
    if node.get("containedIn"):
        remedy = "Unpack it, and describe the file itself, or a FileSet."
        raise ManifestRefused(f"`{shown}` is contained in another file, and nothing is unpacked", remedy)
    if not isinstance(url, str) or not url:
        raise ManifestRefused(f"`{harmless(_id(node))}` in it has no contentUrl", "Name a file beside it.")
    name = url
    if "://" in url:
        # Not by urlsplit, which refuses some strangers' addresses with errors of its own.
        name = PurePosixPath(unquote(re.split(r"[?#]", url.partition("://")[2])[0].partition("/")[2])).name
        if not name or not os.path.lexists(root / name):
            save = f" as `{harmless(name, 80)}`" if name else ""
            raise ManifestRefused(f"`{shown}` is an address, and nothing is downloaded", f"Save it beside it{save}.")
    part = part_of(root, name)
    expected = node.get("sha256")
    if isinstance(expected, str) and _SHA256.fullmatch(expected.lower()):
        found, _ = digest_file(part.path)
        if found != expected.lower():
            message = f"`{harmless(name, 80)}` is not the file that it describes: its SHA-256 is another"
            raise ManifestRefused(message, "Get that file again, or describe this one.")
    return part
