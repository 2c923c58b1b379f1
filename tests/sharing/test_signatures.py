import json
import subprocess
from pathlib import Path

import polars as pl
import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from surrogateshap import api
from surrogateshap.archive import archive_bytes
from surrogateshap.errors import RunError, VerificationError
from surrogateshap.record.signatures import KeyRefused, check_envelope, load_private_key, load_public_key
from tests.sharing.conftest import Shared
from tests.sharing.test_export import members
from tests.sharing.test_tampering import wrong

Keys = dict[str, tuple[Path, Path]]


def test_several_signers(record: Path, keys: Keys) -> None:
    unsigned = members(record)
    first = api.sign(record, keys["pem"][0])
    once = members(record)
    second = api.sign(record, keys["ssh"][0])
    assert (first, second) == tuple(load_public_key(public) for _, public in (keys["pem"], keys["ssh"]))
    report = api.verify(record, keys=[keys["pem"][1], keys["ssh"][1]])
    assert report.holds
    assert report.notes == ()
    files = members(record)
    assert {name: files[name] for name in unsigned} == unsigned
    signatures = json.loads(files["record.dsse.json"])["signatures"]
    assert json.loads(once["record.dsse.json"])["signatures"] == signatures[:1]
    assert [one["keyid"] for one in signatures] == [first, second]
    before = record.read_bytes()
    api.sign(record, keys["pem"][0])
    assert record.read_bytes() == before


@pytest.mark.parametrize("kind", ["pem", "ssh"])
def test_export_signs(shared: Shared, tmp_path: Path, keys: Keys, kind: str) -> None:
    out = api.export(shared.results.run, tmp_path / "o.zip", store=shared.project.store, sign=keys[kind][0])
    assert api.verify(out, keys=[keys[kind][1]]).holds
    private = keys[kind][0].read_bytes()
    assert not [line for line in private.splitlines()[1:-1] if line in out.read_bytes()]


def test_keys_that_did_not_sign(record: Path, keys: Keys) -> None:
    api.sign(record, keys["pem"][0])
    assert not api.verify(record, keys=[keys["ssh"][1]]).holds
    assert not api.verify(record, keys=[keys["pem"][1], keys["ssh"][1]]).holds


def test_an_independent_library_verifies(record: Path, keys: Keys) -> None:
    signer = api.sign(record, keys["pem"][0])
    files = members(record)
    envelope = Envelope.from_dict(json.loads(files["record.dsse.json"]))
    pem = keys["pem"][1].read_text()
    key = SSlibKey(signer, "ed25519", "ed25519", {"public": load_public(pem)})
    assert set(envelope.verify([key], 1)) == {signer}
    assert envelope.payload == files["record.json"]


def load_public(pem: str) -> str:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return load_pem_public_key(pem.encode()).public_bytes_raw().hex()  # type: ignore[union-attr]


def test_every_bit_of_an_envelope(record: Path, keys: Keys) -> None:
    api.sign(record, keys["pem"][0])
    files = members(record)
    data = files["record.dsse.json"]
    start = data.index(b'"payloadType"')
    for at in range(start, len(data)):
        for bit in (1, 2, 4):
            damaged = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            checks, good = check_envelope("record.dsse.json", files["record.json"], damaged)
            assert not all(check.holds for check in checks), (at, bit)
            assert not good


def test_keys_with_passphrases(tmp_path: Path, record: Path) -> None:
    key = tmp_path / "key.pem"
    command = ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:open", "-out", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(KeyRefused, match="needs a passphrase"):
        api.sign(record, key)
    with pytest.raises(KeyRefused, match="another passphrase"):
        api.sign(record, key, passphrase="shut")
    assert api.sign(record, key, passphrase="open").startswith("ed25519:")


def test_other_files_are_no_keys(tmp_path: Path, keys: Keys) -> None:
    rsa = tmp_path / "rsa.pem"
    command = ["openssl", "genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(rsa)]
    subprocess.run(command, check=True, capture_output=True)
    text = tmp_path / "text"
    text.write_text("ed25519:AAAA")
    for load, path, said in (
        (load_private_key, rsa, "no Ed25519 key"),
        (load_private_key, text, "no private key"),
        (load_private_key, tmp_path, "regular file"),
        (load_private_key, keys["pem"][1], "no private key"),
        (load_public_key, keys["pem"][0], "is a private key"),
        (load_public_key, text, "no public key"),
        (load_public_key, tmp_path / "none", "missing"),
    ):
        with pytest.raises(KeyRefused, match=said):
            load(path)
    text.write_text(load_public_key(keys["ssh"][1]))
    assert load_public_key(text) == load_public_key(keys["ssh"][1])


def test_nothing_is_added_to_a_record_that_does_not_hold(record: Path, keys: Keys) -> None:
    damaged = archive_bytes({**members(record), "spec.toml": b""})
    record.write_bytes(damaged)
    with pytest.raises(VerificationError, match=r"spec\.toml"):
        api.sign(record, keys["pem"][0])
    assert record.read_bytes() == damaged


@pytest.fixture
def anchors(shared: Shared, tmp_path: Path) -> Path:
    """Values as if models had been retrained."""
    table = pl.read_parquet(shared.project.store / "runs" / shared.results.run / "coalitions-owner.parquet")
    values = {f"value.{name}": pl.col(f"value.{name}.prompt") * 2 + 1 for name in ("right", "tail")}
    names = [column for column in table.columns if not column.startswith("value.")]
    path = tmp_path / "retrained.parquet"
    table.filter(pl.any_horizontal(names)).unique(names, maintain_order=True).select(*names, **values).write_parquet(
        path
    )
    return path


def test_later_facts_are_appended(shared: Shared, record: Path, keys: Keys, anchors: Path) -> None:
    before = members(record)
    measured = api.evaluate(shared.results.run, anchors, store=shared.project.store)
    assert api.append_fidelity(record, measured, anchors, key=keys["pem"][0]) == "statement-001-fidelity.json"
    assert api.append_fidelity(record, measured, anchors, "fine_tuned") == "statement-002-fidelity.json"
    files = members(record)
    assert {name: files[name] for name in before} == before
    assert files.keys() - before.keys() == {
        "statement-001-fidelity.json",
        "statement-001-fidelity.dsse.json",
        "statement-002-fidelity.json",
    }
    first, second = (json.loads(files[f"statement-00{n}-fidelity.json"]) for n in (1, 2))
    assert [subject["name"] for subject in second["subject"]] == ["record.json", "statement-001-fidelity.json"]
    assert first["predicate"]["games"][0]["fidelity"]["spearman"] == pytest.approx(1)
    assert api.verify(record).holds
    assert not api.verify(record, keys=[keys["pem"][1]]).holds  # not all is signed
    api.sign(record, keys["pem"][0])
    assert api.verify(record, keys=[keys["pem"][1]]).holds
    files = members(record)
    for left_out in ("statement-001-fidelity.json",):
        record.write_bytes(archive_bytes({name: data for name, data in files.items() if name != left_out}))
        assert "statement-002-fidelity.json" in wrong(record)
    data = files["statement-002-fidelity.json"]
    for at in range(0, len(data), 7):
        damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        record.write_bytes(archive_bytes({**files, "statement-002-fidelity.json": damaged}))
        assert "statement-002-fidelity" in wrong(record)


def test_facts_of_another_run_are_refused(shared: Shared, record: Path, anchors: Path) -> None:
    measured = api.evaluate(shared.results.run, anchors, store=shared.project.store)
    with pytest.raises(RunError, match="is about run"):
        api.append_fidelity(record, measured.model_copy(update={"run": "other-1"}), anchors)
