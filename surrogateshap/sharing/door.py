"""What the API passes on: exporting, and revealing names."""

from collections.abc import Sequence
from pathlib import Path

from surrogateshap.errors import RunError
from surrogateshap.record.folder import RECORD
from surrogateshap.record.statement import Statement
from surrogateshap.sharing.export import Options
from surrogateshap.sharing.export import export as write
from surrogateshap.sharing.pseudonyms import check_opening, opening_of, read_secret
from surrogateshap.strangers import parse_model
from surrogateshap.targets import record_that_holds
from surrogateshap.text import digest, harmless


def export(
    target: str,
    out: Path,
    *,
    store: Path | None = None,
    allow_paths: Sequence[Path] = (),
    pseudonyms: bool = False,
    secret: Path | None = None,
    images: int = 0,
    sign: Path | None = None,
    passphrase: str | None = None,
    force: bool = False,
) -> Path:
    """Writes the record of a finished run, named as `show` names it, to `out`, a zip file; returns `out`.

    The same run gives the same bytes. With `pseudonyms` contributors go by salted hashes, whose secret is kept in
    `secret`, by default beside `out`. `images` of each pool are put in, at most; none unless asked for. `sign` is the
    file of an Ed25519 key. Raises RunError where there is no such run, or `out` is there and not `force`.
    """
    options = Options(pseudonyms, secret, images, sign, passphrase, force)
    return write(target, out, store, allow_paths, options)


def reveal(record: Path, name: str, secret: Path) -> str:
    """What proves that a pseudonym of the record stands for `name`, and nothing of other names, as JSON.

    Raises VerificationError where the record doesn't hold, RunError where the name is not behind it with this secret.
    """
    data = record_that_holds(record).read(RECORD)
    names = {one.name for game in parse_model(Statement, data).predicate.games for one in game.ranking}
    made = opening_of(name, read_secret(secret), digest(data))
    if not check_opening(made, digest(data), names).holds:
        message = f"`{harmless(name)}` is behind none of the pseudonyms of {harmless(str(record))}"
        raise RunError(message, "Give the name as the manifest has it, and the secret of this very export.")
    return made.model_dump_json(indent=1) + "\n"
