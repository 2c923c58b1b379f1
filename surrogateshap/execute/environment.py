"""What computed the results: versions of what matters, and where the images were made."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from surrogateshap.plan import keys
from surrogateshap.record.statement import Device
from surrogateshap.store import Store

_PACKAGES = (
    "surrogateshap",
    "accelerate",
    "diffusers",
    "lightgbm",
    "numpy",
    "peft",
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
    names = store.lookup(keys.provenance(made) for made in set(objects)).values()
    found = {name: store.get_json(name) for name in names}
    return tuple(Device.model_validate(found[name]) for name in sorted(found) if found[name] is not None)
