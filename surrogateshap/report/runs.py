"""A store's runs, and one of them, as tables for terminals."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from surrogateshap.events import DeviceProgress, Event
from surrogateshap.runs import RunDetails, RunSummary, StageSummary
from surrogateshap.text import harmless
from surrogateshap.units import count, duration, percent, plural, rate, size

_STYLES = {"running": "cyan", "done": "green", "failed": "red", "interrupted": "yellow"}


def runs_table(runs: Sequence[RunSummary]) -> Group:
    """A line per run, for any width from 80 columns."""
    if not runs:
        return Group(Text("No runs yet."))
    grid = _grid(("Run", 16, "left"), ("Status", 0, "left"), ("When", 0, "left"))
    for heading in ("Stages", "Games"):
        grid.add_column(Text(heading), no_wrap=True, justify="right")
    grid.add_column(Text("Spec"), min_width=9, overflow="fold")
    for one in runs:
        grid.add_row(
            _cut(one.run),
            _status(one),
            Text(_when(one.updated)),
            Text(f"{one.stages_done}/{one.stages}" if one.stages else "–"),
            Text(count(one.games) if one.stages else "–"),
            Text(harmless(_short(one.spec_file), 1000)),
        )
    return Group(grid)


def run_page(run: RunDetails) -> Group:
    """All that is told of a run, for any width from 80 columns."""
    uses = "unknown: an older version made it"
    if run.objects is not None and run.bytes is not None:
        uses = f"{plural(run.objects, 'object')}, {size(run.bytes)}"
    parts: list[RenderableType] = [
        Text(f"{harmless(run.name)}, run {harmless(run.run)}", "bold", no_wrap=True, overflow="ellipsis"),
        Text.assemble("Status  ", _status(run), f", {_when(run.updated)}; first begun {_when(run.created)}"),
        Text(f"Spec    {harmless(run.spec_file, 1000)}"),
        Text(f"Uses    {uses}"),
    ]
    if run.error:
        parts.append(Text(f"Error   {harmless(run.error, 2000)}", "red"))
        parts += [Text(f"        {harmless(run.remedy, 2000)}")] if run.remedy else []
    if run.per_stage:
        parts += [Text(""), _stages(run.per_stage)]
    if run.devices:
        parts += [Text(""), _devices(run.devices)]
    if run.warnings:
        parts += [Text(""), *(Text(f"Warning: {harmless(one, 1000)}", "yellow") for one in run.warnings)]
    if run.events:
        parts += [Text(""), *(Text(line, no_wrap=True, overflow="ellipsis") for line in _told(run.events))]
    return Group(*parts)


def _stages(stages: Iterable[StageSummary]) -> Table:
    grid = _grid(("Stage", 16, "left"), ("Done", 0, "right"), ("Unit", 0, "left"), ("Took", 0, "right"))
    grid.add_column(Text("Speed"), no_wrap=True, justify="right")
    for one in stages:
        took = duration(one.seconds) if one.seconds > 0 else "–"
        done = count(one.done) if one.done == one.total else f"{count(one.done)} of {count(one.total)}"
        unit = Text(harmless(one.unit, 20))
        grid.add_row(_cut(one.title), Text(done), unit, Text(took), Text(rate(one.rate) or "–"))
    return grid


def _devices(devices: Iterable[DeviceProgress]) -> Table:
    grid = _grid(("Device", 16, "left"), ("Images", 0, "right"), ("Speed", 0, "right"))
    for heading in ("Busy", "Memory"):
        grid.add_column(Text(heading), no_wrap=True, justify="right")
    for one in devices:
        memory = "–" if one.memory_bytes is None else size(one.memory_bytes)
        if one.memory_bytes is not None and one.memory_total is not None:
            memory += f" of {size(one.memory_total)}"
        cells = (count(one.images), rate(one.rate) or "–", percent(one.utilisation), memory)
        grid.add_row(_cut(one.device), *map(Text, cells))
    return grid


def _told(events: Iterable[Event]) -> Iterable[str]:
    for event in events:
        said = event.model_dump_json(exclude={"at", "kind"})
        yield f"{_when(event.at, '%H:%M:%S')}  {event.kind}  {harmless(said, 400)}"


def _grid(*columns: tuple[str, int, str]) -> Table:
    """Columns by heading, width at least (0: as wide as what is in it) and side; the first may be cut."""
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading, least, side in columns:
        grid.add_column(
            Text(heading), min_width=least or None, no_wrap=True, justify="right" if side == "right" else "left"
        )
    return grid


def _cut(text: str) -> Text:
    return Text(harmless(text), no_wrap=True, overflow="ellipsis")


def _status(run: RunSummary) -> Text:
    return Text(run.status, _STYLES[run.status])


def _when(seconds: float, form: str = "%Y-%m-%d %H:%M") -> str:
    return time.strftime(form, time.localtime(seconds))


def _short(file: str) -> str:
    """Relative to where the command runs, where it lies below."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
