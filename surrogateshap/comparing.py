"""From a finished run, methods and a table of retrained coalitions to methods beside each other."""

import difflib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isnan
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from surrogateshap.archive import is_archive
from surrogateshap.errors import DeviceError, InterruptedRun, MissingExtraError, Problem, RunError, SpecError
from surrogateshap.execute.evaluate import NotFiniteError
from surrogateshap.execute.trainer import shown
from surrogateshap.methods import CATALOGUE, load_method
from surrogateshap.methods.measures import measures
from surrogateshap.methods.protocol import Cost, Method
from surrogateshap.methods.removal import (
    TrainerOptions,
    coalitions_needed,
    counts,
    fine_tuned,
    retrained,
    with_removals,
)
from surrogateshap.methods.task import Task
from surrogateshap.plan.anchors import Anchors, read_anchors
from surrogateshap.plan.compile import Compiled, compile_spec
from surrogateshap.plan.rounds import courses
from surrogateshap.record.comparison import FAILED, ComparedMethod, ComparedUtility, ComparisonReport, MethodCost, keep
from surrogateshap.record.results import AnchorKind, Results
from surrogateshap.store import RunRow, Store
from surrogateshap.targets import (
    compiled_of_run,
    find_run,
    is_file,
    pins_of_plan,
    results_of,
    spec_of,
    store_folder,
)
from surrogateshap.text import digest, harmless
from surrogateshap.units import duration, listed, plural

Counterfactual = Literal["trainer", "fine_tuning"]
ALL = "all"
"""In place of names: every method that can run here, whatever it costs."""


@dataclass(frozen=True)
class CompareOptions:
    """What is compared, and with what."""

    methods: tuple[str, ...] | None = None
    """Names; by default those of the spec, or all that neither train nor make images for coalitions."""
    grouping: str | None = None
    """By default the one whose retrained coalitions the spec names."""
    against: Path | None = None
    """A table of retrained coalitions in place of the spec's."""
    kind: AnchorKind = "retrained"
    """How the models of `against` were made."""
    counterfactual: Counterfactual | None = None
    """What makes models without some contributors."""
    allow_commands: bool = False
    timeout: float | None = None
    """Seconds that one training may take."""
    plan: bool = False
    """Costs alone: nothing runs."""


@dataclass(frozen=True)
class _Truth:
    anchors: Anchors | None
    kind: AnchorKind
    notes: tuple[str, ...] = field(default=())


