"""The run's folder: spec, plan, results, coalition values and the record that binds them, in files anyone can open."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from surrogateshap.execute.environment import devices, versions
from surrogateshap.execute.fit import Values
from surrogateshap.plan.compile import Compiled, GameDesign
from surrogateshap.plan.model import Plan
from surrogateshap.record.folder import RECORD, write_run_folder
from surrogateshap.record.results import Results
from surrogateshap.record.statement import Environment, build_statement, statement_bytes
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
    files = {
        "spec.toml": compiled.checked.loaded.text.encode(),
        "plan.json": plan.model_dump_json(indent=1).encode(),
        "results.json": results.model_dump_json(indent=1).encode(),
        **coalition_tables(values),
    }
    objects = (found[key][0] for pool in compiled.pools for key in pool.keys)
    environment = Environment(
        versions=versions(), devices=devices(store, objects), batch_size=compiled.spec.execution.batch_size
    )
    record = statement_bytes(build_statement(results=results, plan=plan, subjects=files, environment=environment))
    write_run_folder(run_folder(store, results.run), {**files, RECORD: record})
    results_object = store.put_json(results.model_dump(mode="json"))
    store.finish_run(results.run, results_object, store.put_bytes(record, "json"))


def without_paths(plan: Plan) -> Plan:
    """The plan with the spec named by its file alone: where it lay on someone's disk is nobody's business."""
    name = Path(plan.spec_file).name
    inputs = tuple(file.model_copy(update={"name": name}) if file.role == "spec" else file for file in plan.inputs)
    return plan.model_copy(update={"spec_file": name, "inputs": inputs})


def coalition_tables(values: Iterable[tuple[GameDesign, Values]]) -> dict[str, bytes]:
    """One Parquet file per set of coalitions: a boolean column per contributor, a column of values per game."""
    tables: dict[str, tuple[np.ndarray, tuple[str, ...], dict[str, np.ndarray]]] = {}
    for design, game in values:
        name = f"coalitions-{design.grouping.name}" + (f"-{design.pool.id}" if design.pool.masks is not None else "")
        _, _, columns = tables.setdefault(name, (game.masks, design.grouping.contributors, {}))
        columns[f"value.{design.info.utility}.{design.info.proxy}"] = game.values
    files = {}
    for name, (masks, contributors, columns) in tables.items():
        frame: dict[str, np.ndarray] = {}
        for position, contributor in enumerate(contributors):
            column = contributor
            while column in columns or column in frame:
                column += "_"
            frame[column] = masks[:, position]
        buffer = io.BytesIO()
        pl.DataFrame(frame | columns).write_parquet(buffer, compression="zstd")
        files[f"{name}.parquet"] = buffer.getvalue()
    return files
