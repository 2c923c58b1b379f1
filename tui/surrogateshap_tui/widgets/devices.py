"""Devices of a run: how busy they are, how full, how fast; and, once it has ended, what they did."""

import math

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from surrogateshap import units
from surrogateshap_tui.state import DeviceState
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.widgets.picture import plain
from surrogateshap_tui.widgets.stage_list import bar

_MOST = 8
"""Devices that are listed one by one."""
_WIDE = 100


def rate_of(devices: tuple[DeviceState, ...]) -> float:
    """Images per second of all devices together."""
    return sum(one.rate for one in devices if math.isfinite(one.rate))


def device_list(devices: tuple[DeviceState, ...], running: bool, palette: Palette, width: int) -> RenderableType:
    """One line each, and one for those beyond the eighth."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(14, width - (62 if width < _WIDE else 80)))
    for _ in range(3):
        table.add_column(no_wrap=True)
    for one in devices[:_MOST]:
        if running:
            table.add_row(plain(one.device), _speed(one.rate), _busy(one, palette, width), _memory(one, palette, width))
        else:
            took = f"{units.plural(one.images, 'image')} in {units.duration(one.seconds)}"
            table.add_row(plain(one.device), _speed(one.rate), Text(took), Text())
    if len(devices) <= _MOST:
        return table
    rest = devices[_MOST:]
    return Group(table, Text.assemble(f"and {units.plural(len(rest), 'other')}  ", _speed(rate_of(rest))))


def _speed(rate: float) -> Text:
    told = units.rate(rate)
    return Text(f"{told.partition('/')[0]} images/{told.partition('/')[2]}" if told else "")


def _busy(one: DeviceState, palette: Palette, width: int) -> Text:
    return _share(one.utilisation, f"{_percent(one.utilisation)} busy", palette, width)


def _memory(one: DeviceState, palette: Palette, width: int) -> Text:
    if one.memory_bytes is None:
        return Text("memory unknown", palette.muted)
    used, total = units.size(one.memory_bytes), one.memory_total
    if not total:
        return Text(f"{used} memory")
    return _share(one.memory_bytes / total, f"{used} of {units.size(total)}", palette, width)


def _share(share: float | None, words: str, palette: Palette, width: int) -> Text:
    if share is None or not math.isfinite(share):
        return Text("use unknown", palette.muted)
    full = min(1.0, max(0.0, share))
    style = palette.warning if full > 0.95 and " of " in words else palette.primary
    return bar(full, 12 if width >= _WIDE else 5, style, palette.muted).append(f" {words}")


def _percent(share: float | None) -> str:
    return "" if share is None or not math.isfinite(share) else f"{share:.0%}".replace("%", " %")
