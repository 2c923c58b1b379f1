"""The door: validate, plan, apply, show, estimate, evaluate, verify. The command line and the TUI come through it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from surrogateshap.archive import is_archive
from surrogateshap.doctor import calibrate as calibrate
from surrogateshap.doctor import doctor as doctor
from surrogateshap.errors import PlanError, Problem, SpecError
from surrogateshap.estimating import estimate_shapley as estimate_shapley
from surrogateshap.housekeeping import forget as forget
from surrogateshap.housekeeping import gc as gc
from surrogateshap.housekeeping import run_details as run_details
from surrogateshap.housekeeping import run_folder as run_folder
from surrogateshap.housekeeping import run_of_process as run_of_process
from surrogateshap.housekeeping import runs as runs
from surrogateshap.housekeeping import stop as stop
from surrogateshap.record.folder import secret_beside as secret_beside
from surrogateshap.targets import (
    compiled_of_run,
    find_run,
    is_file,
    is_plan,
    named_spec,
    pins_of_plan,
    refuse_stale,
    results_in_record,
    results_of,
    spec_of,
)
from surrogateshap.targets import store_folder as store_folder
from surrogateshap.text import harmless

if TYPE_CHECKING:
    import numpy as np

    from surrogateshap.events import Emit, Event, GameInfo
    from surrogateshap.plan.glance import Glance
    from surrogateshap.plan.model import Plan
    from surrogateshap.record.anchors import AnchorPlan
    from surrogateshap.record.checks import VerifyReport
    from surrogateshap.record.comparison import ComparisonReport
    from surrogateshap.record.contributor import ContributorData
    from surrogateshap.record.diff import Diff
    from surrogateshap.record.results import AnchorKind, Results
    from surrogateshap.report import ReportData
    from surrogateshap.spec.model import Spec

# Everything else is imported where it is used: a command that doesn't need a part must not wait for it.


def ignore(_: "Event") -> None:
    """Watches nothing."""


def _silent(_: str) -> None:
    """Tells nobody."""


def validate(spec: Path, *, allow_paths: Sequence[Path] = (), allow_plugins: Sequence[str] = ()) -> "Spec":
    """Checks a spec and every input that it names. Raises SpecError with all problems.

    Here and below, specs may name files in the folders `allow_paths`, and plugins by the names `allow_plugins`.
    """
    from surrogateshap.plan.check import check_spec

    return check_spec(spec, allow_paths, allow_plugins).loaded.spec


def glance(spec: Path, *, allow_paths: Sequence[Path] = ()) -> "Glance":
    """A spec in a few words, from it and its manifest alone. Raises SpecError with the problems of these."""
    from surrogateshap.plan.glance import glance as look

    return look(spec, allow_paths)


def spec_text(target: Path, *, allow_paths: Sequence[Path] = ()) -> tuple[Path, str]:
    """The spec that a target is or was saved from, and its text, which is empty where it can't be read.

    Raises PlanError for a saved plan that can't be read.
    """
    from surrogateshap.spec.load import spec_text as text

    spec, _ = spec_of(target, allow_paths)
    return spec, text(spec)


def plan(
    target: Path,
    *,
    store: Path | None = None,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
    execution: Mapping[str, object] = MappingProxyType({}),
) -> "Plan":
    """What `apply` would do with a spec or a saved plan. Raises SpecError, and PlanError for a stale plan.

    `execution` are keys of the spec's [execution], such as `devices`, in place of what it says.
    """
    from surrogateshap.plan.build import build_plan
    from surrogateshap.plan.compile import compile_spec
    from surrogateshap.plan.device import guess_device
    from surrogateshap.store import Store

    spec, saved = spec_of(target, allow_paths)
    compiled = compile_spec(spec, allow_paths, allow_plugins, pins=pins_of_plan(saved)).with_execution(execution)
    asked = compiled.spec.execution
    opened = Store.existing(store_folder(spec, store))
    try:
        made = build_plan(compiled, opened, guess_device(asked.devices, asked.threads, asked.workers))
    finally:
        if opened is not None:
            opened.close()
    return made if saved is None else refuse_stale(saved, made, target)


def save_plan(made: "Plan", out: Path) -> None:
    """Writes a plan for `apply`. Raises PlanError where it can't be written."""
    from surrogateshap.spec.paths import path_from
    from surrogateshap.store.atomic import atomic_write_bytes

    if is_file(out) and not is_plan(out):
        raise PlanError(f"{harmless(str(out))} is there already, and is no plan", "Choose another name.")
    spec = path_from(out.parent, Path(made.spec_file))
    try:
        atomic_write_bytes(out, made.model_copy(update={"spec_file": spec}).model_dump_json(indent=1).encode() + b"\n")
    except OSError as error:
        raise PlanError(f"{harmless(str(out))} can't be written: {error.strerror}", "Choose another place.") from error


