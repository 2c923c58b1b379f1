"""One attempt at a run, from whatever is there to its record."""

import threading
import time
from collections.abc import Iterator
from functools import cache, partial

import numpy as np
from threadpoolctl import threadpool_limits

from surrogateshap.errors import InterruptedRun, RunError, SpecError, SurrogateShapError
from surrogateshap.events import (
    Emit,
    Event,
    GameInfo,
    RankedContributor,
    RankingUpdated,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
    StageInfo,
    Warned,
)
from surrogateshap.execute.backends.choose import open_backend
from surrogateshap.execute.crew import Crew
from surrogateshap.execute.damage import DamagedError
from surrogateshap.execute.evaluate import Features, Game, NotFiniteError, make_game, make_partial_game
from surrogateshap.execute.fidelity import measure, with_fidelity
from surrogateshap.execute.fill import Filler, Found
from surrogateshap.execute.fit import Values, coalitions_of, estimate, evaluate, provisional, ranked
from surrogateshap.execute.flags import STAGE as FLAGS
from surrogateshap.execute.flags import contributor_flags
from surrogateshap.execute.looks import Looks
from surrogateshap.execute.merge import Merger
from surrogateshap.execute.pace import Estimate
from surrogateshap.execute.progress import Progress
from surrogateshap.execute.rounds import Rounds
from surrogateshap.execute.spectra import on_gpu
from surrogateshap.execute.waiting import Waiting
from surrogateshap.execute.write import run_folder, without_paths, write_record
from surrogateshap.plan import keys
from surrogateshap.plan.build import anchors_of_game, build_plan, fidelity_key, game_key
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.device import guess_device
from surrogateshap.plan.model import Plan
from surrogateshap.plan.pool import Pool
from surrogateshap.record.fidelity import described
from surrogateshap.record.folder import RECORD
from surrogateshap.record.results import Fidelity, GameResult, Results, Stopped
from surrogateshap.store import RunStatus, Store


def execute(compiled: Compiled, store: Store, emit: Emit, stop: threading.Event, wait: bool = True) -> Results:
    """Runs or resumes a plan; returns its results at once where the run is done.

    While another process works in the store, its progress with this run is passed on, or its end waited for; with
    `wait` off that is refused.

    Raises InterruptedRun when `stop` is set, RunError and DeviceError where it can't go on. What was finished is kept.
    """
    waiting = Waiting(compiled.run, store, emit, stop) if wait else None
    with store.lock(waiting), store.using(compiled.run):
        if waiting is not None:
            waiting.catch_up()
        merger = Merger(compiled, store)
        merger.merge()
        return _Attempt(compiled, store, emit, stop, merger).go()


