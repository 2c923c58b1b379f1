"""From a finished run to one file that can be shared, checked and run again."""

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from surrogateshap.archive import MOST_BYTES, MOST_FILES, archive_bytes
from surrogateshap.errors import RunError, VerificationError
from surrogateshap.plan.model import Plan
from surrogateshap.record.contents import PARSED
from surrogateshap.record.folder import RECORD, secret_beside
from surrogateshap.record.results import Results
from surrogateshap.record.signatures import envelope_name, load_private_key, sign
from surrogateshap.record.statement import Input, Statement, build_statement, statement_bytes
from surrogateshap.record.verify import open_files
from surrogateshap.report import Origin, ReportData, model_card, parquet_bytes, to_html, to_markdown
from surrogateshap.sharing.crate import CRATE, crate
from surrogateshap.sharing.inputs import with_files
from surrogateshap.sharing.pixels import pool_files
from surrogateshap.sharing.pseudonyms import Pseudonyms, Secret, new_secret, read_secret
from surrogateshap.store.atomic import atomic_write_bytes
from surrogateshap.strangers import UnreadableError, parse_model
from surrogateshap.targets import find_run, record_that_holds
from surrogateshap.text import digest, harmless

if TYPE_CHECKING:
    from surrogateshap.store import RunRow, Store

REPORTS: Mapping[str, Callable[[ReportData], bytes]] = {
    "results.parquet": lambda data: parquet_bytes(data.results),
    "report.html": lambda data: to_html(data).encode(),
    "report.md": lambda data: to_markdown(data.results).encode(),
    "model-card.md": lambda data: model_card(data.results).encode(),
}
"""What is rendered into every export: file name -> how."""
_NAMES_IN_CLEAR = (
    "Contributors go by salted hashes of their names. Their order is that of their names and their numbers of rows are "
    "as they were: who knows all contributors, or their rows, may tell them apart. Only names that are ranked are "
    "replaced, where they stand as words; those that were pooled with others stay where the spec has them. The digests "
    "of the manifest and of tables, and the plan's id, are those of the originals: who has all but the names can check "
    "a guess."
)


@dataclass(frozen=True)
class Options:
    """What an export is to hold."""

    pseudonyms: bool = False
    secret: Path | None = None
    """Where the owner's secret is, or is to be kept; beside the export by default."""
    images: int = 0
    """Of each pool, at most."""
    sign: Path | None = None
    passphrase: str | None = None
    force: bool = False
    """Whether a file that is there may be replaced."""


def export(target: str, out: Path, store: Path | None, allow_paths: Sequence[Path], options: Options) -> Path:
    """Writes the record of a finished run to `out`, a zip file, and returns `out`.

    Raises RunError where there is no such run, its files were changed, `out` is there, or can't be written.
    """
    key = load_private_key(options.sign, options.passphrase) if options.sign is not None else None
    shown = harmless(str(out))
    if not options.force and (out.exists() or out.is_symlink()):
        raise RunError(f"{shown} is there already", "Name another file, or replace it with --force.")
    opened, row = find_run(target, store)
    with opened:
        secret = _secret(out, options)
        files = _files(opened, row, allow_paths, options, secret)
    if key is not None:
        files[envelope_name(RECORD)] = sign(files[RECORD], key)
    try:
        atomic_write_bytes(out, archive_bytes(files))
    except ValueError:
        limits = f"{MOST_FILES:,} files or {MOST_BYTES / 1e9:.1f} GB"
        raise RunError(f"this would be more than a record holds: {limits}", "Take fewer images.") from None
    except OSError as error:
        raise RunError(f"{shown} can't be written: {error.strerror}", "Choose another place.") from None
    return out


def _secret(out: Path, options: Options) -> Secret | None:
    """The owner's, made and kept where it isn't there yet: before anything rests on it."""
    if not options.pseudonyms:
        return None
    path = options.secret or secret_beside(out)
    if path.exists():
        return read_secret(path)
    made = new_secret()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(made.model_dump_json().encode() + b"\n")
    except OSError as error:
        raise RunError(f"{harmless(str(path))} can't be written: {error.strerror}", "Choose another place.") from None
    return made


