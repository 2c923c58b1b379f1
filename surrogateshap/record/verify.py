"""Checks a record against the files beside it. Both may come from strangers: nothing in them is trusted or run."""

import contextlib
import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from surrogateshap.errors import VerificationError
from surrogateshap.plan.model import Plan
from surrogateshap.record.fidelity import described
from surrogateshap.record.folder import RECORD
from surrogateshap.record.results import UNCORRECTED, GameResult, Payout, Results
from surrogateshap.record.statement import (
    Predicate,
    Statement,
    checksum,
    flag_summaries_of,
    inputs_of,
    statement_bytes,
    summaries_of,
)
from surrogateshap.text import harmless

_MAX_BYTES = 64 * 2**20
_MAX_DEPTH = 50
_TOLERANCE = 1e-6
_Model = TypeVar("_Model", bound=BaseModel)


class Check(BaseModel):
    """One thing that was checked."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)
    name: str
    holds: bool
    detail: str


class VerifyReport(BaseModel):
    """All that was checked; safe to print."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)
    record: str
    holds: bool
    checks: tuple[Check, ...]


class _UnreadableError(Exception):
    """A file that can't be taken as what it should be; the text says why."""


def verify(record: Path) -> VerifyReport:
    """Whether the record (a file, or the folder with its `record.json`) and the files beside it belong together.

    Raises VerificationError where the record can't be read as one at all.
    """
    path = record / RECORD if record.is_dir() else record
    shown = harmless(str(path))
    try:
        data = _read(path, follow=True)
        document = _json(data)
        statement = _model(Statement, statement_bytes(document))
    except _UnreadableError as error:
        raise VerificationError(f"{shown}: {error}", "Give the record.json of a finished run.") from error
    contents: dict[str, bytes] = {}
    checks = [_check_form(data, document)]
    for subject in statement.subject:
        checks.append(_check_file(path.parent, subject.name, subject.digest.sha256, contents))
    names = [subject.name for subject in statement.subject]
    if len(set(names)) < len(names):
        checks.append(Check(name=RECORD, holds=False, detail="names a file twice"))
    checks.append(_check_plan(contents, statement.predicate))
    checks.extend(_check_results(contents, statement.predicate))
    return VerifyReport(record=shown, holds=all(check.holds for check in checks), checks=tuple(checks))


def _check_form(data: bytes, document: Any) -> Check:
    if document["predicate"]["checksum"] != checksum(document):
        detail = "changed after it was written: its checksum differs"
    elif data != statement_bytes(document):
        detail = "changed after it was written: not in a record's form"
    else:
        return Check(name=RECORD, holds=True, detail="as it was written")
    return Check(name=RECORD, holds=False, detail=detail)


def _check_file(folder: Path, name: str, expected: str, contents: dict[str, bytes]) -> Check:
    try:
        if name in _PARSED:  # what is parsed must be the very bytes that were hashed
            contents[name] = _read(folder / name, follow=False)
            found = hashlib.sha256(contents[name]).hexdigest()
        else:
            with _opened(folder / name, follow=False) as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
    except _UnreadableError as error:
        return Check(name=name, holds=False, detail=str(error))
    if found != expected:
        return Check(name=name, holds=False, detail=f"changed: sha256 is {found}, the record says {expected}")
    return Check(name=name, holds=True, detail=f"sha256 {found}")


def _check_plan(contents: dict[str, bytes], predicate: Predicate) -> Check:
    try:
        plan = _model(Plan, _parsed(contents, "plan.json"))
        inputs = inputs_of(plan)
    except (_UnreadableError, ValidationError) as error:
        return Check(name="plan", holds=False, detail=harmless(str(error)))
    return _compare(
        "plan",
        "plan.json",
        {
            "plan_id": plan.plan_id == predicate.plan_id,
            "run": plan.run == predicate.run,
            "name": plan.name == predicate.name,
            "inputs": inputs == predicate.inputs,
            "spec": plan.spec == predicate.spec,
            "seeds": predicate.seeds == {"spec": plan.spec.get("seed")},
        },
    )


def _check_results(contents: dict[str, bytes], predicate: Predicate) -> Iterator[Check]:
    try:
        results = _model(Results, _parsed(contents, "results.json"))
        summaries, flags = summaries_of(results), flag_summaries_of(results)
    except (_UnreadableError, ValidationError) as error:
        yield Check(name="results", holds=False, detail=harmless(str(error)))
        return
    yield _compare(
        "results",
        "results.json",
        {
            "plan_id": results.plan_id == predicate.plan_id,
            "run": results.run == predicate.run,
            "name": results.name == predicate.name,
            "fidelity": results.fidelity == predicate.fidelity,
            "games": summaries == predicate.games,
            "flags": flags == predicate.flags,
        },
    )
    for game in results.games:
        yield _check_efficiency(game)
        if game.payout is not None:
            yield _check_payout(game, game.payout)
    if results.fidelity != "not measured" or any(game.fidelity for game in results.games):
        yield _check_fidelity(results)


