"""Signatures of statements: DSSE envelopes, Ed25519.

Formats: https://github.com/secure-systems-lab/dsse, RFC 8032. The envelope of `NAME.json` is `NAME.dsse.json`: the
statement's very bytes with the signatures of all who signed it. A key's id is the public key itself: whether signatures
are whole can be seen without knowing whose keys they are.
"""

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from surrogateshap.errors import SurrogateShapError
from surrogateshap.record.checks import Check
from surrogateshap.record.statement import compact, statement_bytes
from surrogateshap.strangers import UnreadableError, parse_json, parse_model, read_file
from surrogateshap.text import harmless

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# cryptography is imported where it is used: most records that are verified quickly bear no signature.

_PAYLOAD_TYPE: Literal["application/vnd.in-toto+json"] = "application/vnd.in-toto+json"
_KEY_ID = "ed25519:"
_KEY_LIMIT = 64 << 10
KeyId = Annotated[str, StringConstraints(pattern=r"^ed25519:[A-Za-z0-9+/]{43}=$")]
"""`ed25519:` and the 32 bytes of the public key in base64."""


class _Data(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, strict=True)


class Signature(_Data):
    """One signer's."""

    keyid: KeyId
    sig: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")]
    """Base64."""


class Envelope(_Data):
    """A signed statement."""

    payload: str
    """The statement's bytes in base64."""
    payloadType: Literal["application/vnd.in-toto+json"] = _PAYLOAD_TYPE  # noqa: N815 - DSSE's name
    signatures: tuple[Signature, ...]


class KeyRefused(SurrogateShapError):  # noqa: N818 - says what was done
    """A file that holds no key of the sort that is needed."""

    exit_code = 2


def envelope_name(statement: str) -> str:
    """`record.json` -> `record.dsse.json`."""
    return statement.removesuffix(".json") + ".dsse.json"


def load_private_key(path: Path, passphrase: str | None = None) -> "Ed25519PrivateKey":
    """An Ed25519 key as `openssl genpkey` (PEM) or `ssh-keygen` writes it. Raises KeyRefused."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data, shown = _read_key(path), harmless(str(path))
    ssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    load = serialization.load_ssh_private_key if ssh else serialization.load_pem_private_key
    try:
        key = load(data, passphrase.encode() if passphrase else None)
    except TypeError:
        why = "needs a passphrase" if passphrase is None else "has no passphrase"
        raise KeyRefused(f"{shown} {why}", "Give it in SURROGATESHAP_PASSPHRASE, or leave that unset.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRefused(
            f"{shown} is no private key that can be read, or has another passphrase",
            "Make one with `openssl genpkey -algorithm ed25519 -out key.pem` or `ssh-keygen -t ed25519`.",
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyRefused(f"{shown} is no Ed25519 key", "Make one with `openssl genpkey -algorithm ed25519`.")
    return key


def load_public_key(path: Path) -> str:
    """The id of an Ed25519 public key: a PEM file, a line as in `id_ed25519.pub`, or the id itself.

    Raises KeyRefused.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    data, shown = _read_key(path).strip(), harmless(str(path))
    if b"PRIVATE KEY" in data:
        raise KeyRefused(f"{shown} is a private key", "Keep it to yourself, and name the public one.")
    try:
        if data.startswith(_KEY_ID.encode()):
            raw = base64.b64decode(data.removeprefix(_KEY_ID.encode()), validate=True)
            return key_id(Ed25519PublicKey.from_public_bytes(raw).public_bytes_raw())
        ssh = data.startswith(b"ssh-")
        load = serialization.load_ssh_public_key if ssh else serialization.load_pem_public_key
        key = load(data)
    except (ValueError, UnsupportedAlgorithm, binascii.Error):
        remedy = "It is a PEM file, or a line as in id_ed25519.pub."
        raise KeyRefused(f"{shown} is no public key that can be read", remedy) from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyRefused(f"{shown} is no Ed25519 key", "Records are signed with Ed25519 alone.")
    return key_id(key.public_bytes_raw())


