"""Checks a record against its files, in steps. All may come from strangers: nothing in them is trusted or run."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from surrogateshap.archive import Archive, Files, Folder, is_archive, is_folder
from surrogateshap.errors import VerificationError
from surrogateshap.record.checks import Check, VerifyReport, report
from surrogateshap.record.contents import PARSED, check_plan, check_results
from surrogateshap.record.folder import RECORD
from surrogateshap.record.further import fault_of, number_of
from surrogateshap.record.signatures import check_envelope, check_keys, envelope_name
from surrogateshap.record.statement import Predicate, Statement, checksum, compact, statement_bytes
from surrogateshap.strangers import UnreadableError, parse_json, parse_model
from surrogateshap.text import digest, harmless

_REMEDY = "Give a record that `export` made, or the record.json of a finished run."
_HALF_WRITTEN = re.compile(r"\.[0-9a-f]{16}\.tmp")
"""What a process that was killed leaves behind."""


def open_files(record: Path) -> tuple[Path, Files]:
    """The files of a record (a zip file, a folder, or the `record.json` in it), and the record's own path.

    Raises UnreadableError.
    """
    if is_archive(record):
        return record, Archive(record)
    if is_folder(record):
        return record / RECORD, Folder(record, {RECORD: RECORD})
    return record, Folder(record.parent, {RECORD: record.name})


def verify(record: Path, keys: Sequence[str] = ()) -> VerifyReport:
    """Whether a record and its files belong together.

    `keys`, ids of public keys, must each have signed something, and every statement must be signed by one of them.
    Raises VerificationError where there is no record at all.
    """
    try:
        path, files = open_files(record)
    except UnreadableError as error:
        if is_archive(record):
            return report(record, [Check(step="files", name="archive", holds=False, detail=str(error))])
        raise VerificationError(f"{harmless(str(record))}: {error}", _REMEDY) from error
    try:
        data = files.read(RECORD)
        document = parse_json(data)
        statement = parse_model(Statement, compact(document))
    except UnreadableError as error:
        where = harmless(str(path)) + (f": {RECORD}" if path.name != RECORD else "")
        raise VerificationError(f"{where}: {error}", _REMEDY) from error
    contents: dict[str, bytes] = {}
    checks = [_check_form(data, document["predicate"]["checksum"] == checksum(document), statement_bytes(document))]
    for subject in statement.subject:
        checks.append(_check_file(files, subject.name, subject.digest.sha256, contents))
    named = [subject.name for subject in statement.subject]
    if len(set(named)) < len(named):
        checks.append(Check(step="files", name=RECORD, holds=False, detail="names a file twice"))
    signed = {RECORD: data}
    games = {(game.grouping, game.utility, game.proxy) for game in statement.predicate.games}
    checks.extend(_further(files, named, statement.predicate, games, signed))
    checks.extend(_unknown(files, {*named, *signed, *map(envelope_name, signed)}))
    checks.extend(_signatures(files, signed, keys))
    checks.append(check_plan(contents, statement.predicate))
    checks.extend(check_results(contents, statement.predicate))
    notes = () if any(check.step == "signatures" for check in checks) else ("It is not signed.",)
    return report(path, checks, notes)


def _check_form(data: bytes, whole: bool, canonical: bytes) -> Check:
    if not whole:
        detail = "changed after it was written: its checksum differs"
    elif data != canonical:
        detail = "changed after it was written: not in a record's form"
    else:
        return Check(step="files", name=RECORD, holds=True, detail="as it was written")
    return Check(step="files", name=RECORD, holds=False, detail=detail)


def _check_file(files: Files, name: str, expected: str, contents: dict[str, bytes]) -> Check:
    try:
        if name in PARSED:  # what is parsed must be the very bytes that were hashed
            contents[name] = files.read(name)
            found = digest(contents[name])
        else:
            found = files.sha256(name)
    except UnreadableError as error:
        return Check(step="files", name=name, holds=False, detail=str(error))
    if found != expected:
        detail = f"changed: sha256 is {found}, the record says {expected}"
        return Check(step="files", name=name, holds=False, detail=detail)
    return Check(step="files", name=name, holds=True, detail=f"sha256 {found}")


def _further(
    files: Files,
    subjects: Sequence[str],
    predicate: Predicate,
    games: set[tuple[str, str, str]],
    signed: dict[str, bytes],
) -> Iterator[Check]:
    """Statements that were appended, in their order; `signed` gets their bytes."""
    there = sorted(name for name in files.names if number_of(name) is not None and name not in subjects)
    for place, name in enumerate(there, start=1):
        try:
            data = files.read(name)
        except UnreadableError as error:
            yield Check(step="files", name=name, holds=False, detail=str(error))
            continue
        fault = fault_of(data, signed, predicate.run, predicate.plan_id, games)
        if number_of(name) != place:
            fault = fault or "a statement before it is missing"
        yield Check(step="files", name=name, holds=not fault, detail=fault or "as it was written")
        signed[name] = data


def _unknown(files: Files, known: set[str]) -> Iterator[Check]:
    for name in files.names:
        if name not in known and not _HALF_WRITTEN.fullmatch(name):
            yield Check(
                step="files", name=harmless(name), holds=False, detail="is there, and the record names no such file"
            )


def _signatures(files: Files, signed: dict[str, bytes], keys: Sequence[str]) -> Iterator[Check]:
    good: dict[str, set[str]] = {name: set() for name in signed}
    for name, data in signed.items():
        envelope = envelope_name(name)
        if envelope not in files.names:
            continue
        try:
            checks, good[name] = check_envelope(envelope, data, files.read(envelope))
        except UnreadableError as error:
            checks = [Check(step="signatures", name=envelope, holds=False, detail=str(error))]
        yield from checks
    if keys:
        yield from check_keys(keys, good)
    elif any(good.values()):  # what was appended by nobody known is told
        for name, by in good.items():
            if not by and envelope_name(name) not in files.names:
                yield Check(step="signatures", name=name, holds=True, detail="not signed")
