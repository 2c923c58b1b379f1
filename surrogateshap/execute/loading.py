"""What loading a model from a stranger's folder has to look out for, whichever library does it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surrogateshap.errors import RunError
from surrogateshap.text import harmless


def refuse_partial(info: Mapping[str, Any]) -> None:
    """Raises ValueError where weights are missing or of another shape: they would be random numbers."""
    absent = sorted(map(str, info.get("missing_keys", ())))
    other = sorted(str(key[0] if isinstance(key, tuple | list) else key) for key in info.get("mismatched_keys", ()))
    if absent or other:
        raise ValueError(f"{len(absent) + len(other)} of its weights are missing or misshapen: {(absent + other)[0]}")


def not_loaded(what: str, folder: Path, error: Exception, remedy: str) -> RunError:
    """The error that a model or an encoder can't be loaded, with the first line of the reason."""
    reason = harmless(str(error).strip().partition("\n")[0]) or type(error).__name__
    return RunError(f"the {what} in {harmless(folder.name)} can't be loaded: {reason}", remedy)
