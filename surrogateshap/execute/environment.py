"""What computed the results: versions of what matters, and where the images were made."""

import json
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from surrogateshap.store import Store

_PACKAGES = (
    "surrogateshap",
    "diffusers",
    "lightgbm",
    "numpy",
    "polars",
    "pydantic",
    "safetensors",
    "scipy",
    "shap",
    "torch",
    "transformers",
)


def versions() -> dict[str, str]:
    """Of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def provenance(store: Store, objects: Iterable[str]) -> list[dict[str, Any]]:
    """The distinct devices, number formats and thread counts that images were made with."""
    found = set()
    for name in sorted(set(objects)):
        arrays = store.get_arrays(name)
        if arrays is not None and "provenance" in arrays:
            found.add(arrays["provenance"].tobytes())
    return [json.loads(text) for text in sorted(found)]
