"""Shapley values once more from a record's coalition values, with the estimators that made them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrogateshap.archive import Files
from surrogateshap.record.checks import Check
from surrogateshap.record.folder import RECORD
from surrogateshap.record.results import GameResult, Results
from surrogateshap.record.statement import CoalitionValues, Statement, compact
from surrogateshap.record.verify import open_files
from surrogateshap.strangers import UnreadableError, parse_model
from surrogateshap.text import harmless
from surrogateshap.units import significant

if TYPE_CHECKING:
    import polars as pl

    from surrogateshap.spec.model import EstimatorSection

TOLERANCE = 1e-6
"""Of the largest value of a game: what another processor's arithmetic may move."""
_TABLE_BYTES = 1 << 30
_COMPUTES = ("lightgbm", "numpy", "scipy", "shap", "surrogateshap")


def refit(record: Path) -> Iterator[Check]:
    """One check per game of a record that was verified. Raises VerificationError's cause, UnreadableError."""
    _, files = open_files(record)
    statement = parse_model(Statement, files.read(RECORD))
    results = parse_model(Results, files.read("results.json"))
    places = {(one.grouping, one.utility, one.proxy): one for one in statement.predicate.coalitions}
    tables: dict[str, pl.DataFrame] = {}
    other = _other_versions(statement.predicate.environment.versions)
    for game in results.games:
        name = harmless(f"values of {game.grouping} / {game.utility} / {game.proxy}")
        place = places.get((game.grouping, game.utility, game.proxy))
        try:
            if place is None:
                raise UnreadableError("the record names no table of its coalitions' values")
            if place.file not in tables:
                tables[place.file] = _table(files, place.file)
            detail = _compare(game, place, tables[place.file], statement.predicate.spec)
        except UnreadableError as error:
            yield Check(step="refit", name=name, holds=False, detail=f"{error}{other}")
        else:
            yield Check(step="refit", name=name, holds=True, detail=detail)


def _table(files: Files, name: str) -> "pl.DataFrame":
    from surrogateshap.errors import SpecError
    from surrogateshap.frames import frame_of

    try:
        return frame_of(name, files.read(name, _TABLE_BYTES))
    except SpecError as error:
        raise UnreadableError(f"{name}: {error.problems[0].message}") from None


def _compare(game: GameResult, place: CoalitionValues, frame: "pl.DataFrame", spec: Mapping[str, Any]) -> str:
    """What was found, in words. Raises UnreadableError where the values don't follow."""
    import numpy as np

    from surrogateshap.estimate import ESTIMATORS, CoalitionsError, Options, Sample
    from surrogateshap.frames import LARGEST, members, numbers
    from surrogateshap.record.settings import tree_settings

    if place.column not in frame.columns:
        raise UnreadableError(f"{place.file} has no column {harmless(place.column)}")
    of_name = {row.name: row for row in game.contributors}
    names, columns = [], []
    for column in frame.columns:
        name = _contributor(column, of_name)
        if name is None:
            continue
        cells = members(frame[column])
        if not isinstance(cells, np.ndarray):
            raise UnreadableError(f"{place.file}: column {harmless(column)} holds more than 0 and 1")
        names.append(name)
        columns.append(cells)
    if not names or sorted(names) != sorted(of_name):
        raise UnreadableError(f"{place.file} has other contributors than the ranking")
    masks, values = np.column_stack(columns), numbers(frame[place.column])
    known = np.abs(values) < LARGEST
    masks, values = masks[known], values[known]
    empty, full = ~masks.any(axis=1), masks.all(axis=1)
    ends = [values[empty], values[full]]
    if any(len(end) != 1 for end in ends) or [float(end[0]) for end in ends] != [game.v_empty, game.v_full]:
        raise UnreadableError(f"{place.file} has another v(∅) or v(N) than the results")
    inner = ~(empty | full)
    rows = [of_name[name].rows for name in names]
    held = None if None in rows else np.array(rows, np.int64)
    if len(names) > 1 and not inner.any():
        raise UnreadableError(f"{place.file} has no coalition but ∅ and N")
    section, seed = _section(spec)
    options = Options(tree_settings(section), seed, cross_validate=False)
    sample = Sample(masks[inner], values[inner], game.v_empty, game.v_full, held)
    try:
        found = ESTIMATORS[game.estimator].fit(sample, options).values
    except CoalitionsError as error:
        raise UnreadableError(harmless(str(error))) from None
    said = np.array([of_name[name].value for name in names])
    scale = float(np.abs(said).max())
    apart = np.abs(found - said)
    if not (apart <= TOLERANCE * max(scale, 1e-300)).all():
        worst = int(np.argmax(apart))
        raise UnreadableError(
            f"{harmless(names[worst])} has {significant(float(found[worst]))} here, and in the record "
            f"{significant(float(said[worst]))}"
        )
    many = f"{len(values):,} coalitions"
    return f"{len(names)} values follow from {many}, to {TOLERANCE:g} of the largest ({game.estimator})"


def _contributor(column: str, names: Mapping[str, object]) -> str | None:
    """Whose a column is; `_` at its end keeps apart what is called alike."""
    while column not in names:
        if not column.endswith("_"):
            return None
        column = column[:-1]
    return column


def _section(spec: Mapping[str, Any]) -> "tuple[EstimatorSection, int]":
    """The settings of the estimator, and the seed, in a record's spec. Raises UnreadableError."""
    from surrogateshap.spec.model import EstimatorSection

    seed = spec.get("seed")
    if not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise UnreadableError("the record's spec has no seed")
    return parse_model(EstimatorSection, compact(spec.get("estimator"))), seed


def _other_versions(made_with: Mapping[str, str]) -> str:
    """What to know where something may compute otherwise here."""
    from importlib.metadata import PackageNotFoundError, version

    differ = []
    for package in _COMPUTES:
        try:
            here = version(package)
        except PackageNotFoundError:
            here = "not installed"
        if made_with.get(package, here) != here:
            differ.append(f"{package} {harmless(made_with[package], 40)} made it, {here} is here")
    return f" ({'; '.join(differ)})" if differ else ""
