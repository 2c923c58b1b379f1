"""Room for arrays that may not fit in memory: files without a name, mapped into it."""

import math
import mmap
import os
import tempfile
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogateshap.errors import RunError

LARGE = 1 << 27
"""Bytes from which an array lies in a file: 128 MiB."""
_ZEROS = bytes(1 << 20)
_FOLDER: ContextVar[Path | None] = ContextVar("folder", default=None)


def spill_to(folder: Path) -> None:
    """Where large arrays lie from now on, if it can be written; else in the system's temporary folder."""
    _FOLDER.set(folder if os.access(folder, os.W_OK | os.X_OK) else None)


def room(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    """Zeros of a shape, in memory or, where they are `LARGE`, in a file that goes when nobody holds them.

    Raises RunError where the disk has no room.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE:
        return np.zeros(shape, dtype)
    folder = _FOLDER.get()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            # A mapped file that outgrows the disk would end the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                for start in range(0, size, len(_ZEROS)):
                    file.write(_ZEROS[: size - start])
                file.flush()
            return np.asarray(np.memmap(file, dtype=dtype, mode="r+", shape=shape))
    except OSError as error:
        where = folder or tempfile.gettempdir()
        message = f"{where}: no room for {size / 1e9:.1f} GB of temporary numbers: {error.strerror or error}"
        raise RunError(
            message, "Make room, or choose another folder with --store DIR or SURROGATESHAP_STORE."
        ) from error


def release(array: npt.NDArray[Any]) -> None:
    """Takes what was read or written of a mapped file out of this process's memory; it stays in the file."""
    held: Any = array
    while isinstance(held, np.ndarray):
        held = held.base
    if isinstance(held, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)