def _files(
    opened: "Store", row: "RunRow", allow: Sequence[Path], options: Options, secret: Secret | None
) -> dict[str, bytes]:
    folder = opened.root / "runs" / row.run
    again = f"Run `surrogateshap apply {harmless(row.spec_file)}` again."
    _refuse_changed(folder, row.run, again)
    try:
        _, there = open_files(folder)
        statement = parse_model(Statement, there.read(RECORD))
        names = [subject.name for subject in statement.subject]
        raw = {name: there.read(name, MOST_BYTES) for name in names}
        plan, results = parse_model(Plan, raw["plan.json"]), parse_model(Results, raw["results.json"])
    except (UnreadableError, KeyError) as error:
        raise RunError(f"run {row.run} can't be exported: {error}", again) from None
    predicate = statement.predicate
    inputs: tuple[Input, ...] = with_files(predicate.inputs, Path(row.spec_file).absolute().parent, allow)
    files = {name: data for name, data in raw.items() if name not in PARSED and not name.startswith("pool-")}
    files |= pool_files(opened, {name: data for name, data in raw.items() if name.startswith("pool-")}, options.images)
    spec = raw["spec.toml"]
    if secret is not None:
        hidden = Pseudonyms(names_of(results, plan), secret)
        spec, plan, results, inputs = _hidden(hidden, spec, plan, results, inputs)
        files |= {name: _renamed(data, hidden) for name, data in files.items() if name.startswith("coalitions-")}
    files["spec.toml"] = spec
    files["plan.json"] = plan.model_dump_json(indent=1).encode()
    files["results.json"] = results.model_dump_json(indent=1).encode()
    origin = Origin.of(statement.model_dump(mode="json", by_alias=True))
    if origin is not None:  # of this record's files, not of those that pseudonyms changed
        origin = replace(origin, files=tuple((name, digest(files[name])) for name in sorted(files)))
    data = ReportData(results, plan, origin)
    files |= {name: render(data) for name, render in REPORTS.items()}
    day = datetime.fromtimestamp(row.created, UTC).date().isoformat()
    files[CRATE] = crate(results, files, predicate.environment, day)
    record = build_statement(
        results=results,
        plan=plan,
        subjects=files,
        environment=predicate.environment,
        coalitions=predicate.coalitions,
        inputs=inputs,
        pseudonyms=secret is not None,
        limits=(_NAMES_IN_CLEAR,) if secret is not None else (),
    )
    return {**files, RECORD: statement_bytes(record)}


def _refuse_changed(folder: Path, run: str, remedy: str) -> None:
    try:
        record_that_holds(folder)
    except VerificationError as error:
        raise RunError(f"run {run} is no longer what it was: {error.message}", remedy) from None


def names_of(results: Results, plan: Plan) -> set[str]:
    """All contributors of all groupings; those of flags too."""
    names = {one.name for game in results.games for one in game.contributors}
    names |= {one.name for one in results.flags}
    return names | {name for game in plan.games for group in game.indistinguishable for name in group}


def _hidden(
    hidden: Pseudonyms, spec: bytes, plan: Plan, results: Results, inputs: tuple[Input, ...]
) -> tuple[bytes, Plan, Results, tuple[Input, ...]]:
    without = hidden.toml(spec)
    sealed = {} if without == spec else {one.digest: hidden.seal(one.digest) for one in inputs if one.role == "spec"}

    def replaced(one: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = hidden.value(one)
        files = one.get("files")
        if files is not None and made["files"].keys() != files.keys():
            made["files"] = None  # their digest is that of their names too
        return {**made, "digest": sealed.get(one["digest"], one["digest"])}

    try:
        document = plan.model_dump(mode="json")
        return (
            without,
            Plan.model_validate({**hidden.value(document), "inputs": list(map(replaced, document["inputs"]))}),
            Results.model_validate(hidden.value(results.model_dump(mode="json"))),
            tuple(Input.model_validate(replaced(one.model_dump(mode="json"))) for one in inputs),
        )
    except ValidationError:
        message = "a contributor is named like a word that plans or results need, and can't be replaced"
        raise RunError(message, "Rename it in the manifest.") from None


def _renamed(table: bytes, hidden: Pseudonyms) -> bytes:
    """A table of coalitions with other columns' names."""
    import polars as pl

    frame = pl.read_parquet(io.BytesIO(table))
    found = {}
    for column in frame.columns:
        name = column
        while name.endswith("_") and not hidden.knows(name):
            name = name[:-1]
        if hidden.knows(name):
            found[column] = hidden.name(name)
    buffer = io.BytesIO()
    frame.rename(found).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()