def explain(made: "Plan") -> str:
    """The plan as text for people."""
    from surrogateshap.plan.explain import explain as text

    return text(made)


def apply(
    target: Path,
    *,
    store: Path | None = None,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
    execution: Mapping[str, object] = MappingProxyType({}),
    emit: "Emit" = ignore,
    stop: threading.Event | None = None,
    wait: bool = True,
) -> "Results":
    """Runs a spec or a saved plan, or goes on with what was interrupted.

    `execution` are keys of the spec's [execution] in place of what it says. `emit` is called with each event, from this
    thread. Setting `stop` ends the run after the current shards with InterruptedRun. While another process works in the
    store, the events of this run there are passed on, and its end is waited for; without `wait` that raises RunError.
    Raises SpecError, PlanError (a stale plan), DeviceError and RunError too.
    """
    from surrogateshap.events import Warned
    from surrogateshap.execute.run import execute
    from surrogateshap.plan.build import build_plan
    from surrogateshap.plan.compile import compile_spec
    from surrogateshap.store import Store

    spec, saved = spec_of(target, allow_paths)
    compiled = compile_spec(spec, allow_paths, allow_plugins, pins=pins_of_plan(saved)).with_execution(execution)
    if saved is not None:
        made = build_plan(compiled, None)
        for warning in refuse_stale(saved, made, target).warnings[len(made.warnings) :]:
            emit(Warned(message=warning))
    with Store.open(store_folder(spec, store)) as opened:
        return execute(compiled, opened, emit, stop or threading.Event(), wait)


def work(
    target: Path,
    shard: tuple[int, int],
    *,
    store: Path | None = None,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
    execution: Mapping[str, object] = MappingProxyType({}),
    only: Path | None = None,
    say: Callable[[str], None] = _silent,
    stop: threading.Event | None = None,
) -> None:
    """Makes and encodes one part of a run's images, for `apply` to merge: (i, N) is every N-th shard from the i-th on.

    Returns when all of them are there; what was finished before is not done again. `execution` are keys of the spec's
    [execution] in place of what it says, of which a worker heeds those of its own machine. `only` is a file with the
    ids of the shards to be counted, one a line, where not all are. `say` is told how far it is. Raises SpecError (also
    where a run's images are chosen as it goes on), PlanError, DeviceError, RunError, and InterruptedRun once `stop` is
    set.
    """
    from surrogateshap.execute.worker import Share, ids_in
    from surrogateshap.execute.worker import work as do
    from surrogateshap.plan.build import build_plan
    from surrogateshap.plan.compile import compile_spec

    share, listed = Share(*shard), None if only is None else ids_in(only)
    spec, saved = spec_of(target, allow_paths)
    compiled = compile_spec(spec, allow_paths, allow_plugins, pins=pins_of_plan(saved))
    asked = compiled.spec.execution
    # Of other backends, `workers` counts something else.
    own = {"backend": "local", "workers": asked.workers if asked.backend == "local" else None}
    compiled = compiled.with_execution({**own, **execution})
    if saved is not None:
        refuse_stale(saved, build_plan(compiled, None), target)
    do(compiled, store_folder(spec, store), share, say, stop or threading.Event(), listed)


def show(target: str, *, store: Path | None = None) -> "Results":
    """Results of a finished run, named by its spec or by (the beginning of) its name, or those in a record.

    Raises RunError where none is, VerificationError for a record that doesn't hold.
    """
    if is_archive(Path(target)):
        return results_in_record(Path(target))
    opened, row = find_run(target, store)
    with opened:
        return results_of(opened, row)


def report_data(target: str, **asked: Any) -> "ReportData":
    """All that the HTML report of a finished run or of a record shows, as `reporting.report_data` says."""
    from surrogateshap.reporting import report_data as collect

    return collect(target, **asked)


def contributor(target: str, game: "GameInfo", name: str, **asked: Any) -> "ContributorData":
    """What one contributor of a finished run is made of, as `reporting.contributor` says."""
    from surrogateshap.reporting import contributor as collect

    return collect(target, game, name, **asked)


