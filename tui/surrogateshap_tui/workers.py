"""What a session does in threads. Nothing here touches a widget or a state: all it does is post messages."""

from collections.abc import Callable
from threading import Event as Flag
from typing import TYPE_CHECKING

from textual.message import Message

from surrogateshap.errors import RunError, SurrogateShapError
from surrogateshap_tui.errors import known
from surrogateshap_tui.jobs import Job
from surrogateshap_tui.made import Made
from surrogateshap_tui.messages import (
    EventArrived,
    LoadFailed,
    PlanLoaded,
    RecordVerified,
    RunEnded,
    RunFollowed,
    StopFailed,
)
from surrogateshap_tui.source import RUNNING

if TYPE_CHECKING:
    from surrogateshap_tui.session import Session

Post = Callable[[Message], object]


def load(session: "Session", post: Post) -> None:
    """Plans, and looks for results of this very plan."""
    text = None
    try:
        text = session.source.text()
        plan = session.source.plan()
        results = session.source.results()
    except Exception as error:
        post(LoadFailed(session, known(error), planning=True, text=text))
        return
    post(PlanLoaded(session, plan, results if results and results.plan_id == plan.plan_id else None, text))


def verify(session: "Session", post: Post) -> None:
    """Checks the record, and reads what it says."""
    made = Made()
    try:
        made = session.source.made()
        report = session.source.verify()
    except Exception as error:
        post(RecordVerified(session, None, known(error), made))
        return
    post(RecordVerified(session, report, made=made))


def interrupt(session: "Session", run: str, post: Post) -> None:
    """Asks another process to end the run."""
    try:
        session.source.interrupt(run)
    except Exception as error:
        post(StopFailed(session, known(error)))


def follow(
    session: "Session", run: str, after: int, job: Job | None, interval: float, closing: Flag, post: Post
) -> None:
    """Tells what a run does, and goes on for as long as some process works on it; `job`, where that was started here.

    A run opened by name must exist; a spec's may not have been started yet, which is no error.
    """
    source, status = session.source, ""
    named: str | None = None
    while not closing.is_set():
        ended = job is not None and not job.running()  # asked first: then its last events are in what comes next
        try:
            if job is not None and not named:
                named = job.run()
                run = named or run
            events, now = source.follow(run, after)
        except Exception as error:
            if job is None:
                if source.run is not None or not isinstance(error, RunError):
                    post(LoadFailed(session, known(error)))
                return
            events, now = (), ""  # it has not begun to write
        for after, event in events:
            post(EventArrived(session, event, after))
        if job is not None and ended:
            if now != RUNNING:
                _finish(session, run, job.failure(), post)
                return
            job = None  # it had only watched another process, which goes on
        if job is None and now != status:
            post(RunFollowed(session, now))
            status = now
        if job is None and now != RUNNING:
            if not events:
                break
            continue  # one look brings only so many of a long run's
        closing.wait(interval)
    if status and status != RUNNING and not closing.is_set():
        _finish(session, run, None, post, quietly=True)


def _finish(
    session: "Session", run: str, failure: SurrogateShapError | None, post: Post, *, quietly: bool = False
) -> None:
    """Says how a run ended; `quietly`, nothing where it left no results."""
    if failure is not None:
        post(RunEnded(session, None, failure))
        return
    try:
        results = session.source.results()
    except Exception as error:
        post(LoadFailed(session, known(error)) if quietly else RunEnded(session, None, known(error)))
        return
    # A run may be opened by the beginning of its name; a spec's results may be those of an earlier run.
    if results is not None and (session.source.run is not None or results.run == run):
        post(RunEnded(session, results))
    elif not quietly:
        post(RunEnded(session, None, RunError("the run left no results", "Read the spec again: it may have changed.")))
