"""From what a user names, a spec, a saved plan or a run, to the files and runs that are meant."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrogateshap.archive import is_archive
from surrogateshap.errors import PlanError, Problem, RunError, SpecError, VerificationError
from surrogateshap.strangers import UnreadableError, opened, read_file
from surrogateshap.text import digest, harmless

if TYPE_CHECKING:
    from surrogateshap.archive import Files
    from surrogateshap.plan.compile import Compiled
    from surrogateshap.plan.hub import Pins
    from surrogateshap.plan.model import Plan
    from surrogateshap.record.results import Results
    from surrogateshap.store import RunRow, Store

# Everything else is imported where it is used: a command that doesn't need a part must not wait for it.

STORE = ".surrogateshap"
_READ_IN_PASSING = 256 << 20


def store_folder(spec: Path, store: Path | None) -> Path:
    """Where a spec's results are kept: `store`, or `.surrogateshap` beside the spec."""
    return store if store is not None else spec.parent / STORE


def spec_of(target: Path, allow: Sequence[Path]) -> "tuple[Path, Plan | None]":
    """The spec that a target stands for, and the saved plan where it is one, or the record of a run.

    Raises VerificationError for a record that doesn't hold.
    """
    if is_archive(target):
        return target, plan_in_record(target, record_that_holds(target))
    if not is_plan(target):
        return target, None
    saved = saved_plan(target)
    return named_spec(saved.spec_file, target.parent, target, allow), saved


def saved_plan(target: Path) -> "Plan":
    """The plan in a file. Raises PlanError where it is none."""
    from surrogateshap.plan.model import Plan

    try:
        return Plan.model_validate_json(read_file(target, follow=True))
    except UnreadableError as error:
        raise PlanError(f"{harmless(str(target))}: {error}") from None
    except ValueError:
        remedy = "Make one with `surrogateshap plan SPEC -o PLAN`."
        raise PlanError(f"{harmless(str(target))} is not a plan of this version", remedy) from None


def named_spec(spec_file: str, folder: Path, named_by: Path, allow: Sequence[Path]) -> Path:
    """The spec that a file in `folder` names; it lies in there, under the working directory or in `allow`."""
    from surrogateshap.spec.paths import PathRefused, resolve

    folder = folder.resolve()
    try:
        return resolve(os.path.normpath(folder / spec_file), folder, (*allow, Path.cwd()))
    except PathRefused as refused:
        message = f"{harmless(str(named_by))} names a spec elsewhere: {refused.message}"
        raise PlanError(message, refused.remedy) from None


def is_file(name: str | Path) -> bool:
    """Whether there is such a file; False for names that no file can have."""
    try:
        return Path(name).is_file()
    except OSError:
        return False


def is_plan(target: Path) -> bool:
    """Plans are JSON objects, whatever their names; no TOML begins like one."""
    if target.suffix == ".json" or not is_file(target):
        return target.suffix == ".json"
    try:
        with opened(target, follow=True) as file:
            return file.read(1) == b"{"
    except UnreadableError:
        return False


def pins_of_plan(saved: "Plan | None") -> "Pins":
    """The commits that a saved plan was made with: it stands for them wherever their branches have moved."""
    from surrogateshap.plan.hub import pins_of

    return pins_of(file.model_dump() for file in saved.inputs) if saved is not None else {}


def plan_in_record(target: Path, files: "Files") -> "Plan":
    """The plan among the files of a record that holds.

    Raises PlanError where the spec in it is not the one that its run was made from.
    """
    from surrogateshap.plan.model import Plan

    if "spec.toml" not in files.names:
        raise PlanError(f"{harmless(str(target))} holds no spec", "Name a record that `export` made.")
    saved = Plan.model_validate_json(files.read("plan.json"))
    written = [file.digest for file in saved.inputs if file.role == "spec"]
    if written != [digest(files.read("spec.toml"))]:
        message = f"{harmless(str(target))} has pseudonyms in its spec, and can't be run again"
        raise PlanError(message, "Whoever made it has the spec.")
    return saved


