"""What a list of specs says of each: names and numbers from the spec and its manifest alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from surrogateshap.errors import SpecError
from surrogateshap.plan.manifest import load_manifest
from surrogateshap.spec.load import read_spec


@dataclass(frozen=True)
class Glance:
    """A spec in a few words."""

    name: str
    groupings: tuple[tuple[str, int], ...]
    """Each with its number of contributors."""
    utilities: tuple[str, ...]


def glance(path: Path, allow: Sequence[Path] = ()) -> Glance:
    """Looks at a spec and its manifest, and at no model, no encoder and no hub: `plan` may find more problems.

    Raises SpecError with those that it found.
    """
    loaded, problems = read_spec(path)
    if loaded is None:
        raise SpecError(problems)
    manifest, found = load_manifest(loaded, allow)
    if problems or found or manifest is None:
        raise SpecError([*problems, *found])
    spec = loaded.spec
    return Glance(
        name=spec.name,
        groupings=tuple((group.name, len(group.contributors)) for group in manifest.groupings),
        utilities=tuple(utility.name for utility in spec.utility),
    )
