"""What workers post to the app, and the queue in which events wait for the next redraw."""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from textual.message import Message

from surrogateshap.errors import SurrogateShapError
from surrogateshap.events import DeviceProgress, Event, StageProgress
from surrogateshap.plan.model import Plan
from surrogateshap.record.checks import VerifyReport
from surrogateshap.record.comparison import ComparisonReport
from surrogateshap.record.results import Results
from surrogateshap_tui.changes import SpecChanges
from surrogateshap_tui.made import Made

if TYPE_CHECKING:
    from surrogateshap.runs import Cleanup
    from surrogateshap_tui.library import About, Listing
    from surrogateshap_tui.session import Session
    from surrogateshap_tui.source import SpecText


@dataclass
class FromSession(Message):
    """Something that a session's worker says; the app hands it to the session, which tells its listeners."""

    session: "Session"


@dataclass
class PlanLoaded(FromSession):
    """The plan is made; `results` are those of this very plan, where they are there."""

    plan: Plan
    results: Results | None
    text: "SpecText | None" = None


@dataclass
class EventArrived(FromSession):
    """A run said something; `number` is the event's in the store."""

    event: Event
    number: int = 0


@dataclass
class RunEnded(FromSession):
    """A run, here or elsewhere, came to its end."""

    results: Results | None
    error: SurrogateShapError | None = None


@dataclass
class RunFollowed(FromSession):
    """Another process' run was found; `status` is what the store says of it."""

    status: str


@dataclass
class StopFailed(FromSession):
    """Another process can't be asked to end the run."""

    error: SurrogateShapError


@dataclass
class LoadFailed(FromSession):
    """The plan, or the run, can't be opened; `planning`, where it was the plan. `text` is the spec's."""

    error: SurrogateShapError
    planning: bool = False
    text: "SpecText | None" = None


@dataclass
class RecordVerified(FromSession):
    """The record was checked, or why it can't be; `made` is what the folder says besides."""

    report: VerifyReport | None
    error: SurrogateShapError | None = None
    made: Made = field(default_factory=Made)


@dataclass
class OpenTarget(Message):
    """A screen asks for a workspace, at this tab; `ask` also whether to apply."""

    target: str
    tab: str = ""
    ask: bool = False


@dataclass
class OpenDetail(Message):
    """A screen asks for one contributor of the game that is shown."""

    session: "Session"
    name: str


@dataclass
class OpenMethods(Message):
    """A screen asks for what other methods say of its run."""

    session: "Session"


@dataclass
class MethodsRead(Message):
    """What other methods say of a run, one for each grouping."""

    reports: tuple[ComparisonReport, ...]


@dataclass
class OpenComparison(Message):
    """A screen asks for two runs side by side."""

    left: str
    right: str


@dataclass
class Copy(Message):
    """A screen asks to copy a text; `what` says in words what it is, `name` how a file with it is called."""

    what: str
    text: str
    name: str


@dataclass
class Failed(Message):
    """Something can't be done; the app shows why and goes on."""

    error: SurrogateShapError


@dataclass
class Listed(Message):
    """Specs and runs were looked up."""

    listing: "Listing"


@dataclass
class Described(Message):
    """What some specs say of themselves."""

    abouts: "dict[str, About]"


@dataclass
class CanFree(Message):
    """What no run of the folder needs; nothing of it is deleted yet."""

    found: "tuple[Cleanup, ...]"


@dataclass
class Did(Message):
    """Something was done that changes what Home lists."""

    what: str


@dataclass
class Compared(Message):
    """The results of two runs are there."""

    left: Results
    right: Results
    changes: SpecChanges


class Inbox:
    """Events in their order; of progress with nothing else in between, only the newest of a stage or device is kept."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        """Adds an event, and drops the progress that it supersedes."""
        subject = _subject(event)
        if subject is not None:
            for index in range(len(self._events) - 1, -1, -1):
                waiting = _subject(self._events[index])
                if waiting is None:
                    break
                if waiting == subject:
                    del self._events[index]
                    break
        self._events.append(event)

    def drain(self) -> list[Event]:
        """Takes all events out."""
        events = list(self._events)
        self._events.clear()
        return events


def _subject(event: Event) -> tuple[str, str] | None:
    """What an event tells the progress of; None where it tells something else."""
    match event:
        case StageProgress():
            return "stage", event.stage
        case DeviceProgress():
            return "device", event.device
        case _:
            return None