def compare_methods(
    target: str,
    *,
    methods: Sequence[str] | None = None,
    grouping: str | None = None,
    against: Path | None = None,
    kind: AnchorKind = "retrained",
    counterfactual: Counterfactual | None = None,
    allow_commands: bool = False,
    timeout: float | None = None,
    plan: bool = False,
    store: Path | None = None,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
    execution: Mapping[str, object] = MappingProxyType({}),
    say: Callable[[str], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> ComparisonReport:
    """Other methods on the contributors and utilities of a finished run, named by itself or by its spec.

    `methods` are names, or `["all"]`; by default those of the spec's [compare], or all that neither train models,
    nor take gradients, nor compare patches, nor make images for each coalition. `against` is a table of retrained
    coalitions, as for `evaluate`, in place of the spec's. `counterfactual` asks for models without the contributors
    that each method ranks highest and lowest: `trainer` by the spec's command, which needs `allow_commands`, each
    within `timeout` seconds; `fine_tuning` by short fine-tuning. With `plan` nothing runs, and costs are stated
    alone. `execution` are keys of the spec's [execution] in place of what it says. `say` is told one line per step.
    What is finished is kept in the store, and setting `stop` ends it with InterruptedRun. Raises SpecError, and
    RunError where there is no such run.
    """
    options = CompareOptions(
        methods=None if methods is None else tuple(methods),
        grouping=grouping,
        against=against,
        kind=kind,
        counterfactual=counterfactual,
        allow_commands=allow_commands,
        timeout=timeout,
        plan=plan,
    )
    opened, row, compiled = _find(target, store, allow_paths, allow_plugins)
    stopped = stop or threading.Event()
    with opened:
        results, compiled = results_of(opened, row), compiled.with_execution(execution)
        with threadpool_limits(compiled.spec.execution.threads, user_api="blas"):
            if plan:
                return compare(compiled, opened, results, options, say, stopped)
            with Store.open(opened.root) as writable:
                return compare(compiled, writable, results, options, say, stopped)


def _find(
    target: str, store: Path | None, allow_paths: Sequence[Path], allow_plugins: Sequence[str]
) -> tuple[Store, RunRow, Compiled]:
    """A finished run, its store, which is open, and its spec. A spec's [compare] may have changed since the run."""
    if is_file(target) and not is_archive(Path(target)):
        spec, saved = spec_of(Path(target), allow_paths)
        compiled = compile_spec(spec, allow_paths, allow_plugins, pins=pins_of_plan(saved))
        opened = Store.existing(store_folder(spec, store))
        row = opened.run(compiled.run) if opened is not None else None
        if opened is not None and row is not None and row.results is not None:
            return opened, row, compiled
        if opened is not None:
            opened.close()
    opened, row = find_run(target, store)
    try:
        return opened, row, compiled_of_run(target, opened, row, allow_paths, allow_plugins)
    except BaseException:
        opened.close()
        raise


def compare(
    compiled: Compiled,
    store: Store,
    results: Results,
    options: CompareOptions,
    say: Callable[[str], None],
    stop: threading.Event,
) -> ComparisonReport:
    """Runs the methods one after another; one that fails is told of in the report, and the others go on.

    `store` is open for writing unless only costs are asked for. Raises SpecError for names that there are not and for
    a wrong table, and InterruptedRun once `stop` is set: pieces that were finished are kept.
    """
    if compiled.spec.budget.rules:
        compiled = compiled.with_pools([course.pool for course in courses(compiled, store).values()])
    grouping = _grouping(compiled, options.grouping)

    def check() -> None:
        if stop.is_set():
            raise InterruptedRun("interrupted: what was finished is kept")

    task = Task(compiled, store, results, grouping, say=say, check=check)
    truth = _truth(task, options)
    chosen = _chosen(task, options)
    if options.plan:
        truth = replace(truth, notes=(*truth.notes, *_beyond(task, chosen, options)))
        return _report(task, results, truth, [_planned(task, method) for method in chosen], None)
    _check_counterfactual(task, options)
    with store.lock(), store.using(compiled.run):
        methods = [_run(task, method, truth.anchors) for method in chosen]
        made = _report(task, results, truth, methods, None)
        keep(store, made)  # models of removals take long, and may fail
        if options.counterfactual is not None:
            try:
                methods = _with_removals(task, methods, options, stop)
                made = _report(task, results, truth, methods, options.counterfactual)
            except NotFiniteError as error:
                raise RunError(error.message, error.remedy) from None
            keep(store, made)
    return made


def _beyond(task: Task, chosen: Sequence[Method], options: CompareOptions) -> Iterator[str]:
    """Models that no method's own cost has."""
    if options.counterfactual is not None:
        able = sum(method.refuse(task) is None for method in chosen)
        most = plural(2 * len(counts(task.n)) * len(task.utilities) * able, "more model")
        steps = "" if options.counterfactual == "trainer" else f" of {plural(task.settings.fine_tuning.steps, 'step')}"
        yield f"--counterfactual makes up to {most}{steps}, with {plural(task.settings.images, 'image')} each."
    for name in ("fine_tuning", "sparse_fine_tuning"):
        if getattr(task.settings, name).anchors and any(method.name == name for method in chosen):
            yield f"{name}: `anchors` makes a model for each retrained coalition beside."


def _grouping(compiled: Compiled, asked: str | None) -> str:
    names = [group.name for group in compiled.checked.manifest.groupings]
    if asked is None:
        return compiled.checked.anchored.name
    if asked not in names:
        raise _unknown("--grouping", asked, names, "grouping")
    return asked


def _unknown(option: str, asked: str, known: Sequence[str], what: str) -> SpecError:
    near = difflib.get_close_matches(asked[:100], known, n=1)
    remedy = f"Did you mean {near[0]}?" if near else f"There are {listed(list(known), len(known))}."
    return SpecError([Problem(option, 0, "", f"there is no {what} `{harmless(asked, 80)}`", remedy)])


def _truth(task: Task, options: CompareOptions) -> _Truth:
    if options.against is not None:
        anchors = read_anchors(options.against, task.grouping.contributors, task.utilities)
        return _Truth(anchors, options.kind, anchors.notes)
    spec, checked = task.compiled.spec, task.compiled.checked
    if checked.anchors is None or checked.anchored.name != task.grouping.name:
        note = "Nothing is known of retrained models: name a table of them with --against, or under [fidelity]."
        return _Truth(None, spec.fidelity.kind, (note,))
    return _Truth(checked.anchors, spec.fidelity.kind, checked.anchors.notes)


def _chosen(task: Task, options: CompareOptions) -> list[Method]:
    asked: Sequence[str] | None = options.methods or task.settings.methods
    if asked is None or list(asked) == [ALL]:
        every = [load_method(name) for name in CATALOGUE]
        able = [method for method in every if method.refuse(task) is None]
        return able if asked is not None else [method for method in able if _cheap(task, method)]
    for name in asked:
        if name not in CATALOGUE:
            raise _unknown("--methods", name, [*CATALOGUE], "method")
    return [load_method(name) for name in dict.fromkeys(asked)]


def _cheap(task: Task, method: Method) -> bool:
    """Whether it trains nothing, takes no gradients, makes few images beside the run's own, and does little else."""
    cost = method.cost(task)
    if isnan(cost.seconds):
        return False
    pools = max(len(design.pool.keys) for design in task.designs)
    return cost.training_steps == cost.gradients == 0 and cost.images <= max(pools, task.settings.images)


def _cost(cost: Cost, *, measured: bool) -> MethodCost:
    known = asdict(cost)
    seconds = known.pop("seconds")
    told = measured or (seconds and not isnan(seconds))
    return MethodCost(**known, seconds=round(seconds, 3) if told else None)


def _timed(task: Task, cost: Cost) -> Cost:
    """With the time that images take, where they are all that takes any and nothing is said of it."""
    if cost.seconds or cost.training_steps or cost.gradients:
        return cost
    return replace(cost, seconds=task.seconds_of_images(cost.images) or 0.0)


def _planned(task: Task, method: Method) -> ComparedMethod:
    refused = method.refuse(task)
    stated = None if refused else _cost(_timed(task, method.cost(task)), measured=False)
    return ComparedMethod(name=method.name, title=method.title, paper=method.paper, refused=refused, stated=stated)


def _run(task: Task, method: Method, anchors: Anchors | None) -> ComparedMethod:
    made = _planned(task, method)
    task.check()
    if made.refused is not None:
        return made
    task.say(f"{method.title}")
    task.begin()
    try:
        scores = method.run(task)
        for name, values in scores.values.items():
            if not np.isfinite(values).all():
                raise RunError(f"its scores for utility `{name}` are not finite numbers", "Look at the model's dtype.")
        spent = task.spent  # without what agreement with retrained models may take beyond
        task.say(f"{method.title}: {plural(spent.images, 'image')}, {duration(spent.seconds)}")
        found = measures(task, scores, anchors)
    except (RunError, DeviceError, MissingExtraError, NotFiniteError) as error:
        task.say(f"{method.title} failed: {error.message}. {error.remedy}")
        return made.model_copy(update={"refused": f"{FAILED}: {error.message}"})
    except (ValueError, OSError, MemoryError) as error:  # of utilities and numerics that don't fit these data
        said = harmless(str(error), 200) or type(error).__name__
        task.say(f"{method.title} failed: {said}")
        return made.model_copy(update={"refused": f"{FAILED}: {said}"})
    return made.model_copy(
        update={"spent": _cost(spent, measured=True), "utilities": found, "notes": tuple(scores.notes)}
    )


def _check_counterfactual(task: Task, options: CompareOptions) -> None:
    """Before anything runs, whether models can be made. Raises SpecError."""
    problem = task.compiled.checked.loaded.problem
    if options.counterfactual == "fine_tuning":
        why = load_method("fine_tuning").refuse(task)
        if why is not None:
            raise SpecError([Problem("--counterfactual", 0, "", f"models can't be fine-tuned: {why}")])
    elif options.counterfactual == "trainer":
        key, command = ("fidelity", "trainer"), task.compiled.spec.fidelity.trainer
        if not command:
            remedy = 'Name the command that trains one: trainer = ["{python}", "train.py", "{rows}", "{out}"].'
            raise SpecError([problem(key, "there is no command to train models with", remedy)])
        if not options.allow_commands:
            remedy = f"It would run {shown(command)}\nRead what that does; then allow it with --allow-commands."
            raise SpecError([problem(key, "commands of a spec run only when allowed", remedy)])


def _with_removals(
    task: Task, methods: list[ComparedMethod], options: CompareOptions, stop: threading.Event
) -> list[ComparedMethod]:
    masks = coalitions_needed(methods)
    if not len(masks):
        return methods
    if options.counterfactual == "fine_tuning":
        values = fine_tuned(task, masks)
    else:
        spec = digest(str(task.compiled.checked.loaded.folder))[:8]  # its command may name a file beside it
        folder = task.store.root / "compare" / spec / task.grouping.name
        values = retrained(task, masks, TrainerOptions(folder, options.allow_commands, options.timeout), stop)
    return [with_removals(method, values) for method in methods]


def _report(
    task: Task,
    results: Results,
    truth: _Truth,
    methods: list[ComparedMethod],
    counterfactual: Counterfactual | None,
) -> ComparisonReport:
    anchors, spec = truth.anchors, task.compiled.spec
    return ComparisonReport(
        run=results.run,
        name=results.name,
        plan_id=results.plan_id,
        grouping=task.grouping.name,
        contributors=task.grouping.contributors,
        level=spec.intervals.level,
        kind=truth.kind,
        counterfactual=counterfactual,
        utilities=tuple(
            ComparedUtility(
                name=name,
                v_empty=task.ends(name)[0],
                v_full=task.ends(name)[1],
                anchors=len(anchors.masks) if anchors is not None and name in anchors.values else 0,
                v_model=None if counterfactual is None else task.model_value(name),
            )
            for name in task.utilities
        ),
        methods=tuple(methods),
        truth="" if anchors is None else _digest(anchors),
        notes=truth.notes,
    )


def _digest(anchors: Anchors) -> str:
    values = {name: level.tolist() for name, level in anchors.values.items()}
    return digest({"masks": anchors.masks.astype(int).tolist(), "values": values})
