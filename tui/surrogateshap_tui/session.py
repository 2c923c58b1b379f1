"""One spec or run that is open: what is known of it, and what is done with it. It outlives the screens that show it."""

from collections.abc import Callable
from functools import partial
from threading import Event as Flag
from typing import Protocol

from textual.message import Message

from surrogateshap.errors import InterruptedRun, Problem, RunError, SpecError, SurrogateShapError
from surrogateshap.events import GameInfo
from surrogateshap.plan.model import Plan
from surrogateshap.record.checks import VerifyReport
from surrogateshap.record.results import Results
from surrogateshap.units import duration
from surrogateshap_tui import workers
from surrogateshap_tui.errors import known
from surrogateshap_tui.jobs import Job
from surrogateshap_tui.made import Made
from surrogateshap_tui.messages import (
    EventArrived,
    FromSession,
    Inbox,
    LoadFailed,
    PlanLoaded,
    RecordVerified,
    RunEnded,
    RunFollowed,
    StopFailed,
)
from surrogateshap_tui.plan_text import summary
from surrogateshap_tui.source import RUNNING, Source, SpecText
from surrogateshap_tui.state import Ranking, RunState, abandoned, closed, planned, reduce_all, time_left, with_results

INTERVAL = 0.25
"""Seconds between two redraws for events, and between two looks at a run."""

Listener = Callable[[FromSession | None], None]
"""Called on the app's thread once the session has changed: by this message, or, with None, by events or a user."""


class Host(Protocol):
    """What a session needs of the app."""

    def in_thread(self, work: Callable[[], None]) -> None:
        """Runs this beside the app."""

    def post(self, message: Message) -> object:
        """Hands a message to the app, from any thread."""

    def later(self, seconds: float, call: Callable[[], None]) -> object:
        """Calls this once, on the app's thread."""


