"""`surrogateshap doctor`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from surrogateshap.cli.apply import stopping
from surrogateshap.cli.options import allow_option, objects_option, plugin_option, store_option
from surrogateshap.errors import DeviceError, InterruptedRun
from surrogateshap.text import harmless
from surrogateshap.units import duration, listed, size

if TYPE_CHECKING:
    from surrogateshap.health import Health


@click.command("doctor")
@click.argument("spec", required=False, type=click.Path(path_type=Path))
@click.option(
    "--calibrate",
    metavar="SPEC",
    type=click.Path(path_type=Path),
    help="Measure how fast this spec's model is here, for the costs of its plans.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@store_option
@objects_option
@allow_option
@plugin_option
def command(
    spec: Path | None,
    calibrate: Path | None,
    as_json: bool,
    store: Path | None,
    allow_paths: tuple[Path, ...],
    allow_plugins: tuple[str, ...],
) -> int:
    """Look at the environment: versions, devices, disk, the hub's cache and missing extras.

    With SPEC, for the device and the store that it asks for. --calibrate generates and encodes one small batch, keeps
    how long that took and no image. Exits with 5 where the device is not there.
    """
    from surrogateshap import api
    from surrogateshap.report import json_text

    named = calibrate or spec
    place = api.store_folder(named if named is not None else Path(), store)
    asked: str | tuple[str, ...] = "auto"
    if named is not None:
        asked = api.validate(named, allow_paths=allow_paths, allow_plugins=allow_plugins).execution.devices
    health = api.doctor(place, asked)
    if calibrate is not None and health.usable:
        try:
            with stopping(_say) as stop:
                speeds = api.calibrate(
                    calibrate, place, allow_paths=allow_paths, allow_plugins=allow_plugins, say=_say, stop=stop
                )
        except (InterruptedRun, KeyboardInterrupt):
            click.echo("Interrupted: what was measured is kept.", err=True)
            return InterruptedRun.exit_code
        health = health.model_copy(update={"speeds": speeds})
    click.echo(json_text(health) if as_json else "\n".join(_lines(health)))
    return 0 if health.usable else DeviceError.exit_code


def _say(line: str) -> None:
    click.echo(harmless(line, 1000), err=True)


def _lines(health: "Health") -> Iterator[str]:
    yield f"Python {health.python} on {harmless(health.platform)}"
    yield ""
    yield "Packages"
    for package, version in health.versions.items():
        yield f"  {package:<16} {harmless(version) if version else 'not installed'}"
    yield ""
    yield "Devices"
    for device in health.devices:
        memory = [size(device.total_bytes)] if device.total_bytes is not None else []
        memory += [f"{size(device.free_bytes)} free"] if device.free_bytes is not None else []
        chosen = "  <- a run takes this one" if device.name in health.chosen else ""
        yield f"  {harmless(device.name)}: {', '.join(memory) or 'memory unknown'}{chosen}"
    if not health.usable:
        yield f"  ! {harmless(health.why)}"
    yield ""
    yield "Places"
    yield f"  store      {harmless(health.store, 1000)}{_room(health.store_free_bytes)}"
    if health.hub_cache is not None:
        offline = "; offline: nothing is downloaded" if health.hub_offline else ""
        yield f"  hub cache  {harmless(health.hub_cache, 1000)}{_room(health.hub_cache_free_bytes)}{offline}"
    if health.missing:
        yield ""
        yield "Optional, and not installed"
        for extra in health.missing:
            yield f"  {listed(extra.packages)}: {extra.remedy}"
    if health.speeds:
        yield ""
        yield "Measured, and kept for later plans"
        for speed in health.speeds:
            each = (
                f"{duration(speed.seconds_per_image)} per image"
                if speed.seconds_per_image >= 0.1
                else (f"{speed.seconds_per_image * 1000:.3g} ms per image")
            )
            yield f"  {harmless(speed.stage)}: {each}, in a batch of {speed.images:,} on {harmless(speed.device)}"


def _room(free: int | None) -> str:
    return "" if free is None else f", {size(free)} free"
