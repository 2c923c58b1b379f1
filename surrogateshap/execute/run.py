"""One attempt at a run, from whatever is there to its record."""

import threading
import time
from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from surrogateshap.errors import InterruptedRun, RunError, SurrogateShapError
from surrogateshap.events import (
    Emit,
    RankedContributor,
    RankingUpdated,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
    StageInfo,
    Warned,
)
from surrogateshap.execute.evaluate import Features, make_game, make_partial_game
from surrogateshap.execute.fill import Filler
from surrogateshap.execute.fit import Values, coalitions_of, estimate, evaluate, provisional, ranked
from surrogateshap.execute.progress import Progress
from surrogateshap.execute.workshop import Workshop
from surrogateshap.execute.write import write_record
from surrogateshap.plan import keys
from surrogateshap.plan.build import build_plan, game_key
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.model import Plan
from surrogateshap.record.results import GameResult, Results
from surrogateshap.store import Store

_LOOKS = 4
"""Provisional rankings per pool while it fills."""


def execute(compiled: Compiled, store: Store, emit: Emit, stop: threading.Event) -> Results:
    """Runs or resumes a plan; returns its results at once where the run is done.

    Raises InterruptedRun when `stop` is set, RunError and DeviceError where it can't go on. What was finished is kept.
    """
    with store.lock():
        return _Attempt(compiled, store, emit, stop).go()


class _Attempt:
    def __init__(self, compiled: Compiled, store: Store, emit: Emit, stop: threading.Event) -> None:
        self._compiled, self._store = compiled, store
        self._spec, self._run = compiled.spec, compiled.run
        self._plan: Plan = build_plan(compiled, store)
        totals = {stage.id: stage.total for stage in self._plan.stages}
        self._progress = Progress(self._run, store, emit, stop, totals)
        self._features = Features(compiled, store)

    def go(self) -> Results:
        began = time.monotonic()
        row = self._store.run(self._run)
        results = self._finished()
        loaded, plan = self._compiled.checked.loaded, self._plan
        document = self._store.put_json(build_plan(self._compiled, None).model_dump(mode="json"))
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
        for warning in plan.warnings:
            self._progress.tell(Warned(message=warning))
        cached = results is not None
        try:
            if results is None:
                with threadpool_limits(self._spec.execution.threads, user_api="blas"):
                    results = self._work()
            else:
                for game in results.games:
                    self._tell_final(game)
        except (KeyboardInterrupt, InterruptedRun):
            self._store.set_status(self._run, "interrupted")
            self._progress.tell(RunInterrupted(run=self._run))
            raise
        except BaseException as error:
            known = isinstance(error, SurrogateShapError)
            message, remedy = (error.message, error.remedy) if isinstance(error, SurrogateShapError) else ("", "")
            self._store.set_status(self._run, "failed")
            self._progress.tell(RunFailed(run=self._run, message=message if known else repr(error), remedy=remedy))
            raise
        self._progress.tell(RunFinished(run=self._run, seconds=time.monotonic() - began, cached=cached))
        return results

    def _finished(self) -> Results | None:
        row = self._store.run(self._run)
        if row is None or row.run != self._run or row.status != "done" or row.results is None:
            return None
        document = self._store.get_json(row.results)
        return None if document is None else Results.model_validate_json(_json(document))

    def _work(self) -> Results:
        filler = Filler(self._compiled, self._store, Workshop(self._compiled), self._progress)
        for name in self._compiled.checked.encoders:
            filler.encode_references(name)
        for pool in self._compiled.pools:
            designs = [game for game in self._compiled.games if game.pool is pool]
            every = max(1, len(pool.keys) // _LOOKS)
            seen = [len(pool.keys) // _LOOKS // 2]

            def look(designs: list[GameDesign] = designs, every: int = every, seen: list[int] = seen) -> None:
                there = sum(key in filler.found for key in designs[0].pool.keys)
                if designs and seen[0] + every <= there < len(designs[0].pool.keys):
                    seen[0] = there
                    self._tell_provisional(designs, filler)

            filler.fill(pool, look)
        games = tuple(self._games(filler))
        self._progress.start("record", 0)
        with self._progress.working("record"):
            results = Results(run=self._run, plan_id=self._plan.plan_id, name=self._plan.name, games=games)
            write_record(self._compiled, self._store, results, self._values(filler), filler.found)
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
        self._progress.start("evaluate", len(values_there))
        self._progress.start("fit", len(fits_there))
        for (design, key), fit_key in zip(named, fit_keys, strict=True):
            self._progress.check()
            document = self._store.get_json(fits_there[fit_key]) if fit_key in fits_there else None
            if document is not None:
                result = GameResult.model_validate_json(_json(document))
            else:
                game = make_game(self._features, design, filler.found)
                values = self._read_values(values_there.get(key), design)
                if values is None:
                    with self._progress.working("evaluate"):
                        values = evaluate(design, game, self._spec.seed)
                        ends = np.array([values.v_empty, values.v_full])
                        made = self._store.put_arrays({"values": values.values, "ends": ends})
                        self._store.remember(key, made, "evaluate")
                    self._progress.advance("evaluate", 1)
                with self._progress.working("fit"):
                    result = estimate(design, game, values, self._spec)
                    self._store.remember(fit_key, self._store.put_json(result.model_dump(mode="json")), "fit")
                self._progress.advance("fit", 1)
            self._tell_final(result)
            yield result
        self._progress.finish("evaluate")
        self._progress.finish("fit")

    def _read_values(self, name: str | None, design: GameDesign) -> Values | None:
        arrays = self._store.get_arrays(name) if name is not None else None
        if arrays is None:
            return None
        ends = arrays["ends"].tolist()
        return Values(coalitions_of(design, self._spec.seed), arrays["values"], *ends)

    def _values(self, filler: Filler) -> Iterator[tuple[GameDesign, Values]]:
        """All games' coalition values, from the store."""
        named = list(self._keys(filler))
        there = self._store.lookup(key for _, key in named)
        for design, key in named:
            values = self._read_values(there.get(key), design)
            if values is None:
                raise RunError("an object of the store is missing or damaged", "Run `apply` again: it is made anew.")
            yield design, values

    def _tell_final(self, result: GameResult) -> None:
        design = next(
            game
            for game in self._compiled.games
            if (game.info.grouping, game.info.utility, game.info.proxy)
            == (result.grouping, result.utility, result.proxy)
        )
        rows = tuple(
            RankedContributor(name=row.name, value=row.value, low=row.low, high=row.high, rank=row.rank)
            for row in result.contributors
        )
        self._progress.tell(
            RankingUpdated(game=design.info, contributors=rows, provisional=False, images=result.images)
        )

    def _tell_provisional(self, designs: list[GameDesign], filler: Filler) -> None:
        for design in designs:
            partial = make_partial_game(self._features, design, filler.found)
            if partial is None:
                continue
            game, images = partial
            rows = ranked(design.grouping.contributors, provisional(game, self._spec.seed))
            self._progress.tell(RankingUpdated(game=design.info, contributors=rows, provisional=True, images=images))


def _json(document: object) -> str:
    import json

    return json.dumps(document)
