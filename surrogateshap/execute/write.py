"""The run's folder: spec, plan, results, coalition values and the record that binds them, in files anyone can open."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from surrogateshap.execute.environment import devices, versions
from surrogateshap.execute.fit import Values
from surrogateshap.execute.revision import code_revision, revision_of
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.model import Plan
from surrogateshap.record.folder import RECORD, write_run_folder
from surrogateshap.record.pools import pool_tables
from surrogateshap.record.results import Results
from surrogateshap.record.statement import CoalitionValues, Environment, build_statement, statement_bytes
from surrogateshap.store import Store


def run_folder(store: Store, run: str) -> Path:
    """Where a run's files are."""
    return store.root / "runs" / run


def write_record(
    compiled: Compiled,
    plan: Plan,
    store: Store,
    results: Results,
    values: Iterable[tuple[GameDesign, Values]],
    found: Mapping[str, tuple[str, int]],
) -> None:
    """Writes the folder, with the plan as it is on an empty store, then marks the run as done.

    The same inputs give the same bytes: no time is in them.
    """
    tables, places = coalition_tables(values)
    loaded = compiled.checked.loaded
    files = {
        "spec.toml": loaded.data,
        "plan.json": plan.model_dump_json(indent=1).encode(),
        "results.json": results.model_dump_json(indent=1).encode(),
        **tables,
        **pool_tables(compiled.pools),
    }
    objects = (found[key][0] for pool in compiled.pools for key in pool.keys)
    environment = Environment(
        versions=versions(),
        devices=devices(store, objects),
        batch_size=compiled.spec.execution.batch_size,
        code=code_revision(),
        project=revision_of(loaded.folder, [Path(loaded.file)]),
    )
    statement = build_statement(results=results, plan=plan, subjects=files, environment=environment, coalitions=places)
    record = statement_bytes(statement)
    write_run_folder(run_folder(store, results.run), {**files, RECORD: record})
    results_object = store.put_json(results.model_dump(mode="json"))
    store.finish_run(results.run, results_object, store.put_bytes(record, "json"))
    store.settle(results.run)


def without_paths(plan: Plan) -> Plan:
    """The plan with the spec named by its file alone: where it lay on someone's disk is nobody's business."""
    name = Path(plan.spec_file).name
    inputs = tuple(file.model_copy(update={"name": name}) if file.role == "spec" else file for file in plan.inputs)
    return plan.model_copy(update={"spec_file": name, "inputs": inputs})


def coalition_tables(
    values: Iterable[tuple[GameDesign, Values]],
) -> tuple[dict[str, bytes], list[CoalitionValues]]:
    """Tables by file name, and where in them each game's values are.

    One Parquet file per set of coalitions: a boolean column per contributor, a column of values per game.

    ∅ and N are rows too. Games of a grouping that drew their coalitions alike share a file: fewer are the first rows
    of more, and cells of coalitions that a game wasn't evaluated on are null.
    """
    tables: dict[tuple[str, str], list[tuple[GameDesign, Values]]] = {}
    for design, game in values:
        name = f"coalitions-{design.grouping.name}" + (f"-{design.pool.id}" if design.pool.masks is not None else "")
        tables.setdefault((name, "all" if design.estimator == "exact" else "drawn"), []).append((design, game))
    several = {name for name, how in tables if how == "drawn" and (name, "all") in tables}
    files, places = {}, []
    for (name, how), games in tables.items():
        file = f"{name}{f'-{how}' if name in several else ''}.parquet"
        files[file] = _table(games)
        places += [CoalitionValues(**one.info.model_dump(), file=file, column=_column(one)) for one, _ in games]
    return files, places


def _column(design: GameDesign) -> str:
    return f"value.{design.info.utility}.{design.info.proxy}"


def _table(games: list[tuple[GameDesign, Values]]) -> bytes:
    """Games whose coalitions are the first of each other's: those of all, ∅ first and N last, or ∅, N and those drawn.

    Only a whole enumeration ends in N: rows that more coalitions would push down can't be first of anything.
    """
    design, longest = max(games, key=lambda game: len(game[1].masks))
    none = np.zeros((1, longest.masks.shape[1]), bool)
    last = design.estimator == "exact"
    masks = np.vstack([none, longest.masks, ~none] if last else [none, ~none, longest.masks])
    columns: dict[str, pl.Series] = {}
    for one, values in games:
        cells = np.full(len(masks), np.nan)
        known = [values.v_empty, *values.values, values.v_full] if last else [values.v_empty, values.v_full]
        cells[: len(known)] = known
        if not last:
            cells[2 : 2 + len(values.values)] = values.values
        column = _column(one)
        columns[column] = pl.Series(column, cells, nan_to_null=True)
    frame: dict[str, pl.Series] = {}
    for position, contributor in enumerate(design.grouping.contributors):
        column = contributor
        while column in columns or column in frame:
            column += "_"
        frame[column] = pl.Series(column, masks[:, position])
    buffer = io.BytesIO()
    pl.DataFrame([*frame.values(), *columns.values()]).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()
