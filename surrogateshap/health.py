"""What `doctor` finds: plain data."""

from pydantic import BaseModel, ConfigDict


class _Data(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class DeviceHealth(_Data):
    """One device that torch knows."""

    name: str
    """Such as `cpu` or `cuda:0 NVIDIA H100`."""
    free_bytes: int | None
    """None where unknown, as `total_bytes`."""
    total_bytes: int | None


class ExtraHealth(_Data):
    """Optional packages that are not installed."""

    extra: str
    packages: tuple[str, ...]
    remedy: str
    """Their `pip install` line."""


class Speed(_Data):
    """One measured speed."""

    stage: str
    """Id of a plan's stage that it is for."""
    device: str
    images: int
    """In the batch that was timed."""
    seconds_per_image: float


class Health(_Data):
    """The environment."""

    python: str
    platform: str
    versions: dict[str, str | None]
    """By package; None where it is not installed."""
    devices: tuple[DeviceHealth, ...]
    chosen: tuple[str, ...]
    """Names of those that a run would take."""
    usable: bool
    """Whether it is there."""
    why: str
    """Why not; else empty."""
    store: str
    store_free_bytes: int | None
    hub_cache: str | None
    hub_cache_free_bytes: int | None
    hub_offline: bool
    missing: tuple[ExtraHealth, ...]
    """Extras that something lacks for."""
    speeds: tuple[Speed, ...] = ()
    """What was measured now."""
