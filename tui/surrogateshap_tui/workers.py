"""What runs in threads. Nothing here touches a widget or the state: all it does is post messages."""

from collections.abc import Callable
from threading import Event as Flag

from textual.message import Message

from surrogateshap.errors import RunError, SurrogateShapError
from surrogateshap.events import Event
from surrogateshap.text import harmless
from surrogateshap_tui.messages import EventArrived, LoadFailed, PlanLoaded, RunEnded, RunFollowed
from surrogateshap_tui.source import RUNNING, Source

Post = Callable[[Message], object]


def known(error: Exception) -> SurrogateShapError:
    """The error as the app shows it. One that nobody foresaw is a bug, and the app goes on all the same."""
    if isinstance(error, SurrogateShapError):
        return error
    message = f"this is a bug: {type(error).__name__}: {harmless(str(error))}"
    return RunError(message, "Please report it; SURROGATESHAP_DEBUG=1 with `surrogateshap apply` shows where it is.")


def load(source: Source, post: Post) -> None:
    """Plans, and looks for results of this very plan."""
    try:
        plan = source.plan()
        results = source.results()
    except Exception as error:
        post(LoadFailed(known(error)))
        return
    post(PlanLoaded(plan, results if results and results.plan_id == plan.plan_id else None))


def apply(source: Source, stop: Flag, post: Post) -> None:
    """Runs the plan to its end, to an error, or until stopped."""

    def emit(event: Event) -> None:
        post(EventArrived(event))

    try:
        results = source.apply(emit, stop)
    except Exception as error:
        post(RunEnded(None, known(error)))
        return
    post(RunEnded(results))


def follow(source: Source, run: str, interval: float, closing: Flag, post: Post) -> None:
    """Tells what a run that this app did not start has done, and goes on for as long as it is running.

    A run opened by name must exist; a spec's may not have been started yet, which is no error.
    """
    after, status = 0, ""
    while not closing.is_set():
        try:
            events, now = source.follow(run, after)
        except SurrogateShapError as error:
            if source.run is not None or not isinstance(error, RunError):
                post(LoadFailed(error))
            return
        for after, event in events:  # noqa: B007 - the last number is where the next look begins
            post(EventArrived(event))
        if now != status:
            post(RunFollowed(now))
            status = now
        if now != RUNNING:
            break
        closing.wait(interval)
    if status and status != RUNNING and not closing.is_set():
        _finish(source, run, post)


def _finish(source: Source, run: str, post: Post) -> None:
    try:
        results = source.results()
    except SurrogateShapError as error:
        post(LoadFailed(error))
        return
    # A run may be opened by the beginning of its name; a spec's results may be those of an earlier run.
    if results is not None and (source.run is not None or results.run == run):
        post(RunEnded(results))