def evaluate(
    target: str,
    against: Path,
    *,
    store: Path | None = None,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
    grouping: str | None = None,
    utility: str | None = None,
    kind: "AnchorKind" = "retrained",
) -> "Results":
    """The games of a finished run that a table of retrained coalitions says something of, each with its fidelity.

    Nothing of the run is changed.

    `against` is Parquet, CSV or JSON Lines with a 0/1 column for each contributor of `grouping`, by default the spec's
    own, and `value.UTILITY` columns, or `value` where there is one utility or `utility` names it. Raises SpecError with
    what is wrong with the table, RunError where there is no such run, or an input of it has changed since.
    """
    from surrogateshap.execute.fidelity import evaluate_run
    from surrogateshap.plan.anchors import read_anchors

    opened, row = find_run(target, store)
    with opened:
        results = results_of(opened, row)
        compiled = compiled_of_run(target, opened, row, allow_paths, allow_plugins)
        groups = {group.name: group for group in compiled.checked.manifest.groupings}
        chosen = grouping or compiled.checked.anchored.name
        names = [one.name for one in compiled.spec.utility]
        for given, known, what in ((chosen, [*groups], "grouping"), (utility or names[0], names, "utility")):
            if given not in known:
                listed = ", ".join(known)
                message, file = f"there is none `{harmless(given)}`", harmless(compiled.checked.loaded.file)
                problem = Problem(file, 0, what, message, f"Use {listed}.")
                raise SpecError([problem])
        anchors = read_anchors(against, groups[chosen].contributors, names, utility)
        return evaluate_run(compiled, opened, results, chosen, anchors, kind)


def plan_anchors(
    target: str,
    count: int,
    out: Path,
    *,
    grouping: str | None = None,
    seed: int | None = None,
    store: Path | None = None,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
) -> "AnchorPlan":
    """Chooses `count` coalitions most worth retraining, and writes for each the rows to train on, all into `out`.

    `target` is a spec, or a run of the store. Nothing is trained. Raises SpecError, RunError where there is no such
    run, and PlanError where there are not so many coalitions or the folder can't be written.
    """
    from surrogateshap.plan.compile import compile_spec
    from surrogateshap.plan.hub import pins_of
    from surrogateshap.record.anchors import plan_anchors as write

    path = Path(target)
    if is_file(path):
        compiled = compile_spec(spec_of(path, allow_paths)[0], allow_paths, allow_plugins)
        return write(compiled, count, grouping, seed, out)
    opened, row = find_run(target, store, unfinished=True)
    with opened:
        beside = opened.root.parent / Path(row.spec_file).name
        made = opened.get_json(row.plan)
    spec = next((file for file in (Path(row.spec_file), beside) if file.is_file()), beside)
    pins = pins_of(made["inputs"]) if made is not None else None
    compiled = compile_spec(spec, allow_paths, allow_plugins, pins=pins)
    if compiled.run != row.run:
        message = f"{harmless(compiled.checked.loaded.file)} is no longer what run {row.run} was made from"
        raise PlanError(message, f"It would be run {compiled.run}: name the spec itself.")
    return write(compiled, count, grouping, seed, out)


def train_anchors(
    folder: Path,
    *,
    spec: Path | None = None,
    allow_commands: bool = False,
    timeout: float | None = None,
    images: int = 400,
    keep_going: bool = False,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
    say: Callable[[str], None] = _silent,
    stop: threading.Event | None = None,
) -> Path:
    """Trains and evaluates the anchors in a folder, as far as they are not yet; returns the path of their table.

    With `allow_commands` the spec's `[fidelity] trainer` makes missing models, each within `timeout` seconds; without,
    models that are there are evaluated, and SpecError tells what would run. A failed one ends it with RunError, at
    once or, with `keep_going`, after the others; setting `stop` ends it with InterruptedRun. What is finished is kept.
    `say` is told one line per step. Raises PlanError where the folder holds no anchors of the spec's manifest.
    """
    from surrogateshap.execute.anchors import AnchorOptions
    from surrogateshap.execute.anchors import train_anchors as train
    from surrogateshap.plan.compile import compile_spec
    from surrogateshap.record.anchors import PLAN, read_plan

    made = read_plan(folder)
    named = spec or named_spec(made.spec_file, folder, folder / PLAN, allow_paths)
    compiled = compile_spec(named, allow_paths, allow_plugins)
    options = AnchorOptions(allow_commands, timeout, images, keep_going)
    return train(compiled, folder, made, options, say, stop or threading.Event())