def compiled_of_run(
    target: str, opened: "Store", row: "RunRow", allow_paths: Sequence[Path], allow_plugins: Sequence[str]
) -> "Compiled":
    """The spec of a finished run, compiled anew. Raises SpecError, and PlanError where an input has moved since."""
    from surrogateshap.plan.compile import compile_spec
    from surrogateshap.plan.hub import pins_of

    spec = spec_of(Path(target), allow_paths)[0] if is_file(target) else spec_of_run(opened, row)
    made = opened.get_json(row.plan)
    pins = pins_of(made["inputs"]) if made is not None else None
    compiled = compile_spec(spec, allow_paths, allow_plugins, pins=pins)
    if compiled.run != row.run:
        refuse_moved(made, compiled, row.run)
    return compiled


def record_that_holds(target: Path, remedy: str = "Look at it with `surrogateshap verify`.") -> "Files":
    """The files of a record. Raises VerificationError where it doesn't hold."""
    from surrogateshap.record.verify import open_files, verify

    report = verify(target)
    if not report.holds:
        wrong = next(check for check in report.checks if not check.holds)
        message = f"{report.record} does not hold: {wrong.name}: {wrong.detail}"
        raise VerificationError(message, remedy)
    return open_files(target)[1]


def results_in_record(target: Path) -> "Results":
    """What a record says. Raises VerificationError where it doesn't hold."""
    from surrogateshap.record.results import Results

    return Results.model_validate_json(record_that_holds(target).read("results.json"))


def refuse_stale(saved: "Plan", made: "Plan", target: Path) -> "Plan":
    """The plan that was made now; where a record's inputs moved, with a warning that names them.

    Raises PlanError that names every input that moved since a plan was saved.
    """
    if saved.plan_id == made.plan_id:
        return made
    from surrogateshap.plan.differences import changes

    moved = changes(saved.model_dump(mode="json"), made.spec, made.inputs)
    listed = (
        "\n".join(f"    {change}" for change in moved) or "    surrogateshap itself, which would compute it otherwise"
    )
    if is_archive(target):
        said = "; ".join(change.strip() for change in listed.splitlines())
        warning = f"not the run of the record: since that was made, this moved: {said}"
        return made.model_copy(update={"warnings": (*made.warnings, warning)})
    remedy = f"Look at it again: surrogateshap plan {harmless(made.spec_file)} -o {harmless(str(target))}"
    raise PlanError(f"the plan {harmless(str(target))} is stale; since it was made, this moved:\n{listed}", remedy)


def results_of(opened: "Store", row: "RunRow") -> "Results":
    """Raises RunError where the run has none."""
    from surrogateshap.record.results import Results

    document = opened.get_json(row.results) if row.results is not None else None
    if document is None:
        raise without_results(row)
    return Results.model_validate(document)


def without_results(row: "RunRow") -> RunError:
    """The error for a run that has none."""
    remedy = f"Go on with `surrogateshap apply {harmless(row.spec_file)}`."
    return RunError(f"run {row.run} has no results: it is {row.status}", remedy)


def spec_of_run(opened: "Store", row: "RunRow") -> Path:
    """Where the spec of a run lies: as it was named then, or beside the store."""
    named = Path(row.spec_file)
    for path in (named, opened.root.parent / named.name):
        if path.is_file():
            return path
    raise RunError(f"the spec of run {row.run}, {harmless(row.spec_file)}, is not there", "Name the spec itself.")


def refuse_moved(made: Any, compiled: "Compiled", run: str) -> None:
    """Raises RunError that names every input that moved since the run."""
    from surrogateshap.plan.differences import changes

    resolved = compiled.spec.model_dump(mode="json", by_alias=True)
    moved = changes(made if isinstance(made, dict) else {}, resolved, compiled.checked.inputs)
    listed = "\n".join(f"    {harmless(change)}" for change in moved) or "    surrogateshap itself"
    remedy = f"Run `surrogateshap apply {harmless(compiled.checked.loaded.file)}`, or put back what it was made from."
    raise RunError(f"run {harmless(run)} can't be measured any more; since it was made, this moved:\n{listed}", remedy)


