"""The app: workers post messages, the handlers here change the state and the views, at most four times a second."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Footer, TabbedContent, TabPane, Tabs

from surrogateshap.errors import InterruptedRun, SurrogateShapError
from surrogateshap.plan.model import Plan
from surrogateshap.units import duration
from surrogateshap_tui import workers
from surrogateshap_tui.messages import EventArrived, Inbox, LoadFailed, PlanLoaded, RunEnded, RunFollowed
from surrogateshap_tui.screens.dialogs import ErrorPage, HelpPage, Question
from surrogateshap_tui.source import RUNNING, ApiSource, Source
from surrogateshap_tui.state import RunState, abandoned, planned, reduce_all, time_left, with_results
from surrogateshap_tui.theme import THEME
from surrogateshap_tui.views.plan import PlanView, cost_lines, summary
from surrogateshap_tui.views.ranking import RankingView
from surrogateshap_tui.views.run import RunView
from surrogateshap_tui.widgets.picture import Picture
from surrogateshap_tui.widgets.ranking_table import RankingTable
from surrogateshap_tui.widgets.status_line import status_line

INTERVAL = 0.25
"""Seconds between two redraws, and between two looks at another process' run."""


class SurrogateShapApp(App[None]):
    """Plan, run and ranking of one spec, or of one run."""

    CSS_PATH = "app.tcss"
    TITLE = "surrogateshap"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "show('plan')", "Plan", show=False),
        Binding("2", "show('run')", "Run", show=False),
        Binding("3", "show('ranking')", "Ranking", show=False),
        Binding("a", "apply", "Apply"),
        Binding("s", "stop", "Stop"),
        Binding("left_square_bracket", "turn(-1)", "Previous game", key_display="["),
        Binding("right_square_bracket", "turn(1)", "Next game", key_display="]"),
        Binding("c", "toggle_closed", "Retrained"),
        Binding("r", "reload", "Reload"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.state = RunState(run=source.run or "")
        self._source = source
        self._plan: Plan | None = None
        self._inbox = Inbox()
        self._stop: Flag | None = None
        """Stops the run that this app executes; None while it executes none."""
        self._followed = ""
        """What the store says of the run that this app follows."""
        self._loading = False
        self._quitting = False
        self._leaving = Flag()
        self._offers: tuple[bool | None, ...] = ()

    def compose(self) -> ComposeResult:
        """See App."""
        yield Picture(id="status")
        with TabbedContent(initial="run" if self._source.run else "plan"):
            with TabPane("1 Plan", id="plan"):
                yield PlanView()
            with TabPane("2 Run", id="run"):
                yield RunView()
            with TabPane("3 Ranking", id="ranking"):
                yield RankingView()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Opens the spec or the run."""
        self.register_theme(THEME)
        self.theme = THEME.name
        self.query_one(Tabs).can_focus = False
        self.set_interval(INTERVAL, self.flush)
        if self._source.run is None:
            self._load()
        else:
            self.query_one(PlanView).show_absent("The run was opened by its name. Open its spec to see the plan.")
            self._follow(self._source.run)
        self._show_state()

    def on_unmount(self) -> None:
        """Lets the threads end."""
        self._leaving.set()
        if self._stop is not None:
            self._stop.set()

    def flush(self) -> None:
        """Takes in all events that wait, in order, and redraws once."""
        if len(self._inbox):
            self.state = reduce_all(self.state, self._inbox.drain())
            self._show_state()

    # What workers say

    @on(PlanLoaded)
    def _plan_loaded(self, message: PlanLoaded) -> None:
        self._loading, self._plan = False, message.plan
        if self.state.run != message.plan.run or self.state.status == "planned":
            self.state = planned(message.plan)
        if message.results is not None:
            self.state = with_results(self.state, message.results)
        self.query_one(PlanView).show(message.plan)
        self._show_state()
        if self._stop is None and self._followed != RUNNING and self.state.status == "planned":
            self._follow(message.plan.run)

    @on(EventArrived)
    def _event_arrived(self, message: EventArrived) -> None:
        self._inbox.put(message.event)

    @on(RunEnded)
    def _run_ended(self, message: RunEnded) -> None:
        self.flush()
        here, self._stop = self._stop is not None, None
        elsewhere = here and self._followed == RUNNING and message.results is None
        self._followed = RUNNING if elsewhere else ""
        if self._quitting:
            self.exit()
            return
        if message.results is not None:
            self.state = with_results(self.state, message.results)
            if self._active == "run":
                self.action_show("ranking")
        elif message.error is not None:
            self.state = self.state if elsewhere else abandoned(self.state)
            if not isinstance(message.error, InterruptedRun):
                self.push_screen(ErrorPage(message.error))
        self._show_state()
        if here:
            self._load()

    @on(RunFollowed)
    def _run_followed(self, message: RunFollowed) -> None:
        self.flush()
        self._followed = message.status
        if message.status == RUNNING:
            self.action_show("run")
        else:
            self.state = abandoned(self.state)
        self._show_state()

    @on(LoadFailed)
    def _load_failed(self, message: LoadFailed) -> None:
        self._loading = False
        if self._plan is None:
            self.query_one(PlanView).show_absent(
                "No plan: the error that was shown comes first; then r reads it again."
            )
        self._show_state()
        self.push_screen(ErrorPage(message.error))

    # What the user asks

    @on(TabbedContent.TabActivated)
    def _tab_activated(self) -> None:
        self._focus_view()
        self._show_offers()

    def action_show(self, tab: str) -> None:
        """Goes to a tab."""
        self.query_one(TabbedContent).active = tab
        self._focus_view()

    def action_apply(self) -> None:
        """Runs the plan, after asking; goes to the ranking where nothing is to do."""
        plan = self._plan
        if plan is None:
            return
        if not plan.pending and self.state.status == "finished":
            self.notify("Nothing to do: every stage is cached.")
            self.action_show("ranking")
        elif not plan.pending:
            self._apply(True)
        else:
            lines = [f"{summary(plan)}.", "", *(f"{name}: {value}" for name, value in cost_lines(plan.cost))]
            if self._followed == RUNNING:
                lines += ["", "Another process seems to be running this already."]
            self.push_screen(Question("Apply the plan?", lines, yes="Apply (y)", no="Not now (n)"), self._apply)

    def action_stop(self) -> None:
        """Stops the run that was started here."""
        if self._stop is not None:
            self._stop.set()
            self._show_state()

    def action_turn(self, step: int) -> None:
        """Goes to another game's ranking."""
        self.query_one(RankingView).turn(step)
        self._show_state()

    def action_toggle_closed(self) -> None:
        """Goes to the ranking of the retraining game, or back."""
        self.query_one(RankingView).toggle_closed()
        self._show_state()

    def action_reload(self) -> None:
        """Plans anew, or looks at the run anew."""
        if self._source.run is None:
            self._load()
        elif self._followed != RUNNING:
            self._follow(self._source.run)

    def action_help(self) -> None:
        """Shows the keys."""
        self.push_screen(HelpPage())

    async def action_quit(self) -> None:
        """Closes the app; asks first where that stops a run."""
        if self._stop is None:
            self.exit()
        elif not isinstance(self.screen, Question):
            lines = [
                "A run that was started here is going on.",
                "What it has finished is kept; applying again resumes it.",
            ]
            question = Question("Stop the run and quit?", lines, yes="Stop and quit (y)", no="Stay (n)")
            self.push_screen(question, self._stop_and_quit)

    def action_help_quit(self) -> None:
        """Control-C quits as `q` does."""
        self.run_worker(self.action_quit())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers only what can be done now."""
        match action:
            case "apply":
                return self._plan is not None and self._stop is None and not self._loading
            case "stop":
                return self._stop is not None and not self._stop.is_set()
            case "reload":
                return self._stop is None and not self._loading
            case "turn":
                return self._active == "ranking" and len(self.state.games) > 1
            case "toggle_closed":
                return self._active == "ranking" and self.query_one(RankingView).can_close
            case _:
                return True

    # Workers, and what is shown

    def _load(self) -> None:
        self._loading = True
        self._show_state()
        self.run_worker(partial(workers.load, self._source, self.post_message), thread=True, group="load")

    def _follow(self, run: str) -> None:
        work = partial(workers.follow, self._source, run, INTERVAL, self._leaving, self.post_message)
        self.run_worker(work, thread=True, group="follow")

    def _apply(self, agreed: bool | None) -> None:
        if not agreed or self._stop is not None:
            return
        self._stop = Flag()
        self.action_show("run")
        self._show_state()
        work = partial(workers.apply, self._source, self._stop, self.post_message)
        self.run_worker(work, thread=True, group="apply")

    def _stop_and_quit(self, agreed: bool | None) -> None:
        if not agreed:
            return
        self._quitting = True
        if self._stop is None:
            self.exit()
        else:
            self.action_stop()

    @property
    def _active(self) -> str:
        return self.query_one(TabbedContent).active

    def _focus_view(self) -> None:
        views: dict[str, type[Widget]] = {"plan": PlanView, "run": RunView, "ranking": RankingTable}
        self.query_one(views[self._active]).focus()

    def _show_state(self) -> None:
        state, words = self.state, self._words()
        title = f"{state.name or self._source.target}"
        self.query_one("#status", Picture).show(lambda palette, _: status_line(title, state, words, palette))
        rankings = self.query_one(RankingView)
        rankings.show(state)
        self.query_one(RunView).show(state, rankings.game, words)
        self._show_offers()

    def _show_offers(self) -> None:
        """Redraws the footer, which is costly, when other keys than before can be used."""
        offers = tuple(self.check_action(action, ()) for action in ("apply", "stop", "reload", "turn", "toggle_closed"))
        if offers != self._offers:
            self._offers = offers
            self.refresh_bindings()

    def _words(self) -> str:
        state = self.state
        if self._stop is not None and self._stop.is_set():
            return "stopping after the current batch"
        if self._stop is not None or state.status == "running":
            left = time_left(state, self._plan) if state.status == "running" else None
            where = "running" if self._stop is not None else "running in another process"
            return where if left is None else f"{where}, about {duration(left)} left"
        match state.status:
            case "finished" if state.cached or state.seconds is None:
                return "finished"
            case "finished":
                return f"finished in {duration(state.seconds or 0.0)}"
            case "failed":
                return "failed; what is finished is kept"
            case "interrupted":
                return "stopped; what is finished is kept"
        if self._loading:
            return "reading the spec"
        if self._plan is None:
            return "no plan" if self._source.run is None else "looking for the run"
        return summary(self._plan)


def run(
    target: str, *, store: Path | None = None, allow_paths: Sequence[Path] = (), allow_plugins: Sequence[str] = ()
) -> int:
    """Opens the app on a spec, a saved plan or the name of a run; gives the exit code once it is closed.

    Raises SurrogateShapError where standard input or output is not a terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SurrogateShapError(
            "the terminal UI needs a terminal, and standard input or output is none",
            "use `surrogateshap plan`, `apply` and `show` in scripts",
        )
    source = ApiSource(target, store=store, allow_paths=allow_paths, allow_plugins=allow_plugins)
    app = SurrogateShapApp(source)
    app.run()
    return app.return_code or 0
