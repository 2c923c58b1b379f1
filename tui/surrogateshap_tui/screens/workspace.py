"""The workspace: all that is known of one spec or run, in five tabs."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Footer, TabbedContent, TabPane, Tabs

from surrogateshap_tui.messages import (
    FromSession,
    LoadFailed,
    OpenDetail,
    OpenMethods,
    PlanLoaded,
    RunEnded,
    RunFollowed,
)
from surrogateshap_tui.plan_text import cost_lines, summary
from surrogateshap_tui.screens.dialogs import Question
from surrogateshap_tui.screens.page import Page
from surrogateshap_tui.session import Session
from surrogateshap_tui.source import RUNNING
from surrogateshap_tui.views.diagnostics import DiagnosticsView
from surrogateshap_tui.views.plan import PlanView
from surrogateshap_tui.views.ranking import RankingView
from surrogateshap_tui.views.record import RecordView
from surrogateshap_tui.views.run import RunView
from surrogateshap_tui.widgets.picture import Picture
from surrogateshap_tui.widgets.ranking_table import RankingTable
from surrogateshap_tui.widgets.status_line import status_line

View = PlanView | RunView | RankingView | DiagnosticsView | RecordView
VIEWS: dict[str, type[View]] = {
    "plan": PlanView,
    "run": RunView,
    "ranking": RankingView,
    "diagnostics": DiagnosticsView,
    "record": RecordView,
}
"""The tabs, in the order of their number keys."""
_TABS = "the tabs, from left to right"
_GAMES = "the previous game, the next one"
_OFFERED = ("apply", "stop", "pause", "go_on", "reload", "turn", "toggle_closed", "verify")


class _Views(TabbedContent):
    """Tabs that change when they are asked to.

    Textual's also go to the pane in which something is focused: back to one that was just hidden, where the focus went
    on to its next part.
    """

    def _on_tab_pane_focused(self, event: TabPane.Focused) -> None:
        event.prevent_default().stop()


class WorkspaceScreen(Page):
    """Shows a session, and asks it to do what the user wants."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(at), f"show('{tab}')", tab.capitalize(), show=False, tooltip=_TABS)
            for at, tab in enumerate(VIEWS, 1)
        ),
        Binding("a", "apply", "Apply", tooltip="apply the plan, or go on with it; asks first"),
        Binding(
            "p",
            "pause",
            "Pause",
            tooltip="pause: the run ends after the batch in hand, what is finished is kept, and p goes on from there",
        ),
        Binding("p", "go_on", "Go on", tooltip="go on with the paused run"),
        Binding("s", "stop", "Stop", tooltip="stop the run after the batch in hand; again, at once"),
        Binding("left_square_bracket", "turn(-1)", "Game", key_display="[ ]", tooltip=_GAMES),
        Binding("right_square_bracket", "turn(1)", "Game", key_display="[ ]", tooltip=_GAMES, show=False),
        Binding("c", "toggle_closed", "Retrained", tooltip="proxy game; retraining game, from anchors"),
        Binding("m", "methods", "Methods", show=False, tooltip="what other methods say of the same contributors"),
        Binding("v", "verify", "Verify", tooltip="check the record against its files"),
        Binding("r", "reload", "Reload", tooltip="read the spec again and plan anew"),
    ]

    def __init__(self, session: Session, tab: str = "", *, ask: bool = False) -> None:
        super().__init__()
        self.session = session
        self._first = tab or ("run" if session.source.run or session.running else "plan")
        self._ask = ask
        self._offers: tuple[bool | None, ...] = ()

    def compose(self) -> ComposeResult:
        """See Screen."""
        yield Picture(id="status")
        with _Views(initial=self._first):
            for number, (tab, view) in enumerate(VIEWS.items(), 1):
                with TabPane(f"{number} {tab.capitalize()}", id=tab):
                    yield view()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Shows what is known already."""
        self.query_one(Tabs).can_focus = False
        self.session.listen(self._session_changed)
        self._show_session()
        self._ask_once()

    def on_unmount(self) -> None:
        """The session goes on without this screen."""
        self.session.unlisten(self._session_changed)

    @property
    def tab(self) -> str:
        """The tab that is in sight."""
        return self.query_one(TabbedContent).active

    # What the session says

    def _session_changed(self, message: FromSession | None) -> None:
        match message:
            case RunEnded() if message.results is not None and self.tab == "run":
                self.action_show("ranking")
            case RunFollowed() if message.status == RUNNING:
                self.action_show("run")
            case PlanLoaded():
                self._ask_once()
            case LoadFailed() if self.session.problems:
                self.action_show("plan")
        self._show_session()

    def _show_session(self) -> None:
        session = self.session
        title, state, words = session.title, session.state, session.words
        self.query_one("#status", Picture).show(lambda palette, _: status_line(title, state, words, palette))
        self._show_view()
        self._show_offers()

    def _show_view(self) -> None:
        tab = self.tab
        if tab in VIEWS:
            self.query_one(VIEWS[tab]).show(self.session)
        if tab == "record" and not self.session.looked:
            self.session.verify()

    def _show_offers(self) -> None:
        """Redraws the footer, which is costly, when other keys than before can be used."""
        offers = tuple(self.check_action(action, ()) for action in _OFFERED)
        if offers != self._offers:
            self._offers = offers
            self.refresh_bindings()

    def _focus_view(self) -> None:
        views: dict[str, type[Widget]] = {**VIEWS, "ranking": RankingTable}
        if self.tab in views:
            self.query_one(views[self.tab]).focus()

    # What the user asks

    @on(TabbedContent.TabActivated)
    def _tab_activated(self) -> None:
        self._focus_view()
        self._show_view()
        self._show_offers()

    @on(RankingTable.Opened)
    def _contributor_opened(self, message: RankingTable.Opened) -> None:
        self.post_message(OpenDetail(self.session, message.place.name))

    def action_show(self, tab: str) -> None:
        """Goes to a tab."""
        self.query_one(TabbedContent).active = tab
        self._focus_view()

    def action_apply(self) -> None:
        """Runs the plan, after asking; goes to the ranking where nothing is to do."""
        session, plan = self.session, self.session.plan
        if plan is None:
            return
        if not plan.pending and session.state.status == "finished":
            self.notify("Nothing to do: every stage is cached.")
            self.action_show("ranking")
        elif not plan.pending:
            self._apply("y")
        else:
            lines = [f"{summary(plan)}.", "", *(f"{name}: {value}" for name, value in cost_lines(plan))]
            if session.followed == RUNNING:
                lines += ["", "Another process seems to be running this already."]
            answers, followed = {"y": "Apply", "n": "Not now"}, session.followed

            def moot() -> bool:
                return session.plan is not plan or session.followed != followed

            self.app.push_screen(Question("Apply the plan?", lines, answers, moot), self._apply)

    def action_pause(self) -> None:
        """Pauses the run that was started here."""
        self.session.stop(pause=True)

    def action_go_on(self) -> None:
        """Goes on with the paused run."""
        self._apply("y")

    def action_stop(self) -> None:
        """Stops the run that was started here; one that was started elsewhere, after asking."""
        session = self.session
        if session.job is not None:
            session.stop()
            return
        lines = [session.state.run, "", "Another process works on it: a run in the background, or another window."]
        lines.append("It ends after the batch in hand. What is finished is kept; applying again goes on from there.")

        def stop(answer: str | None) -> None:
            if answer == "y":
                session.interrupt()

        answers = {"n": "Let it run", "y": "Stop it"}
        self.app.push_screen(Question("Stop the run?", lines, answers, moot=lambda: not session.running), stop)

    def action_turn(self, step: int) -> None:
        """Goes to another game."""
        self.session.turn(step)

    def action_toggle_closed(self) -> None:
        """Goes to the ranking of the retraining game, or back."""
        self.session.toggle_closed()

    def action_methods(self) -> None:
        """Opens the methods beside each other."""
        self.post_message(OpenMethods(self.session))

    def action_verify(self) -> None:
        """Checks the record."""
        self.session.verify()

    def action_reload(self) -> None:
        """Plans anew, or looks at the run anew."""
        self.session.reload()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers only what can be done now."""
        session = self.session
        match action:
            case "apply":
                return session.plan is not None and session.job is None and not session.loading
            case "pause":
                return session.job is not None and not session.stopping
            case "go_on":
                return session.job is None and session.paused
            case "stop":
                return session.job is not None or (session.running and not session.stopping)
            case "reload":
                return session.job is None and not session.loading
            case "turn":
                return self.tab in ("run", "ranking", "diagnostics") and len(session.state.games) > 1
            case "toggle_closed":
                return self.tab == "ranking" and session.can_close
            case "methods":
                return session.results is not None
            case "verify":
                return self.tab == "record" and session.results is not None and not session.verifying
            case _:
                return True

    def _apply(self, answer: str | None) -> None:
        if answer == "y":
            self.action_show("run")
            self.session.start()

    def _ask_once(self) -> None:
        if self._ask and self.session.plan is not None and self.session.job is None:
            self._ask = False
            self.action_apply()
