"""From a finished run, or a record, to all that its HTML report, or the page of one contributor, shows."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrogateshap.archive import is_archive
from surrogateshap.errors import RunError, SurrogateShapError
from surrogateshap.events import GameInfo
from surrogateshap.record.comparison import kept
from surrogateshap.record.contributor import ContributorData
from surrogateshap.record.folder import RECORD
from surrogateshap.report import Origin, ReportData, select, shown_names
from surrogateshap.store.objects import json_from_bytes
from surrogateshap.targets import compiled_of_run, find_run, record_that_holds, results_of
from surrogateshap.text import harmless

if TYPE_CHECKING:
    from surrogateshap.plan.model import Plan


def report_data(
    target: str,
    *,
    store: Path | None = None,
    images: int = 0,
    game: str | None = None,
    top: int | None = None,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
) -> ReportData:
    """All that the report shows, perhaps of games with `game` in their label alone.

    With `images`, as many of the pool's images for each contributor that a report with `top` shows; their spec must be
    where it was. Raises RunError where there is no such run or image, SpecError where its spec isn't sound any more,
    VerificationError for a record that doesn't hold.
    """
    if is_archive(Path(target)):
        if images:
            raise RunError("sample images come from a run's store, not from a record", "Leave --images away.")
        return _of_record(Path(target), game)
    opened, row = find_run(target, store)
    with opened:
        record = opened.get_bytes(row.record, "json") if row.record is not None else None
        results = select(results_of(opened, row), game=game)
        data = ReportData(
            results=results,
            plan=_plan(opened.get_json(row.plan)),
            origin=Origin.of(json_from_bytes(record)) if record is not None else None,
            comparisons=kept(opened, row.run, dict.fromkeys(one.grouping for one in results.games)),
        )
        if not images:
            return data
        from surrogateshap.execute.samples import samples

        compiled = compiled_of_run(target, opened, row, allow_paths, allow_plugins)
        return replace(data, samples=samples(compiled, opened, shown_names(data.results, top), images))


def contributor(
    target: str,
    game: GameInfo,
    name: str,
    *,
    store: Path | None = None,
    images: int = 0,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
) -> ContributorData:
    """What one contributor of a finished run is made of, and where its value in a game comes from.

    With `images`, as many of the pool's images that weigh most for it. What can't be had, because the spec isn't where
    it was or an input has changed, is left empty and noted. Raises RunError where there is no such run.
    """
    from surrogateshap.execute.contributor import made_of, sizes_of
    from surrogateshap.execute.samples import samples

    opened, row = find_run(target, store)
    data, notes = ContributorData(), []
    with opened:
        named = (game.grouping, game.utility, game.proxy)
        of_game = next((o for o in results_of(opened, row).games if (o.grouping, o.utility, o.proxy) == named), None)
        names = [one.name for one in of_game.contributors] if of_game is not None else []
        try:
            data = replace(data, sizes=sizes_of(opened.root / "runs" / row.run, game, names, name))
        except Exception as error:  # a damaged file: polars' errors have no common base
            notes.append(f"The coalitions' values can't be read: {harmless(str(error))}")
        try:
            compiled = compiled_of_run(target, opened, row, allow_paths, allow_plugins)
            data = replace(made_of(compiled, game.grouping, name), sizes=data.sizes)
            if images:
                found = samples(compiled, opened, {(game.grouping, game.proxy): [name]}, images)
                data = replace(data, images=tuple(png for one in found for png in one.images))
        except SurrogateShapError as error:
            notes.append(f"Conditions and images can't be had: {error.message}")
    return replace(data, notes=tuple(notes))


def _of_record(file: Path, game: str | None) -> ReportData:
    from surrogateshap.record.results import Results

    files = record_that_holds(file)
    results = select(Results.model_validate_json(files.read("results.json")), game=game)
    plan = _plan(json_from_bytes(files.read("plan.json")))
    return ReportData(results, plan, Origin.of(json_from_bytes(files.read(RECORD))))


def _plan(made: Any) -> "Plan | None":
    """None for another version's: the report then says nothing of it."""
    from pydantic import ValidationError

    from surrogateshap.plan.model import Plan

    with suppress(ValidationError):
        return Plan.model_validate(made)
    return None