def find_run(target: str, store: Path | None, unfinished: bool = False) -> "tuple[Store, RunRow]":
    """The run that a spec, a saved plan or the beginning of a name stands for, with its store, which is open.

    Raises RunError where there is none, or, unless `unfinished`, none with results.
    """
    from surrogateshap.store import Store

    path = Path(target)
    if is_file(path):
        return _run_of_file(path, store, unfinished)
    folders = [store] if store is not None else [Path(STORE), *sorted(Path().glob(f"*/{STORE}"))]
    for folder in folders:
        opened = Store.existing(folder)
        row = opened.run(target) if opened is not None else None
        if opened is not None and row is not None:
            return opened, row
        if opened is not None:
            opened.close()
    if path.suffix == ".toml":
        raise SpecError([Problem(harmless(target), 0, "", "there is no such file")])
    searched = ", ".join(harmless(str(folder)) for folder in folders)
    raise RunError(f"no run `{harmless(target)}` in {searched}", "Name a spec, a run, or the store with --store.")


def _run_of_file(path: Path, store: Path | None, unfinished: bool) -> "tuple[Store, RunRow]":
    from surrogateshap.store import Store

    spec, saved = spec_of(path, ())
    opened = Store.existing(store_folder(spec, store))
    remedy = f"Run `surrogateshap apply {harmless(str(path))}` first."
    if opened is None:
        raise RunError(f"{harmless(str(path))} has no results yet", remedy)
    try:
        if saved is not None:
            row = opened.run(saved.run)
            if row is not None:
                return opened, row
        moved: list[str] = []
        for row in opened.runs_of_spec(digest(spec.read_bytes()), done_only=not unfinished) if saved is None else ():
            moved = _moved_inputs(spec, opened.get_json(row.plan))
            if not moved:
                return opened, row
        others = [other for other in opened.runs_of_file(str(spec)) if other.results is not None]
        hint = f" Earlier results: `surrogateshap show {others[0].run}`." if others else ""
        why = f" ({', '.join(map(harmless, moved))} changed)" if moved else ""
        raise RunError(f"{harmless(str(path))}, as it stands, has no results yet{why}", remedy + hint)
    except OSError as error:
        opened.close()
        raise RunError(f"{harmless(str(spec))} can't be read: {error.strerror}", "Name the run itself.") from None
    except BaseException:
        opened.close()
        raise


def _moved_inputs(spec: Path, made: Any) -> list[str]:
    """Roles of the inputs whose content is no longer that of a stored plan.

    What is too large to be read in passing is taken for unchanged, and so are plugins, commits on the hub and what
    lies outside the spec's folder.
    """
    from surrogateshap.plan.hub import is_snapshot
    from surrogateshap.plan.inputs import digest_path
    from surrogateshap.plan.manifest import digest_manifest
    from surrogateshap.plugins import ROLE
    from surrogateshap.spec.paths import PathRefused, resolve

    moved = []
    for file in made["inputs"] if isinstance(made, dict) else ():
        apart = file["role"] in ("spec", "images") or file["role"].startswith(ROLE)
        if apart or file["bytes"] > _READ_IN_PASSING or is_snapshot(file["name"]):
            continue
        try:
            path = resolve(file["name"], spec.parent.absolute())
            if file["role"] == "manifest":
                content = digest_manifest(path, made["spec"]["contributors"].get("split"))
            elif file["role"].startswith("groups "):
                content = digest_manifest(path, None)
            else:
                content, _ = digest_path(path)
        except PathRefused:
            continue
        except OSError:
            content = ""
        if content != file["digest"]:
            moved.append(file["role"])
    return moved
