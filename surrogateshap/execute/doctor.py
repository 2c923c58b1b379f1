"""What is installed here and what can be computed on: the environment as users need to know it."""

import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from surrogateshap.errors import DeviceError
from surrogateshap.execute.device import Asked, choose_devices, device_name
from surrogateshap.execute.memory import device_memory
from surrogateshap.health import DeviceHealth, ExtraHealth, Health

_PACKAGES = (
    "surrogateshap",
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "accelerate",
    "huggingface_hub",
    "numpy",
    "polars",
    "lightgbm",
    "shap",
)
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*;.*\bextra\s*==\s*['\"]([a-z0-9-]+)['\"]")
"""A requirement of an extra, as a distribution's metadata has it."""
_DEVELOPERS = "dev"


def examine(store: Path, asked: Asked = "auto") -> Health:
    """The environment, for results that are kept in `store` and computed on the devices that were asked for.

    Nothing is downloaded, and no model is loaded.
    """
    devices: tuple[DeviceHealth, ...] = ()
    usable, why = True, ""
    chosen: tuple[str, ...] = (asked,) if isinstance(asked, str) else tuple(asked)
    try:
        devices = tuple(_devices())
        chosen = _names(choose_devices(asked))
    except DeviceError as error:
        usable, why = False, error.message
    except (ImportError, OSError) as error:  # a torch whose libraries are not found
        usable, why = False, f"torch can't be loaded: {error}"
    hub_cache, hub_offline = _hub()
    return Health(
        python=platform.python_version(),
        platform=platform.platform(),
        versions={package: _version(package) for package in _PACKAGES},
        devices=devices,
        chosen=chosen,
        usable=usable,
        why=why,
        store=str(store),
        store_free_bytes=_free(store),
        hub_cache=hub_cache,
        hub_cache_free_bytes=_free(Path(hub_cache)) if hub_cache is not None else None,
        hub_offline=hub_offline,
        missing=tuple(_missing()),
    )


def _missing() -> Iterator[ExtraHealth]:
    """Extras with packages that are not installed."""
    try:
        stated = requires("surrogateshap") or []
    except PackageNotFoundError:
        return
    lacking: dict[str, list[str]] = {}
    for requirement in stated:
        match = _REQUIREMENT.match(requirement)
        if match and match[2] != _DEVELOPERS and _version(match[1]) is None:
            lacking.setdefault(match[2], []).append(match[1])
    for extra, packages in lacking.items():
        yield ExtraHealth(extra=extra, packages=tuple(packages), remedy=f'pip install "surrogateshap[{extra}]"')


def _devices() -> Iterator[DeviceHealth]:
    import torch

    there = ["cpu"] + (["mps"] if torch.backends.mps.is_available() else [])
    there += [f"cuda:{index}" for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)]
    for name in there:
        device = torch.device(name)
        try:
            free, total = device_memory(device)
        except RuntimeError:  # a GPU that others hold, or that fell off the bus
            free, total = 0, None
        yield DeviceHealth(name=device_name(device), free_bytes=free, total_bytes=total)


def _names(chosen: Iterable[str]) -> tuple[str, ...]:
    import torch

    return tuple(device_name(torch.device(name)) for name in dict.fromkeys(chosen))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _free(folder: Path) -> int | None:
    """Bytes that are free where a folder is or would be."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def _hub() -> tuple[str | None, bool]:
    """Folder of the hub's cache, and whether requests are forbidden."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return None, False
    return os.fspath(constants.HF_HUB_CACHE), bool(constants.HF_HUB_OFFLINE)
