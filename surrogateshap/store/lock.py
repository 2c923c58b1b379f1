"""One process at a time works in a store. The operating system frees the lock of a process that dies."""

import errno
import os
import sys
from collections.abc import Iterator
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


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds the lock file `path`. Raises RunError at once where another holds it, naming its process id."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise unwritable_error(path, error) from error
    try:
        try:
            _take(descriptor)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise unwritable_error(path, error) from error
            os.lseek(descriptor, 0, os.SEEK_SET)
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            raise RunError(
                f"{harmless(str(path.parent))}: in use by process {harmless(holder)}",
                "Wait until it is done, or watch it with `surrogateshap tui`.",
            ) from error
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