def _check_efficiency(game: GameResult) -> Check:
    """Σφ = v(N) − v(∅), less the gap where the estimator leaves one; relative to the largest number in it."""
    values = [row.value for row in game.contributors]
    gap = game.efficiency_gap if game.estimator in UNCORRECTED else 0.0
    total, expected = sum(values), game.v_full - game.v_empty - gap
    scale = max(map(abs, (game.v_full, game.v_empty, gap, *values)))
    holds = math.isfinite(total) and math.isfinite(expected) and abs(total - expected) <= _TOLERANCE * scale
    name = harmless(f"efficiency of {game.grouping} / {game.utility} / {game.proxy}")
    less = " less the efficiency gap" if game.estimator in UNCORRECTED else ""
    return Check(name=name, holds=holds, detail=f"values add up to {total:.9g}, v(N) − v(∅){less} is {expected:.9g}")


def _check_payout(game: GameResult, payout: Payout) -> Check:
    """Shares add up to 1, none is negative, and everyone of the ranking has one."""
    shares = [one.share for one in payout.shares]
    total = math.fsum(shares)
    there = [one.name for one in payout.shares] == [row.name for row in game.contributors]
    holds = there and min(shares, default=-1.0) >= 0 and abs(total - 1) <= _TOLERANCE
    name = harmless(f"payout of {game.grouping} / {game.utility} / {game.proxy}")
    detail = f"shares add up to {total:.9g}" if there else "other names than in the ranking"
    return Check(name=name, holds=holds, detail=detail)


def _check_fidelity(results: Results) -> Check:
    """What is said of fidelity is what the games hold, and can be so."""
    wrong = []
    if results.fidelity != described([game.fidelity for game in results.games]):
        wrong.append("the words and the games differ")
    for game in results.games:
        found = game.fidelity
        if found is None:
            continue
        ends = [(one.low, one.value, one.high) for one in (found.spearman, found.lds)]
        names = {row.name for row in game.contributors}
        if not (
            all(-1 <= low <= value <= high <= 1 for low, value, high in ends)
            and sum(part.anchors for part in found.calibration) == found.anchors
            and (found.closed is None or {row.name for row in found.closed.contributors} == names)
        ):
            wrong.append(f"{game.grouping} / {game.utility} / {game.proxy} can't be so")
    return Check(name="fidelity", holds=not wrong, detail=harmless("; ".join(wrong)) if wrong else "as the games say")


def _compare(name: str, file: str, agreements: dict[str, bool]) -> Check:
    apart = [key for key, agrees in agreements.items() if not agrees]
    detail = f"{file} and the record differ in {', '.join(apart)}" if apart else f"{file} and the record agree"
    return Check(name=name, holds=not apart, detail=detail)


_PARSED = ("plan.json", "results.json")


def _parsed(contents: dict[str, bytes], name: str) -> bytes:
    if name not in contents:
        raise _UnreadableError(f"{name} is not there")
    _json(contents[name])
    return contents[name]


@contextlib.contextmanager
def _opened(path: Path, *, follow: bool) -> Iterator[BufferedReader]:
    """A regular file, opened without waiting on pipes and, unless `follow`, without following a link."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if not follow and path.is_symlink():
            raise _UnreadableError("a symbolic link, which is not followed")
        descriptor = os.open(path, flags if follow else flags | getattr(os, "O_NOFOLLOW", 0))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _UnreadableError("not a regular file")
        with os.fdopen(descriptor, "rb") as file:
            yield file
    except FileNotFoundError as error:
        raise _UnreadableError("missing") from error
    except (OSError, ValueError) as error:
        raise _UnreadableError(f"can't be read: {harmless(getattr(error, 'strerror', None) or str(error))}") from error


def _read(path: Path, *, follow: bool) -> bytes:
    with _opened(path, follow=follow) as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise _UnreadableError(f"larger than {_MAX_BYTES // 2**20} MiB")
    return data


def _json(data: bytes) -> Any:
    """The JSON value, of bounded depth and without NaN or infinities."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_finite, parse_float=_finite)
    except RecursionError as error:
        raise _UnreadableError("nested too deeply") from error
    except ValueError as error:
        raise _UnreadableError(f"no JSON: {harmless(str(error))}") from error
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return value
    raise _UnreadableError("nested too deeply")


def _children(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number


def _model(kind: type[_Model], data: bytes) -> _Model:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "top level"
        raise _UnreadableError(f"{harmless(where)}: {harmless(first['msg'])}") from error
