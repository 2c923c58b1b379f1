"""The folder of a finished run: its files, and the record about them."""

from collections.abc import Mapping
from pathlib import Path

from surrogateshap.archive import PLAIN_NAME
from surrogateshap.errors import RunError
from surrogateshap.store.atomic import atomic_write_bytes, holds, make_folder
from surrogateshap.store.objects import unwritable_error
from surrogateshap.text import harmless

RECORD = "record.json"


def write_run_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Puts `files` (plain name -> content) into `folder`, each whole or not at all, and the record last.

    So a folder that has a record has all the files that the record is about, and a killed write may be repeated. Files
    that are there with the same content are left alone. Raises RunError where the disk refuses, ValueError on a name
    that is no plain file name.
    """
    for name in files:
        if not PLAIN_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no plain file name")
    for part in (folder.parent, folder):
        if part.is_symlink():
            raise RunError(f"{harmless(str(part))} is a link, and nothing is written through it", "Remove the link.")
    try:
        make_folder(folder)
        changed = {name: data for name, data in files.items() if not holds(folder / name, data)}
        if changed and RECORD in files:
            (folder / RECORD).unlink(missing_ok=True)
            changed[RECORD] = files[RECORD]
        for name in sorted(changed, key=lambda name: (name == RECORD, name)):
            atomic_write_bytes(folder / name, changed[name])
    except OSError as error:
        raise unwritable_error(folder, error) from error


def secret_beside(record: Path) -> Path:
    """Where the secret of an export's pseudonyms is unless the owner names another place."""
    return Path(f"{record}.secret.json")
