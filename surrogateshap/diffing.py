"""From what a user names, a spec, a saved plan, a run or a record, to one side of a comparison."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from surrogateshap.archive import is_archive, is_folder
from surrogateshap.errors import PlanError, RunError, SurrogateShapError
from surrogateshap.record.diff import Side
from surrogateshap.record.folder import RECORD
from surrogateshap.targets import find_run, is_file, is_plan, saved_plan
from surrogateshap.text import harmless

if TYPE_CHECKING:
    from surrogateshap.record.results import Results


def load_side(
    target: str,
    *,
    store: Path | None = None,
    plan_specs: bool = True,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
) -> Side:
    """What is known of a spec, a saved plan, a run (by its name) or a record (its file, its folder, or `record.json`).

    With `plan_specs`, specs are planned too, as far as their inputs are there; without, they are read alone. Raises
    SpecError, PlanError and RunError for what can't be taken as one of these.
    """
    path = Path(target)
    if path.name == RECORD or is_folder(path) or is_archive(path):
        return _side_of_record(target)
    if is_file(path) and is_plan(path):
        made = saved_plan(path)
        return Side(kind="plan", name=target, spec=made.spec, plan=made)
    if is_file(path) or path.suffix == ".toml":
        return _side_of_spec(target, plan_specs, allow_paths, allow_plugins)
    return _side_of_run(target, store)


def _side_of_record(target: str) -> Side:
    from surrogateshap.plan.model import Plan
    from surrogateshap.record.results import Results
    from surrogateshap.record.verify import open_files
    from surrogateshap.strangers import UnreadableError, parse_model

    name, remedy = "", "Name the folder of a finished run, or a file that `export` made."
    try:
        _, files = open_files(Path(target))
        found: list[BaseModel] = []
        for name, kind in (("plan.json", Plan), ("results.json", Results)):
            found.append(parse_model(kind, files.read(name)))
    except UnreadableError as error:
        where = f"{harmless(target)}: {name}" if name else harmless(target)
        raise RunError(f"{where}: {error}", remedy) from None
    plan, results = found
    assert isinstance(plan, Plan)
    assert isinstance(results, Results)
    names = contributors_of(results)
    return Side(kind="record", name=target, spec=plan.spec, plan=plan, results=results, contributors=names)


def _side_of_run(target: str, store: Path | None) -> Side:
    from surrogateshap.plan.model import Plan
    from surrogateshap.record.results import Results

    opened, row = find_run(target, store, unfinished=True)
    with opened:
        made, found = opened.get_json(row.plan), opened.get_json(row.results) if row.results is not None else None
    if made is None:
        raise RunError(f"the plan of run {row.run} is gone", "Run `surrogateshap apply` again.")
    try:
        plan, results = Plan.model_validate(made), Results.model_validate(found) if found is not None else None
    except ValidationError:
        raise PlanError(f"run {row.run} was made by another version", "Compare its spec.") from None
    notes = () if results is not None else (f"{row.run} has no results: it is {row.now}.",)
    names = contributors_of(results) if results is not None else {}
    return Side(kind="run", name=target, spec=plan.spec, plan=plan, results=results, contributors=names, notes=notes)


def _side_of_spec(target: str, plan_specs: bool, allow_paths: Sequence[Path], allow_plugins: Sequence[str]) -> Side:
    from surrogateshap.spec.load import load_spec

    spec = load_spec(Path(target)).spec.model_dump(mode="json", by_alias=True)
    if not plan_specs:
        return Side(kind="spec", name=target, spec=spec)
    from surrogateshap.plan.build import build_plan
    from surrogateshap.plan.compile import compile_spec

    try:
        compiled = compile_spec(Path(target), allow_paths, allow_plugins)
        plan = build_plan(compiled, None)
    except SurrogateShapError as error:
        why = str(error.args[0] if error.args else error).partition("\n")[0]
        note = f"{harmless(target)} can't be planned, so its keys alone are compared: {harmless(why, 500)}"
        return Side(kind="spec", name=target, spec=spec, notes=(note,))
    manifest = compiled.checked.manifest
    return Side(
        kind="spec",
        name=target,
        spec=plan.spec,
        plan=plan,
        contributors={group.name: tuple(group.contributors) for group in manifest.groupings},
        conditions=tuple(map(str, manifest.conditions)),
    )


def contributors_of(results: "Results") -> dict[str, tuple[str, ...]]:
    """By grouping, the names in the first of its rankings."""
    found: dict[str, tuple[str, ...]] = {}
    for game in results.games:
        found.setdefault(game.grouping, tuple(one.name for one in game.contributors))
    return found
