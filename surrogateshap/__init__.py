"""What each data contributor is worth to a diffusion model, without retraining it.

The names below are loaded on first use, so that importing the package stays cheap.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surrogateshap.api import apply, estimate_shapley, evaluate, plan, show, validate, verify

__version__ = "0.1.0"
__all__ = ["__version__", "apply", "estimate_shapley", "evaluate", "plan", "show", "validate", "verify"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("surrogateshap.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Package(ModuleType):
    """Keeps `surrogateshap.plan` the function: importing the package of that name would bind it instead."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "plan" or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted(__all__)
