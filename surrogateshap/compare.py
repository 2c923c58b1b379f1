"""From what a user names, a spec, a saved plan, a run or a record, to one side of a comparison."""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from surrogateshap.errors import PlanError, RunError, SurrogateShapError
from surrogateshap.record.diff import Side
from surrogateshap.record.folder import RECORD
from surrogateshap.targets import find_run, is_file, is_plan, saved_plan
from surrogateshap.text import harmless

if TYPE_CHECKING:
    from surrogateshap.record.results import Results

_MOST_BYTES = 64 << 20
_Model = TypeVar("_Model", bound=BaseModel)


def load_side(
    target: str,
    *,
    store: Path | None = None,
    plan_specs: bool = True,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
) -> Side:
    """What is known of a spec, a saved plan, a run (by its name) or a record (its folder, or `record.json`).

    With `plan_specs`, specs are planned too, as far as their inputs are there; without, they are read alone. Raises
    SpecError, PlanError and RunError for what can't be taken as one of these.
    """
    path = Path(target)
    if path.name == RECORD or _is_folder(path):
        return _side_of_record(target, record_files(path.parent if path.name == RECORD else path))
    if is_file(path) and is_plan(path):
        made = saved_plan(path)
        return Side(kind="plan", name=target, spec=made.spec, plan=made)
    if is_file(path) or path.suffix == ".toml":
        return _side_of_spec(target, plan_specs, allow_paths, allow_plugins)
    return _side_of_run(target, store)


def _is_folder(path: Path) -> bool:
    """False for names that no folder can have."""
    try:
        return path.is_dir()
    except OSError:
        return False


def record_files(folder: Path) -> Mapping[str, bytes]:
    """A record's files that a comparison reads. Links are not followed, and nothing large is read."""
    found = {}
    for name in ("plan.json", "results.json"):
        path = folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError(0, "not a regular file")
                found[name] = file.read(_MOST_BYTES + 1)
        except OSError as error:
            message = f"{harmless(str(folder))} is no record that can be read: {name}: {error.strerror}"
            raise RunError(message, "Name the folder of a finished run.") from None
        if len(found[name]) > _MOST_BYTES:
            raise RunError(f"{harmless(str(path))} is larger than {_MOST_BYTES >> 20} MiB")
    return found


def _side_of_record(target: str, files: Mapping[str, bytes]) -> Side:
    from surrogateshap.plan.model import Plan
    from surrogateshap.record.results import Results

    plan = _model(Plan, files["plan.json"], f"{harmless(target)}: plan.json")
    results = _model(Results, files["results.json"], f"{harmless(target)}: results.json")
    names = contributors_of(results)
    return Side(kind="record", name=target, spec=plan.spec, plan=plan, results=results, contributors=names)


def _model(kind: type[_Model], data: bytes, what: str) -> _Model:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "top level"
        message = f"{what} is of another form: {harmless(where)}: {harmless(first['msg'])}"
        raise RunError(message, "Look at it with `surrogateshap verify`.") from None


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