class _Attempt:
    def __init__(self, compiled: Compiled, store: Store, emit: Emit, stop: threading.Event, merger: Merger) -> None:
        self._compiled = self._planned = compiled
        self._store, self._emit, self._merger = store, emit, merger
        self._spec, self._run = compiled.spec, compiled.run
        execution = compiled.spec.execution
        device = guess_device(execution.devices, execution.threads, execution.workers)
        self._plan: Plan = build_plan(compiled, store, device)
        named = execution.devices if isinstance(execution.devices, tuple) else ("cuda:0",)
        self._gpus = named if device.kind == "cuda" else ()
        self._resolved = without_paths(build_plan(compiled, None))
        totals = {stage.id: stage.total for stage in self._plan.stages}
        estimates = {
            stage.id: Estimate(stage.total - stage.cached, stage.seconds if stage.kind != "record" else 0.0)
            for stage in self._plan.stages
        }
        self._progress = Progress(self._run, store, emit, stop, totals, estimates)
        self._stop = stop
        self._features = Features(compiled, store)

    def go(self) -> Results:
        began = time.monotonic()
        row = self._store.run(self._run)
        results = self._finished()
        loaded, plan = self._compiled.checked.loaded, self._plan
        document = self._store.put_json(self._resolved.model_dump(mode="json"))
        if results is None:
            self._store.begin_run(self._run, plan.name, plan.plan_id, loaded.digest, loaded.file, document)
        self._progress.tell(
            RunStarted(
                run=self._run,
                name=plan.name,
                resumed=row is not None and row.run == self._run,
                stages=tuple(
                    StageInfo(id=stage.id, title=stage.title, unit=stage.unit, total=stage.total, cached=stage.cached)
                    for stage in plan.stages
                ),
                games=tuple(game.info for game in plan.games),
            )
        )
        for warning in (*plan.warnings, *self._merger.warnings()):
            self._progress.tell(Warned(message=warning))
        cached = results is not None
        try:
            if results is None:
                results = self._compute()
            else:
                for game in results.games:
                    self._tell_final(game)
        except (KeyboardInterrupt, InterruptedRun):
            self._end(None if cached else "interrupted", RunInterrupted(run=self._run))
            raise
        except BaseException as error:
            message, remedy = repr(error), ""
            if isinstance(error, SurrogateShapError):
                message, remedy = error.message, error.remedy
            self._end(None if cached else "failed", RunFailed(run=self._run, message=message, remedy=remedy))
            raise
        self._progress.tell(RunFinished(run=self._run, seconds=time.monotonic() - began, cached=cached))
        return results

    def _end(self, status: RunStatus | None, event: Event) -> None:
        """Tells how it ended. A disk that is too full for that must not hide why."""
        try:
            if status is not None:
                self._store.set_status(self._run, status)
            self._progress.tell_rest()
            self._progress.tell(event)
        except RunError:
            self._emit(event)

    def _finished(self) -> Results | None:
        row = self._store.run(self._run)
        if row is None or row.run != self._run or row.status != "done" or row.results is None:
            return None
        if row.record is None or self._store.get_json(row.record) is None:
            return None
        if not (run_folder(self._store, self._run) / RECORD).is_file():
            return None
        document = self._store.get_json(row.results)
        return None if document is None else Results.model_validate(document)

    def _compute(self) -> Results:
        """Goes through all of it, and once more for each object that turns out damaged."""
        lost: set[str] = set()
        while True:
            try:
                return self._go_through()
            except DamagedError as error:
                if error.key in lost:
                    raise
                lost.add(error.key)
                self._warn("an object of the store is missing or damaged; it is made again")
                self._compiled = self._planned
                self._features = Features(self._compiled, self._store)

    def _go_through(self) -> Results:
        crew = Crew(partial(open_backend, self._compiled, self._store, self._warn, self._stop), self._stop, self._warn)
        try:
            with threadpool_limits(self._spec.execution.threads, user_api="blas"), on_gpu(self._gpus):
                return self._work(crew)
        except NotFiniteError as error:
            problem = self._compiled.checked.loaded.problem(error.key, error.message, error.remedy)
            raise SpecError([problem]) from None
        except KeyboardInterrupt:
            crew.close(at_once=True)
            raise
        finally:
            crew.close()

    def _warn(self, message: str) -> None:
        self._progress.tell(Warned(message=message))

    def _work(self, crew: Crew) -> Results:
        filler = Filler(self._compiled, self._store, crew, self._progress)
        for name in self._compiled.checked.encoders:
            filler.encode_references(name)
        stopped: tuple[Stopped, ...] = ()
        if self._spec.budget.rules:
            rounds = Rounds(self._compiled, self._store, filler, self._features, self._progress, self._result)
            self._compiled, stopped = rounds.fill()
        else:
            looks = Looks(self._compiled.pools, filler.count, partial(self._tell_provisional, filler))
            filler.fill(self._compiled.pools, looks)
        flags = contributor_flags(self._compiled, self._store, crew, self._progress)
        filler.keep_rate(FLAGS)
        crew.close()
        games = tuple(self._games(filler))
        self._progress.start("record", 0)
        with self._progress.working("record"):
            results = Results(
                run=self._run,
                plan_id=self._plan.plan_id,
                name=self._plan.name,
                fidelity=described([game.fidelity for game in games]),
                games=games,
                flags=flags,
                stopped=stopped,
            )
            write_record(self._compiled, self._resolved, self._store, results, self._values(filler), filler.found)
        self._progress.advance("record", 1)
        self._progress.finish("record")
        return results

    def _keys(self, filler: Filler) -> Iterator[tuple[GameDesign, str]]:
        pixels = {pool.id: keys.features(pool.keys, filler.found) for pool in self._compiled.pools}
        for design in self._compiled.games:
            yield design, game_key(self._compiled, design, pixels[design.pool.id])

    def _games(self, filler: Filler) -> Iterator[GameResult]:
        named = list(self._keys(filler))
        fit_keys = [keys.fit(key, self._spec, design.estimator) for design, key in named]
        values_there = self._store.lookup(key for _, key in named)
        fits_there = self._store.lookup(fit_keys)
        self._progress.start("evaluate", sum(key in values_there for _, key in named))
        self._progress.start("fit", sum(key in fits_there for key in fit_keys))
        compared = self._start_comparing(named, fit_keys)
        for (design, key), anchored in zip(named, compared, strict=True):
            self._progress.check()
            result, computed = self._result(design, key, filler.found)
            for stage in computed:
                self._progress.advance(stage, 1)
            if anchored is not None:
                result = self._compare(design, key, filler.found, result, anchored)
            self._tell_final(result)
            yield result
        for stage in ("evaluate", "fit", *(["fidelity"] if any(compared) else [])):
            self._progress.finish(stage)
            filler.keep_rate(stage)

    def _result(self, design: GameDesign, key: str, found: Found) -> tuple[GameResult, tuple[str, ...]]:
        """A game's result and the stages that had to work for it; the rest was in the store."""
        fit_key, computed = keys.fit(key, self._spec, design.estimator), []
        there = self._store.lookup([key, fit_key])
        game = cache(partial(make_game, self._features, design, found))
        values = self._read_values(there.get(key), design)
        if values is None:
            values = self._evaluate(design, game(), key)
            computed.append("evaluate")
        result = self._read_fit(there.get(fit_key), design)
        if result is None:
            result = self._estimate(design, game(), values, fit_key)
            computed.append("fit")
        return result, tuple(computed)

    def _evaluate(self, design: GameDesign, game: Game, key: str) -> Values:
        with self._progress.working("evaluate"):
            values = evaluate(design, game, self._spec.seed)
            ends = np.array([values.v_empty, values.v_full])
            self._store.remember(key, self._store.put_arrays({"values": values.values, "ends": ends}), "evaluate")
        return values

    def _estimate(self, design: GameDesign, game: Game, values: Values, key: str) -> GameResult:
        with self._progress.working("fit"):
            result = estimate(design, game, values, self._spec)
            self._store.remember(key, self._store.put_json(result.model_dump(mode="json")), "fit")
        return result

    def _start_comparing(self, named: list[tuple[GameDesign, str]], fit_keys: list[str]) -> list[str | None]:
        """Keys of the games' comparisons with anchors; None for games that these say nothing of."""
        games = zip(named, fit_keys, strict=True)
        found = [fidelity_key(self._compiled, game, fit_key) for (game, _), fit_key in games]
        if any(found):
            there = self._store.lookup(key for key in found if key is not None)
            self._progress.start("fidelity", sum(key in there for key in found))
        return found

    def _compare(self, design: GameDesign, key: str, found: Found, result: GameResult, anchored: str) -> GameResult:
        """The result with its fidelity, from the store or measured now."""
        anchors, pair = self._compiled.checked.anchors, anchors_of_game(self._compiled, design)
        there = self._store.lookup([key, anchored])
        values = self._read_values(there.get(key), design)
        if anchors is None or pair is None or values is None:
            return result
        document = self._store.get_json(there[anchored]) if anchored in there else None
        if document is None:
            with self._progress.working("fidelity"):
                game = cache(partial(make_game, self._features, design, found))
                compared, why = measure(
                    design, game, values, result, pair, self._spec.fidelity.kind, anchors.notes, self._spec
                )
                document = {"fidelity": compared.model_dump(mode="json") if compared else None, "why": why}
                self._store.remember(anchored, self._store.put_json(document), "fidelity")
            self._progress.advance("fidelity", 1)
        fidelity = Fidelity.model_validate(document["fidelity"]) if document["fidelity"] else None
        return with_fidelity(result, fidelity, document["why"])

    def _read_values(self, name: str | None, design: GameDesign) -> Values | None:
        arrays = self._store.get_arrays(name) if name is not None else None
        if arrays is None:
            return None
        ends = arrays["ends"].tolist()
        return Values(coalitions_of(design, self._spec.seed), arrays["values"], *ends)

    def _read_fit(self, name: str | None, design: GameDesign) -> GameResult | None:
        document = self._store.get_json(name) if name is not None else None
        if document is None:
            return None
        # The names of groupings and utilities count in no key: this may have been estimated under others.
        return GameResult.model_validate({**document, **design.info.model_dump()})

    def _values(self, filler: Filler) -> Iterator[tuple[GameDesign, Values]]:
        """All games' coalition values, from the store."""
        named = list(self._keys(filler))
        there = self._store.lookup(key for _, key in named)
        for design, key in named:
            values = self._read_values(there.get(key), design)
            if values is None:
                raise DamagedError(key)
            yield design, values

    def _tell_final(self, result: GameResult) -> None:
        game = GameInfo(grouping=result.grouping, utility=result.utility, proxy=result.proxy)
        rows = tuple(
            RankedContributor(name=row.name, value=row.value, low=row.low, high=row.high, rank=row.rank)
            for row in result.contributors
        )
        self._progress.tell(RankingUpdated(game=game, contributors=rows, provisional=False, images=result.images))

    def _tell_provisional(self, filler: Filler, pool: Pool) -> None:
        for design in self._compiled.games:
            if design.pool is not pool:
                continue
            made = make_partial_game(self._features, design, filler.found)
            if made is None:
                continue
            game, images = made
            rough = provisional(game, self._spec.seed)
            if rough is not None:
                rows = ranked(design.grouping.contributors, rough)
                self._progress.tell(
                    RankingUpdated(game=design.info, contributors=rows, provisional=True, images=images)
                )
