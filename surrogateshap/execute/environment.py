"""What computed the results: versions of what matters, and where the images were made."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from surrogateshap.execute.damage import DamagedError
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
    """The distinct devices, number formats and thread counts that objects of images were made with.

    Where nobody can say any more, the images are dropped, and DamagedError raised: they have to be made again.
    """
    named = {keys.provenance(made): made for made in set(objects)}
    there = store.lookup(named)
    found = {name: store.get_json(name) for name in set(there.values())}
    lost = [made for key, made in named.items() if key not in there or found[there[key]] is None]
    for made in lost:
        store.drop(made)
    if lost:
        raise DamagedError(lost[0])
    return tuple(Device.model_validate(found[name]) for name in sorted(found))
