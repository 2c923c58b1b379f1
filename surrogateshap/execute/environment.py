"""What computed the results: versions of what matters, and where the images were made."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from surrogateshap.record.statement import Device
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


def devices(store: Store, objects: Iterable[str]) -> tuple[Device, ...]:
    """The distinct devices, number formats and thread counts that objects of images were made with."""
    found = set()
    for name in set(objects):
        arrays = store.get_arrays(name)
        if arrays is not None:
            found.add(arrays["provenance"].tobytes())
    return tuple(Device.model_validate_json(text) for text in sorted(found))
