"""The door to a store's housekeeping: which runs there are, what they say, and what can go."""

import os
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from surrogateshap.errors import RunError
from surrogateshap.targets import STORE, find_run, without_results
from surrogateshap.text import harmless
from surrogateshap.units import listed

if TYPE_CHECKING:
    from surrogateshap.events import Event
    from surrogateshap.runs import Cleanup, RunDetails, RunSummary, StageSummary
    from surrogateshap.store import RunRow, Store


def runs(store: Path | None = None) -> "tuple[RunSummary, ...]":
    """All runs of a store, the one that last began or ended first.

    Without `store` it is `.surrogateshap` here, or the only one in a folder below. Raises RunError where there is none.
    """
    with _existing(_only(store)) as opened:
        return tuple(_summary(row, _events(opened, row)) for row in opened.runs())


def run_details(target: str, *, store: Path | None = None, events: int = 0) -> "RunDetails":
    """All that a store says of a run, named by its spec or by (the beginning of) its name, with its last `events`.

    Raises RunError where there is no such run.
    """
    from surrogateshap.events import DeviceProgress, RunFailed, RunStarted, Warned
    from surrogateshap.runs import RunDetails

    opened, row = find_run(target, store, unfinished=True)
    with opened:
        told = _events(opened, row)
        attempt = told[max((at for at, one in enumerate(told) if isinstance(one, RunStarted)), default=0) :]
        failed = next((one for one in reversed(attempt) if isinstance(one, RunFailed)), None)
        used = opened.used(row.run)
        sizes = opened.object_sizes(used) if used else None
        return RunDetails(
            **_summary(row, told).model_dump(),
            per_stage=_stages(told, row.status),
            devices=tuple(one for one in told if isinstance(one, DeviceProgress)),
            warnings=tuple(dict.fromkeys(one.message for one in attempt if isinstance(one, Warned))),
            error=failed.message if failed is not None else "",
            remedy=failed.remedy if failed is not None else "",
            objects=None if sizes is None else len(sizes),
            bytes=None if sizes is None else sum(sizes.values()),
            events=tuple(event for _, event in opened.last_events(row.run, events)) if events else (),
        )


def run_folder(target: str, *, store: Path | None = None) -> Path:
    """Where the results and the record of a finished run lie. Raises RunError where there is none."""
    opened, row = find_run(target, store)
    with opened:
        if row.results is None:
            raise without_results(row)
        return opened.root / "runs" / row.run


def run_of_process(pid: int, *, store: Path, since: float = 0.0) -> str | None:
    """The run that a process of this machine began, or took up, in a store after a time; None where there is none."""
    from surrogateshap.store import Store

    opened = Store.existing(store)
    if opened is None:
        return None
    with opened:
        return next((row.run for row in opened.runs() if row.pid == pid and row.updated >= since), None)


def stop(target: str, *, store: Path | None = None) -> int:
    """Asks the process that applies a run to end after the batch in hand, as Ctrl-C does; returns its id.

    Raises RunError where no process does, or it can't be told for certain which.
    """
    opened, row = find_run(target, store, unfinished=True)
    with opened:
        sure = opened.worked_by(row.pid) if row.now == "running" else False
    if row.now != "running":
        raise RunError(f"run {harmless(row.run)} is not being applied: it is {row.now}")
    if sure:
        try:
            os.kill(row.pid, signal.SIGINT)
        except OSError:
            sure = None
    if not sure:
        remedy = f"If it is a process of this machine, `kill -INT {row.pid}` ends it after the batch in hand."
        raise RunError(f"run {harmless(row.run)} is applied by process {row.pid}, which can't be reached", remedy)
    return row.pid


def forget(names: Sequence[str], *, store: Path | None = None) -> tuple[str, ...]:
    """Takes runs, given by (the beginnings of) their names, out of a store, and deletes their folders.

    What they alone need goes with the next `gc`. Returns their names. Raises RunError where one isn't there, or a
    process works in the store.
    """
    from surrogateshap.store import Store
    from surrogateshap.store.sweep import forget as take_out

    folder = _only(store)
    _existing(folder).close()
    with Store.open(folder) as opened:
        found = []
        for name in names:
            row = opened.run(name)
            if row is None:
                remedy = "Look them up with `surrogateshap runs`."
                raise RunError(f"no single run `{harmless(name)}` in {harmless(str(folder))}", remedy)
            if row.now == "running":
                remedy = "Stop it first, or wait until it is done."
                raise RunError(f"run {harmless(row.run)} is being applied by process {row.pid}", remedy)
            found.append(row.run)
        take_out(opened, dict.fromkeys(found))
    return tuple(dict.fromkeys(found))


