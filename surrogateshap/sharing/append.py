"""What is added to a record later: signatures and further statements. Nothing that is there is written anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from surrogateshap.archive import MOST_BYTES, Files, archive_bytes, is_archive
from surrogateshap.errors import RunError
from surrogateshap.record.folder import RECORD
from surrogateshap.record.further import MOST, Anchors, fidelity_statement, number_of
from surrogateshap.record.results import AnchorKind, Results
from surrogateshap.record.signatures import envelope_name, key_id, load_private_key, sign
from surrogateshap.record.statement import Statement, statement_bytes
from surrogateshap.record.verify import open_files
from surrogateshap.store.atomic import atomic_write_bytes
from surrogateshap.strangers import UnreadableError, parse_model, read_file
from surrogateshap.targets import record_that_holds
from surrogateshap.text import digest, harmless

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign_record(record: Path, key: Path, passphrase: str | None = None) -> str:
    """Signs every statement of a record that holds, beside those who did before; returns the key's id.

    Raises VerificationError where the record doesn't hold, KeyRefused for a file without a key, RunError where the
    record can't be written.
    """
    loaded = load_private_key(key, passphrase)
    path, files = _whole(record)
    _write(path, files, _signed(files, statements_of(files), loaded))
    return key_id(loaded.public_key().public_bytes_raw())


def append_fidelity(
    record: Path,
    results: Results,
    against: Path,
    kind: AnchorKind,
    versions: Mapping[str, str],
    key: Path | None = None,
    passphrase: str | None = None,
) -> str:
    """Appends what `evaluate` measured of the record's run, signed if a key is given; returns the statement's name.

    Raises as `sign_record`, and RunError for the results of another run.
    """
    loaded = load_private_key(key, passphrase) if key is not None else None
    path, files = _whole(record)
    before = statements_of(files)
    try:
        run = parse_model(Statement, before[RECORD]).predicate.run
        table = read_file(against, follow=True, limit=1 << 30)
    except UnreadableError as error:
        raise RunError(f"{harmless(str(against))}: {error}") from None
    if run != results.run:
        raise RunError(f"{harmless(str(record))} is about run {harmless(run)}, and this is {results.run}")
    if len(before) > MOST:
        raise RunError(f"{harmless(str(record))} holds {MOST} further statements already")
    anchors = Anchors(name=against.name, digest=digest(table), kind=kind)
    name = f"statement-{len(before):03d}-fidelity.json"
    data = statement_bytes(fidelity_statement(results, anchors, versions, before))
    added = {name: data}
    if loaded is not None:
        added |= _signed(files, {name: data}, loaded)
    _write(path, files, added)
    return name


def statements_of(files: Files) -> dict[str, bytes]:
    """The record's statements: the record itself, then those that were appended, in their order."""
    names = [RECORD, *sorted(name for name in files.names if number_of(name) is not None)]
    return {name: files.read(name) for name in names}


def _whole(record: Path) -> tuple[Path, Files]:
    record_that_holds(record, "Nothing was added to it.")
    return open_files(record)


def _signed(files: Files, statements: Mapping[str, bytes], key: "Ed25519PrivateKey") -> dict[str, bytes]:
    made = {}
    for name, data in statements.items():
        envelope = envelope_name(name)
        made[envelope] = sign(data, key, files.read(envelope) if envelope in files.names else None)
    return made


def _write(path: Path, files: Files, added: Mapping[str, bytes]) -> None:
    try:
        if is_archive(path):
            there: dict[str, bytes] = {name: files.read(name, MOST_BYTES) for name in files.names}
            atomic_write_bytes(path, archive_bytes({**there, **added}))
            return
        for name, data in added.items():
            atomic_write_bytes(path.parent / name, data)
    except OSError as error:
        raise RunError(f"{harmless(str(path))} can't be written: {error.strerror}", "Choose another place.") from None
    except (ValueError, UnreadableError) as error:
        raise RunError(f"nothing can be added to {harmless(str(path))}: {error}") from None
