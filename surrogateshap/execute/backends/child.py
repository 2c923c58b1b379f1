"""What runs in a worker's process: `python -m surrogateshap.execute.backends.child`, started by `children.py` alone."""

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from operator import methodcaller
from typing import IO, Any

from surrogateshap.execute.backends.frames import read_frame, write_frame


def main() -> None:
    """Does what it reads until its input ends: when the run is over, or has died."""
    # Terminals and batch systems send these to all processes of a group: the run tells when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no message
    first = read_frame(sys.stdin.buffer)
    if first is not None:
        _serve(sys.stdin.buffer, answers, pickle.loads(first)[1])


def _serve(questions: IO[bytes], answers: IO[bytes], setup: Any) -> None:
    from surrogateshap.execute.assembly import Assembly
    from surrogateshap.execute.backends.children import Heard
    from surrogateshap.execute.workshop import Workshop

    lock = threading.Lock()

    def reply(number: int) -> "Callable[[Future[Any]], None]":
        def send(future: "Future[Any]") -> None:
            if future.cancelled():
                return
            error = future.exception()
            heard = Heard("done", number, future.result()) if error is None else Heard("error", number, _plain(error))
            with lock, suppress(OSError):
                write_frame(answers, heard)

        return send

    workshop = Workshop(setup.compiled, setup.device, threads=setup.threads, batch=setup.batch)
    assembly = Assembly(workshop, setup.objects)
    while (data := read_frame(questions)) is not None:
        match pickle.loads(data):
            case ("job", number, job):
                assembly.submit(job).add_done_callback(reply(number))
            case ("ask", number, method, arguments):
                assembly.ask(methodcaller(method, *arguments)).add_done_callback(reply(number))
            case ("drop",):
                assembly.drop()
    assembly.close()


def _plain(error: BaseException) -> Exception:
    """An error that the run can read; with a broken device this process ends."""
    from surrogateshap.execute.backends.faults import breaks_device, plain

    if breaks_device(error):
        sys.stderr.write(f"{error}".splitlines()[0] + "\n")
        sys.stderr.flush()
        os._exit(70)
    return plain(error)


if __name__ == "__main__":
    main()