def gc(*, store: Path | None = None, dry_run: bool = False, check: bool = False) -> "Cleanup":
    """Deletes what no run of a store needs, or only tells what that is.

    With `check` all objects are read, and damaged ones deleted too: `apply` makes them anew.

    Raises RunError where another process works in the store, or nobody knows what a run uses.
    """
    from surrogateshap.plan import keys
    from surrogateshap.runs import Cleanup, Freed
    from surrogateshap.store import Store
    from surrogateshap.store.sweep import sweep

    folder = _only(store)
    _existing(folder).close()
    with Store.open(folder) as opened:
        swept = sweep(opened, lambda made: (keys.provenance(made), keys.spent(made)), dry_run=dry_run, check=check)
    kinds = tuple(Freed(kind=kind, files=files, bytes=size) for kind, (files, size) in sorted(swept.kinds.items()))
    return Cleanup(
        dry_run=dry_run,
        files=sum(kind.files for kind in kinds),
        bytes=sum(kind.bytes for kind in kinds),
        kinds=kinds,
        rows=swept.rows,
        kept_files=swept.kept_files,
        kept_bytes=swept.kept_bytes,
        unfinished=swept.unfinished,
        unlisted=swept.unlisted,
    )


def _only(store: Path | None) -> Path:
    """The store that is meant where no run and no spec names one."""
    if store is not None:
        return store
    here = Path(STORE)
    below = sorted(Path().glob(f"*/{STORE}"))
    if here.exists() or not below:
        return here
    if len(below) > 1:
        raise RunError(f"there are several stores: {listed([str(one) for one in below])}", "Name one with --store DIR.")
    return below[0]


def _existing(folder: Path) -> "Store":
    from surrogateshap.store import Store

    opened = Store.existing(folder)
    if opened is None:
        raise RunError(f"there is no store at {harmless(str(folder))}", "Name one with --store DIR.")
    return opened


def _events(opened: "Store", row: "RunRow") -> "list[Event]":
    return [event for _, event in opened.condensed(row.run)]


def _summary(row: "RunRow", told: "Iterable[Event]") -> "RunSummary":
    from surrogateshap.events import RunStarted
    from surrogateshap.runs import RunSummary

    told = list(told)
    stages = _stages(told, row.status)
    games = [len(one.games) for one in told if isinstance(one, RunStarted)]
    return RunSummary(
        run=row.run,
        name=row.name,
        status=row.now,
        created=row.created,
        updated=row.updated,
        spec_file=row.spec_file,
        stages=len(stages),
        stages_done=sum(stage.done >= stage.total for stage in stages),
        games=games[-1] if games else 0,
    )


def _stages(told: "Iterable[Event]", status: str) -> "tuple[StageSummary, ...]":
    """The stages of the last attempt, with what earlier ones measured."""
    from surrogateshap.events import RunStarted, StageFinished, StageProgress
    from surrogateshap.runs import StageSummary

    stages: dict[str, StageSummary] = {}
    before: dict[str, StageSummary] = {}
    for one in told:
        match one:
            case RunStarted():
                before, stages = stages, {}
                for info in one.stages:
                    known = before.get(info.id)
                    stages[info.id] = StageSummary(
                        id=info.id,
                        title=info.title,
                        unit=info.unit,
                        done=info.cached,
                        total=info.total,
                        seconds=known.seconds if known else 0.0,
                        rate=known.rate if known else 0.0,
                    )
            case StageProgress() if one.stage in stages:
                stage = stages[one.stage]
                changes = {"done": one.done, "total": one.total, "rate": one.rate or stage.rate}
                stages[one.stage] = stage.model_copy(update=changes)
            case StageFinished() if one.stage in stages:
                stage = stages[one.stage]
                earlier = before[one.stage].seconds if one.stage in before else 0.0
                changes = {"done": stage.total, "seconds": earlier + one.seconds}
                stages[one.stage] = stage.model_copy(update=changes)
            case _:
                pass
    if status == "done":
        return tuple(stage.model_copy(update={"done": stage.total}) for stage in stages.values())
    return tuple(stages.values())
