"""The door to `doctor`: the environment, and how fast a spec's model is in it."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surrogateshap.health import Health, Speed


def doctor(store: Path, devices: str | Sequence[str] = "auto") -> "Health":
    """What is installed, which devices there are, and how much room the store and the hub's cache have.

    `devices` is `auto`, `cpu`, `cuda` or `mps`, or names such as `cuda:0`.
    """
    from surrogateshap.execute.doctor import examine

    return examine(store, devices)


def calibrate(
    spec: Path,
    store: Path,
    *,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> "tuple[Speed, ...]":
    """Generates and encodes one small batch with a spec's model, and keeps the speeds in `store` for later plans.

    No image is kept. `say` is told one line per step; setting `stop` ends it with InterruptedRun. Raises SpecError,
    DeviceError and RunError.
    """
    from surrogateshap.execute.calibrate import calibrate as measure
    from surrogateshap.plan.compile import compile_spec
    from surrogateshap.store import Store

    compiled = compile_spec(spec, allow_paths, allow_plugins)
    with Store.open(store) as opened:
        return measure(compiled, opened, say, stop or threading.Event())
