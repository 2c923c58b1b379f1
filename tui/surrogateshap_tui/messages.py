"""What workers post to the app, and the queue in which events wait for the next redraw."""

from collections import deque
from dataclasses import dataclass

from textual.message import Message

from surrogateshap.errors import SurrogateShapError
from surrogateshap.events import Event, StageProgress
from surrogateshap.plan.model import Plan
from surrogateshap.record.results import Results


@dataclass
class PlanLoaded(Message):
    """The plan is made; `results` are those of this very plan, where they are there."""

    plan: Plan
    results: Results | None


@dataclass
class EventArrived(Message):
    """A run, here or elsewhere, said something."""

    event: Event


@dataclass
class RunEnded(Message):
    """A run, here or elsewhere, came to its end."""

    results: Results | None
    error: SurrogateShapError | None = None


@dataclass
class RunFollowed(Message):
    """Another process' run was found; `status` is what the store says of it."""

    status: str


@dataclass
class LoadFailed(Message):
    """The plan, or the run, can't be opened."""

    error: SurrogateShapError


class Inbox:
    """Events in their order; of a stage's progress with nothing but progress in between, only the newest is kept."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        """Adds an event, and drops the progress that it supersedes."""
        if isinstance(event, StageProgress):
            for index in range(len(self._events) - 1, -1, -1):
                waiting = self._events[index]
                if not isinstance(waiting, StageProgress):
                    break
                if waiting.stage == event.stage:
                    del self._events[index]
                    break
        self._events.append(event)

    def drain(self) -> list[Event]:
        """Takes all events out."""
        events = list(self._events)
        self._events.clear()
        return events