def follow(target: str, *, store: Path | None = None, after: int = 0) -> "tuple[list[tuple[int, Event]], str]":
    """Events of a run, also of one that another process works on, later than `after`; and the run's status.

    A run whose process was killed counts as interrupted.
    """
    opened, row = find_run(target, store, unfinished=True)
    with opened:
        return opened.events(row.run, after), row.now


def newest_images(target: str, count: int, *, store: Path | None = None) -> "list[np.ndarray]":
    """At most `count` images that a run has made, newest first, scaled down to 96 pixels; also while it goes on.

    Each is (H, W), grey, or (H, W, 3), uint8. Nothing is written. Raises RunError where there is no such run.
    """
    from surrogateshap.store.newest import newest_images as look

    opened, row = find_run(target, store, unfinished=True)
    with opened:
        return look(opened, row.run, count)


def verify(record: Path, **asked: Any) -> "VerifyReport":
    """Checks a record, as `sharing.checking.verify` says. Raises VerificationError where it is no record at all."""
    from surrogateshap.sharing.checking import verify as check

    return check(record, **asked)


def export(target: str, out: Path, **asked: Any) -> Path:
    """Writes the record of a finished run to a zip file, as `sharing.door.export` says."""
    from surrogateshap.sharing.door import export as write

    return write(target, out, **asked)


def sign(record: Path, key: Path, *, passphrase: str | None = None) -> str:
    """Signs every statement of a record; returns the public key's id, as `sharing.append.sign_record` says."""
    from surrogateshap.sharing.append import sign_record

    return sign_record(record, key, passphrase)


def append_fidelity(
    record: Path,
    measured: "Results",
    against: Path,
    kind: "AnchorKind" = "retrained",
    *,
    key: Path | None = None,
    passphrase: str | None = None,
) -> str:
    """Appends what `evaluate` measured to the record of that run, as `sharing.append.append_fidelity` says."""
    from surrogateshap.execute.environment import versions
    from surrogateshap.sharing.append import append_fidelity as append

    return append(record, measured, against, kind, versions(), key, passphrase)


def reveal(record: Path, name: str, secret: Path) -> str:
    """What proves to others which pseudonym of a record stands for `name`, as JSON."""
    from surrogateshap.sharing.door import reveal as made

    return made(record, name, secret)


def diff(
    old: str,
    new: str,
    *,
    store: Path | None = None,
    new_store: Path | None = None,
    plan_specs: bool = True,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
) -> "Diff":
    """What changed from one spec, saved plan, run (by its name) or record (its folder) to another.

    Runs are looked for in `store`, the new one in `new_store` where that is given. Specs are planned, so that inputs,
    contributors and conditions can be compared too, unless `plan_specs` is off. Records' digests are not checked here.
    Raises SpecError, PlanError and RunError for what can't be read.
    """
    from surrogateshap.diffing import load_side
    from surrogateshap.record.diff import diff as compare

    sides = [
        load_side(one, store=kept, plan_specs=plan_specs, allow_paths=allow_paths, allow_plugins=allow_plugins)
        for one, kept in ((old, store), (new, new_store or store))
    ]
    return compare(*sides)


def compare_methods(target: str, **asked: Any) -> "ComparisonReport":
    """Other methods on a finished run, with their agreement and their cost, as `comparing.compare_methods` says."""
    from surrogateshap.comparing import compare_methods as compare

    return compare(target, **asked)


def comparisons(target: str, *, store: Path | None = None) -> "tuple[ComparisonReport, ...]":
    """What `compare_methods` last said of a finished run, one for each grouping; nothing is computed.

    Raises RunError where there is no such run.
    """
    from surrogateshap.record.comparison import kept

    opened, row = find_run(target, store)
    with opened:
        groupings = dict.fromkeys(game.grouping for game in results_of(opened, row).games)
        return kept(opened, row.run, groupings)


def schema() -> dict[str, Any]:
    """JSON Schema of specs."""
    from surrogateshap.spec.schema import json_schema

    return json_schema()


def record_schema() -> dict[str, Any]:
    """JSON Schema of records' statements."""
    from surrogateshap.record.schema import shipped

    return shipped()


def template() -> str:
    """A commented spec to start from."""
    from surrogateshap.spec.template import template as text

    return text()
