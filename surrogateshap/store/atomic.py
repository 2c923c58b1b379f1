"""Files that appear whole or not at all, whenever the process or the machine dies."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

_STALE_SECONDS = 24 * 3600


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Puts `data` at `path`, durably, replacing what was there; its folder must exist. Raises OSError."""
    temporary = path.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def holds(path: Path, data: bytes) -> bool:
    """Whether the file is there with exactly this content. Raises OSError."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        return False


def make_folder(folder: Path) -> None:
    """Makes `folder` and its parents, and makes its name durable. Raises OSError."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable: a rename alone may be lost in a power cut."""
    if os.name == "nt":  # Windows opens no folders, and NTFS journals renames
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_stale(folders: Iterable[Path]) -> None:
    """Removes temporary files that a killed process left behind: those older than a day, which no one still writes."""
    for folder in folders:
        for path in folder.glob(".*.tmp"):
            try:
                if path.stat().st_mtime < time.time() - _STALE_SECONDS:
                    path.unlink()
            except FileNotFoundError:  # another process was quicker
                continue
