"""LoRA adapters: which file of a source is meant. Nothing is loaded."""

from pathlib import Path

_SUFFIX = ".safetensors"


def adapter_file(path: Path, weight_name: str | None, listing: frozenset[str] | None = None) -> Path:
    """The safetensors file of an adapter: the file itself, or the one in a folder that `weight_name` names.

    `listing` holds the names of all files of the folder where not all of them are on disk. Raises ValueError where
    there is none, or where there are several and no name.
    """
    if listing is None and path.is_file():
        if path.suffix != _SUFFIX:
            raise ValueError("is not a safetensors file, and weights of other kinds are never read")
        if weight_name not in (None, path.name):
            raise ValueError(f"is a file of its own, and `weight_name` is {weight_name}")
        return path
    names = {file.name for file in path.glob("*") if file.is_file()} if listing is None else listing
    found = sorted(name for name in names if name.endswith(_SUFFIX) and "/" not in name)
    if weight_name is not None:
        if weight_name not in found:
            raise ValueError(f"has no file {weight_name}")
        return path / weight_name
    if not found:
        raise ValueError("has no weights as safetensors")
    if len(found) > 1:
        raise ValueError(f"has {len(found)} safetensors files: write `weight_name`, such as {found[0]}")
    return path / found[0]
