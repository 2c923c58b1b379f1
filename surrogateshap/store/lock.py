"""One process at a time works in a store. The operating system frees the lock of a process that dies."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from surrogateshap.errors import RunError
from surrogateshap.store.objects import unwritable_error
from surrogateshap.text import harmless

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # past the holder's id, which stays readable
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lives(pid: int) -> bool:
    """Whether a process of this machine lives; taken for granted where the system can't be asked harmlessly."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


Wait = Callable[[int], None]
"""Called with the id of the process that holds a lock, 0 if unknown; returns when it is time to try again."""


@contextmanager
def exclusive(path: Path, wait: Wait | None = None) -> Iterator[None]:
    """Holds the lock file `path`. Where another process holds it, calls `wait` until it is free.

    Raises RunError, naming the process, without `wait`, and where it is this process itself.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise unwritable_error(path, error) from error
    try:
        while True:
            try:
                _take(descriptor)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                    raise unwritable_error(path, error) from error
                holder = _holder(descriptor)
                if wait is None or holder == os.getpid():
                    raise RunError(
                        f"{harmless(str(path.parent))}: in use by process {holder or 'unknown'}",
                        "Wait until it is done, or watch it with `surrogateshap tui`.",
                    ) from error
            wait(holder)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def works(path: Path, pid: int) -> bool | None:
    """Whether a process of this machine has the lock file `path` open; None where that can't be told.

    The number alone says little: it may be of another machine, or have gone to another program since.
    """
    opened = Path(f"/proc/{pid}/fd")
    try:
        return any(found.exists() and found.samefile(path) for found in opened.iterdir())
    except FileNotFoundError:
        return False if opened.parent.parent.joinpath("self").exists() else None
    except OSError:
        return None


def _holder(descriptor: int) -> int:
    """What the lock's file says; 0 where it says nothing, as just before its holder writes it."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    said = os.read(descriptor, 20).strip()
    return int(said) if said.isdigit() else 0
