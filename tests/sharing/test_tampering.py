"""Whatever is changed in a record is found, and its file named."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from surrogateshap import api
from surrogateshap.archive import archive_bytes
from surrogateshap.errors import VerificationError
from surrogateshap.record.statement import checksum, statement_bytes
from tests.record.test_record_verify import changed, leaves
from tests.sharing.conftest import Shared
from tests.sharing.test_export import members


@pytest.fixture
def signed(record: Path, keys: dict[str, tuple[Path, Path]]) -> Path:
    api.sign(record, keys["pem"][0])
    return record


def wrong(record: Path) -> str:
    """What is said of a record that doesn't hold."""
    try:
        report = api.verify(record)
    except VerificationError as error:
        return error.message
    assert not report.holds
    return "\n".join(f"{check.name}: {check.detail}" for check in report.checks if not check.holds)


def test_flipped_bytes_of_every_file(signed: Path) -> None:
    files = members(signed)
    for name, data in files.items():
        places = range(len(data)) if len(data) < 40 else {*range(0, len(data), len(data) // 12), len(data) - 1}
        for at in places:
            damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            signed.write_bytes(archive_bytes({**files, name: damaged}))
            assert name in wrong(signed), (name, at)


def test_flipped_bytes_of_the_archive(signed: Path) -> None:
    """Also those between the files, in headers and in the directory."""
    data = signed.read_bytes()
    for at in {*range(0, len(data), len(data) // 150), *range(len(data) - 60, len(data)), *range(60)}:
        signed.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        assert wrong(signed), at
    for damaged in (data + b"\0", b"MZ" + data, data[:-1]):
        signed.write_bytes(damaged)
        assert wrong(signed)


def test_missing_and_added_files(signed: Path, tmp_path: Path) -> None:
    files = members(signed)
    for name in files:
        if name == "record.dsse.json":  # whoever expects a signature gives the key
            continue
        signed.write_bytes(archive_bytes({other: data for other, data in files.items() if other != name}))
        assert name in wrong(signed)
    for name in ("extra.txt", "zz.json", "spec.dsse.json", "statement-002-fidelity.json"):
        signed.write_bytes(archive_bytes({**files, name: b"{}"}))
        assert name in wrong(signed)
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    assert api.verify(folder).holds
    (folder / ".hidden").touch()
    (folder / "more").mkdir()
    assert {".hidden", "more"} <= {check.name for check in api.verify(folder).checks if not check.holds}


def test_every_field_of_the_statement(shared: Shared, tmp_path: Path) -> None:
    """Forged as one would who knows the format: with a checksum that fits."""
    files, path = members(shared.record), tmp_path / "forged.zip"
    document = json.loads(files["record.json"])
    honest = {"environment", "limits", "coalitions", "pseudonyms"}  # nothing but a signature binds these
    seen: set[str] = set()
    for place in leaves(document):
        kind = ".".join(str(part) for part in place if not isinstance(part, int))
        if kind in seen:
            continue
        seen.add(kind)
        forged: dict[str, Any] = copy.deepcopy(document)
        parent: Any = forged
        for key in place[:-1]:
            parent = parent[key]
        parent[place[-1]] = changed(parent[place[-1]])
        path.write_bytes(archive_bytes({**files, "record.json": statement_bytes(forged)}))
        assert "record.json" in wrong(path) or place[0] in wrong(path), place
        if place[0] == "predicate" and place[1] not in honest | {"checksum"} and place[-1] != "version":
            forged["predicate"]["checksum"] = checksum(forged)
            path.write_bytes(archive_bytes({**files, "record.json": statement_bytes(forged)}))
            assert wrong(path), place
    assert len(seen) > 50


def test_what_a_forger_rewrites_is_no_longer_signed(signed: Path, keys: dict[str, tuple[Path, Path]]) -> None:
    files = members(signed)
    document = json.loads(files["record.json"])
    document["predicate"]["limits"] = ["none"]
    document["predicate"]["checksum"] = checksum(document)
    forged = {**files, "record.json": statement_bytes(document)}
    signed.write_bytes(archive_bytes(forged))
    assert "record.dsse.json: holds another statement" in wrong(signed)
    del forged["record.dsse.json"]
    signed.write_bytes(archive_bytes(forged))
    assert api.verify(signed).holds
    assert not api.verify(signed, keys=[keys["pem"][1]]).holds