class Session:
    """State of one source. Only the app's thread changes it; screens read it, and ask it to do things."""

    def __init__(self, source: Source, host: Host) -> None:
        self.source = source
        self.state = RunState(run=source.run or "")
        self.plan: Plan | None = None
        self.results: Results | None = None
        self.problem: SurrogateShapError | None = None
        """Why there is no plan."""
        self.text: SpecText | None = None
        """The spec's, as it was when it was planned."""
        self.report: VerifyReport | None = None
        self.looked = False
        """Whether its record was verified once, or it was tried."""
        self.made = Made()
        """What the finished run's folder says; read when it is verified."""
        self.loading = False
        self.verifying = False
        self.job: Job | None = None
        """The run that was started here; None while there is none."""
        self.stopping = False
        self.paused = False
        self.followed = ""
        """What the store says of a run that another process works on."""
        self.game: GameInfo | None = None
        """Which game the screens show."""
        self.estimated = False
        """Whether they show the retraining game, where there is one."""
        self._host = host
        self._inbox = Inbox()
        self._waiting = False
        self._seen = 0
        self._leaving = Flag()
        self._listeners: list[Listener] = []

    # Who listens

    def listen(self, listener: Listener) -> None:
        """Calls this from now on."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """No longer calls this."""
        self._listeners.remove(listener)

    def _tell(self, message: FromSession | None = None) -> None:
        if self.game not in self.state.games:
            self.game = self.state.games[0] if self.state.games else None
        for listener in tuple(self._listeners):
            listener(message)

    # What is asked of it

    def open(self) -> None:
        """Reads the spec, or looks at the run."""
        if self.source.run is None:
            self.load()
        else:
            self._follow(self.source.run)

    def load(self) -> None:
        """Reads the spec and plans anew."""
        if not self.loading:
            self.loading = True
            self._host.in_thread(partial(workers.load, self, self._host.post))
            self._tell()

    def reload(self) -> None:
        """Plans anew, or looks at the run anew."""
        if self.source.run is None:
            self.load()
        elif not self.running:
            self._follow(self.source.run)

    def start(self) -> None:
        """Applies the plan, or goes on with it."""
        if self.job is not None or self.plan is None:
            return
        run = self.plan.run
        try:
            self.job = self.source.start()
        except Exception as error:
            self.take(RunEnded(self, None, known(error)))
            return
        self.stopping = self.paused = False
        self.report, self.looked = None, False
        self._follow(run)
        self._tell()

    def stop(self, *, pause: bool = False) -> None:
        """Ends the run that was started here after the batch in hand; asked again, at once. `start` goes on with it."""
        if self.job is not None:
            self.stopping, self.paused = True, pause
            self.job.stop()
            self._tell()

    def interrupt(self) -> None:
        """Asks the process that applies the run elsewhere to end after the batch in hand."""
        self.stopping, self.paused = True, False
        self._host.in_thread(partial(workers.interrupt, self, self.state.run, self._host.post))
        self._tell()

    def verify(self) -> None:
        """Checks the record of the finished run."""
        if not self.verifying and self.results is not None:
            self.verifying = self.looked = True
            self._host.in_thread(partial(workers.verify, self, self._host.post))
            self._tell()

    def turn(self, step: int) -> None:
        """Goes to the next game, or to the previous one; around at the ends."""
        games = self.state.games
        if games:
            at = games.index(self.game) if self.game in games else 0
            self.game = games[(at + step) % len(games)]
            self._tell()

    def show_game(self, game: GameInfo) -> None:
        """Goes to this game."""
        self.game = game
        self._tell()

    def toggle_closed(self) -> None:
        """Goes from the proxy game to the retraining game as estimated from anchors, and back."""
        self.estimated = not self.estimated
        self._tell()

    def leave(self) -> None:
        """Lets its threads end. A run goes on."""
        self._leaving.set()

    # What is known

    @property
    def running(self) -> bool:
        """Whether some process works on the run, here or elsewhere."""
        return self.job is not None or self.followed == RUNNING

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the spec; it can be shown at the lines of its text."""
        return self.problem.problems if isinstance(self.problem, SpecError) and self.text is not None else ()

    @property
    def can_close(self) -> bool:
        """Whether the game that is shown has a ranking of the retraining game."""
        return self.game is not None and closed(self.state.ranking(self.game)) is not None

    @property
    def ranking(self) -> Ranking | None:
        """The one that is shown: of the proxy game, or of the retraining game where that is wanted and there."""
        ranking = self.state.ranking(self.game) if self.game else None
        return (closed(ranking) if self.estimated else None) or ranking

    @property
    def title(self) -> str:
        """The spec's name, or what was opened."""
        return self.state.name or self.source.target

    @property
    def words(self) -> str:
        """What it is at."""
        state = self.state
        if self.running and self.stopping:
            return f"{'pausing' if self.paused else 'stopping'} after the current batch"
        if self.job is not None and state.status != "running":
            return "starting"
        if self.job is not None or state.status == "running":
            left = time_left(state, self.plan) if state.status == "running" else None
            where = "running" if self.job is not None else "running in another process"
            return where if left is None else f"{where}, about {duration(left)} left"
        match state.status:
            case "finished" if state.cached or state.seconds is None:
                return "finished"
            case "finished":
                return f"finished in {duration(state.seconds or 0.0)}"
            case "failed":
                return "failed; what is finished is kept"
            case "interrupted" if self.paused:
                return "paused; p goes on with it"
            case "interrupted":
                return "stopped; what is finished is kept"
        if self.loading:
            return "reading the spec"
        if self.plan is None:
            return "no plan" if self.source.run is None else "looking for the run"
        return summary(self.plan)

    # What workers say

    def flush(self) -> None:
        """Takes in all events that wait, in order, and tells of it once."""
        self._waiting = False
        if self._absorb():
            self._tell()

    def take(self, message: FromSession) -> None:
        """Changes the state as a worker's message says. Called by the app."""
        if isinstance(message, EventArrived):
            self._inbox.put(message.event)
            self._seen = max(self._seen, message.number)
            if not self._waiting:  # what comes until then is drawn at once
                self._waiting = True
                self._host.later(INTERVAL, self.flush)
            return
        self._absorb()
        match message:
            case PlanLoaded():
                self.text = message.text
                self._planned(message.plan, message.results)
            case RunEnded():
                self._ended(message.results, message.error)
            case RunFollowed():
                self.followed = message.status
                if self.job is not None and not self.job.running():
                    self.job = None
                if message.status != RUNNING:
                    self.stopping = False
                    self.state = abandoned(self.state)
            case StopFailed():
                self.stopping = False
            case LoadFailed():
                self.loading = False
                self.problem = message.error
                if message.planning:
                    self.plan, self.text = None, message.text
            case RecordVerified():
                self.verifying = False
                self.report, self.made = message.report, message.made
        self._tell(message)

    def _absorb(self) -> bool:
        events = self._inbox.drain()
        self.state = reduce_all(self.state, events)
        return bool(events)

    def _planned(self, plan: Plan, results: Results | None) -> None:
        self.loading, self.plan, self.problem = False, plan, None
        if self.state.run != plan.run:
            self._seen = 0
        if self.state.run != plan.run or self.state.status == "planned":
            self.state = planned(plan)
        if results is not None:
            self._finished(results)
        if not self.running and self.state.status == "planned":
            self._follow(plan.run)

    def _ended(self, results: Results | None, error: SurrogateShapError | None) -> None:
        here, self.job, self.stopping, self.followed = self.job is not None, None, False, ""
        if results is not None:
            self._finished(results)
        elif error is not None:
            self.state = abandoned(self.state)
            self.paused = self.paused and isinstance(error, InterruptedRun)
        if here and not self._leaving.is_set():
            self.load()

    def _finished(self, results: Results) -> None:
        self.results, self.paused = results, False
        self.state = with_results(self.state, results)

    def _follow(self, run: str) -> None:
        after = self._seen if self.state.run == run else 0
        work = partial(workers.follow, self, run, after, self.job, INTERVAL, self._leaving, self._host.post)
        self._host.in_thread(work)


def told(session: Session, error: SurrogateShapError) -> SurrogateShapError:
    """An error that ended a run, as the run itself told it where it did."""
    state = session.state
    return RunError(state.error, state.remedy) if state.status == "failed" and state.error else error