def key_id(public: bytes) -> str:
    """The id of a public key of 32 bytes."""
    return _KEY_ID + base64.b64encode(public).decode()


def sign(statement: bytes, key: "Ed25519PrivateKey", envelope: bytes | None = None) -> bytes:
    """The envelope of a statement with one more signature. Raises ValueError where `envelope` is of another one.

    A key that signed it before adds nothing.
    """
    before: tuple[Signature, ...] = ()
    if envelope is not None:
        try:
            before = _parsed(statement, envelope).signatures
        except UnreadableError as error:
            raise ValueError(str(error)) from None
    signed = base64.b64encode(key.sign(_encoding(statement))).decode()
    own = Signature(keyid=key_id(key.public_key().public_bytes_raw()), sig=signed)
    all_of_them = before if own in before else (*before, own)
    made = Envelope(payload=base64.b64encode(statement).decode(), signatures=all_of_them)
    return statement_bytes(made.model_dump(mode="json"))


def check_envelope(name: str, statement: bytes, envelope: bytes) -> tuple[list[Check], set[str]]:
    """Checks of every signature in an envelope, and the ids of the keys whose signatures hold."""
    try:
        found = _parsed(statement, envelope)
    except UnreadableError as error:
        return [Check(step="signatures", name=name, holds=False, detail=str(error))], set()
    checks, good = [], set()
    for one in found.signatures:
        holds = _holds(one, statement)
        good |= {one.keyid} if holds else set()
        detail = f"signed by {one.keyid}" if holds else f"the signature by {one.keyid} does not hold"
        checks.append(Check(step="signatures", name=name, holds=holds, detail=detail))
    return checks, good


def check_keys(keys: Sequence[str], signed: Mapping[str, Collection[str]]) -> list[Check]:
    """Whether each statement is signed by some, and each key signed one. `signed`: statement -> keys that hold."""
    checks = []
    for name, good in signed.items():
        named = sorted(set(keys).intersection(good))
        detail = f"signed by {', '.join(named)}" if named else "not signed by any of the keys that were given"
        checks.append(Check(step="signatures", name=name, holds=bool(named), detail=detail))
    for key in keys:
        if not any(key in good for good in signed.values()):
            checks.append(Check(step="signatures", name=key, holds=False, detail="signed nothing here"))
    return checks


def _parsed(statement: bytes, envelope: bytes) -> Envelope:
    document = parse_json(envelope)
    found = parse_model(Envelope, compact(document))
    if envelope != statement_bytes(document):
        raise UnreadableError("changed after it was written: not in an envelope's form")
    if found.payload != base64.b64encode(statement).decode():
        raise UnreadableError("holds another statement than the one beside it")
    if not found.signatures:
        raise UnreadableError("holds no signature")
    if len({one.keyid for one in found.signatures}) < len(found.signatures):
        raise UnreadableError("holds two signatures by one key")
    return found


def _holds(signature: Signature, statement: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        raw = base64.b64decode(signature.sig, validate=True)
        public = base64.b64decode(signature.keyid.removeprefix(_KEY_ID), validate=True)
        if base64.b64encode(raw).decode() != signature.sig or key_id(public) != signature.keyid:
            return False  # bits beside the bytes: base64 has several texts for the same ones
        Ed25519PublicKey.from_public_bytes(public).verify(raw, _encoding(statement))
    except (ValueError, InvalidSignature):
        return False
    return True


def _encoding(statement: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    kind = _PAYLOAD_TYPE.encode()
    return b" ".join([b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(statement), statement])


def _read_key(path: Path) -> bytes:
    try:
        return read_file(path, follow=True, limit=_KEY_LIMIT)
    except UnreadableError as error:
        raise KeyRefused(f"{harmless(str(path))}: {error}", "Name the file of a key.") from None
