"""The app: opens screens, keeps the sessions that outlive them, and shows errors."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.message import Message
from textual.screen import ModalScreen

from surrogateshap.errors import InterruptedRun, SurrogateShapError
from surrogateshap.record.results import Results
from surrogateshap.text import harmless
from surrogateshap_tui.copying import takes_copies, write_copy
from surrogateshap_tui.exporting import export, free_name
from surrogateshap_tui.graphics import Graphics, find
from surrogateshap_tui.library import ApiLibrary, Library, Listing
from surrogateshap_tui.messages import (
    Copy,
    Failed,
    FromSession,
    LoadFailed,
    OpenComparison,
    OpenDetail,
    OpenMethods,
    OpenTarget,
    RecordVerified,
    RunEnded,
    StopFailed,
)
from surrogateshap_tui.palette import PROVIDERS
from surrogateshap_tui.screens.compare import CompareScreen
from surrogateshap_tui.screens.detail import DetailScreen
from surrogateshap_tui.screens.dialogs import ErrorPage, HelpPage, Question, keys_of
from surrogateshap_tui.screens.export import ExportDialog, Wanted
from surrogateshap_tui.screens.home import HomeScreen
from surrogateshap_tui.screens.methods import MethodsScreen
from surrogateshap_tui.screens.workspace import WorkspaceScreen
from surrogateshap_tui.session import Session, told
from surrogateshap_tui.theme import DARK, LIGHT, ROUND

_BROWSER = "textual.drivers.web_driver:WebDriver"
"""The driver that textual-serve asks for: standard input and output are then pipes to it."""
_QUIT = "quit; asks while a run that was started here is going"


class SurrogateShapApp(App[None]):
    """Starts at Home, or in the workspace of `target`."""

    CSS_PATH = "app.tcss"
    TITLE = "surrogateshap"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {*PROVIDERS}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "next_theme", "Theme", show=False, tooltip="another theme: dark, light, the terminal's colours"),
        Binding("ctrl+p", "command_palette", "Commands", show=False, tooltip="commands: go to, open, find, export"),
        Binding("x", "export", "Export", show=False, tooltip="write the results to a file"),
        Binding("question_mark", "help", "Help", key_display="?", tooltip="these keys"),
        Binding("q", "quit", "Quit", tooltip=_QUIT),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True, tooltip=_QUIT),
    ]

    def __init__(self, library: Library, target: str | None = None, graphics: Graphics | None = None) -> None:
        super().__init__()
        self.graphics = graphics
        """How thumbnails are drawn where the terminal shows real images."""
        self.sessions: dict[str, Session] = {}
        """By target: those that a workspace shows, and those whose run was started here and goes on."""
        self._library = library
        self._target = target
        self._home = HomeScreen(library)
        self._quitting = False
        self._copied = ""

    def on_mount(self) -> None:
        """Opens the first screen."""
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name
        if self._target is None:
            self.push_screen(self._home)
        else:
            self._open(OpenTarget(self._target))

    def on_unmount(self) -> None:
        """Lets the threads end. Runs go on."""
        for session in self.sessions.values():
            session.leave()

    # For screens, sessions and the palette

    @property
    def workspace(self) -> WorkspaceScreen | None:
        """The workspace that is in sight, or below a dialog or a detail."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, WorkspaceScreen)), None)

    @property
    def listing(self) -> Listing:
        """What Home found last."""
        return self._home.listing

    def in_thread(self, work: Callable[[], None]) -> None:
        """See Host."""
        self.run_worker(work, thread=True)

    def post(self, message: Message) -> object:
        """See Host."""
        return self.post_message(message)

    def later(self, seconds: float, call: Callable[[], None]) -> object:
        """See Host."""
        return self.set_timer(seconds, call)

    def show_tab(self, tab: str) -> None:
        """Goes to a tab of the workspace."""
        workspace = self.workspace
        if workspace is not None:
            while self.screen is not workspace:
                self.pop_screen()
            workspace.action_show(tab)

    def export(self, kind: str) -> None:
        """Writes the workspace's results to a file of the working directory that isn't there yet."""
        results = self.workspace.session.results if self.workspace is not None else None
        if results is not None:
            self._write(results, Wanted(kind, free_name(Path.cwd(), results.run, kind)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers only what can be done now."""
        return (self.workspace is not None and self.workspace.session.results is not None) or action != "export"

    def action_export(self) -> None:
        """Asks in what format and where the results are written; before a file is replaced, again."""
        results = self.workspace.session.results if self.workspace is not None else None
        if results is None or isinstance(self.screen, ModalScreen):
            return

        def wanted(answer: Wanted | None) -> None:
            if answer is None:
                return
            if not answer.path.exists():
                self._write(results, answer)
                return
            lines = [harmless(str(answer.path), 500), "", "It is there already."]
            question = Question("Replace the file?", lines, {"n": "Keep it", "y": "Replace it"})
            self.push_screen(question, lambda said: self._write(results, answer, replace=True) if said == "y" else None)

        self.push_screen(ExportDialog(results.run, Path.cwd()), wanted)

    def _write(self, results: Results, wanted: Wanted, *, replace: bool = False) -> None:
        try:
            path = export(results, wanted.kind, wanted.path, replace=replace)
        except SurrogateShapError as error:
            self.push_screen(ErrorPage(error))
            return
        self.notify(harmless(str(path), 500), title="Written", markup=False)

    @on(Copy)
    def _copy(self, message: Copy) -> None:
        """To the clipboard; to a file where the terminal takes nothing, or where the same is asked for twice."""
        if message.text != self._copied and takes_copies(message.text, os.environ):
            self._copied = message.text
            self.copy_to_clipboard(message.text)
            said = "Where the terminal doesn't take it, the same key again writes it to a file."
            self.notify(said, title=f"Copied {message.what}", markup=False)
            return
        self._copied = ""
        try:
            path = write_copy(message.text, Path.cwd(), message.name)
        except SurrogateShapError as error:
            self.push_screen(ErrorPage(error))
            return
        self.notify(harmless(str(path), 500), title=f"Written {message.what}", markup=False)

    # What sessions say

    @on(FromSession)
    def _from_session(self, message: FromSession) -> None:
        if not self.is_running:  # being closed: screens lose their parts now
            return
        session = message.session
        session.take(message)
        match message:
            case LoadFailed() if session.problems:
                pass  # they are shown on the lines of the spec
            case LoadFailed(error=error) | RecordVerified(error=SurrogateShapError() as error):
                self.push_screen(ErrorPage(error))
            case StopFailed(error=error):
                self.push_screen(ErrorPage(error))
            case RunEnded():
                self._run_ended(session, message)
        if isinstance(self.screen, Question) and self.screen.moot():
            self.screen.dismiss("")

    def _run_ended(self, session: Session, message: RunEnded) -> None:
        if self._quitting and not self._jobs:
            self.exit()
            return
        seen = any(
            one.session is session for one in self.screen_stack if isinstance(one, WorkspaceScreen | DetailScreen)
        )
        if message.error is not None and not isinstance(message.error, InterruptedRun):
            self.push_screen(ErrorPage(told(session, message.error)))
        elif message.results is not None and not seen:
            self.notify(f"{session.title} has finished.", markup=False)
        if not seen:
            self._drop(session)

    # Where users go

    @on(OpenTarget)
    def _open(self, message: OpenTarget) -> None:
        session, before = self._opened(message.target), self.workspace
        if before is not None and before.session is not session and before.session.job is None:
            self._drop(before.session)
        if session is None:
            session = self.sessions[message.target] = Session(self._library.open(message.target), self)
            session.open()
        while len(self.screen_stack) > 1 and self.screen is not self._home:
            self.pop_screen()
        self.push_screen(WorkspaceScreen(session, message.tab, ask=message.ask))

    def _opened(self, target: str) -> Session | None:
        """The session that there is of it: a run that was started here is also known by its name."""
        sessions = self.sessions.values()
        named = (one for one in sessions if target in (one.source.target, one.state.run))
        return next(named, None) or next((one for one in sessions if _same_file(target, one.source.target)), None)

    @on(OpenDetail)
    def _open_detail(self, message: OpenDetail) -> None:
        if isinstance(self.screen, DetailScreen):
            self.pop_screen()
        self.push_screen(DetailScreen(message.session, message.name))

    @on(OpenMethods)
    def _open_methods(self, message: OpenMethods) -> None:
        self.push_screen(MethodsScreen(message.session.source))

    @on(OpenComparison)
    def _open_comparison(self, message: OpenComparison) -> None:
        self.push_screen(CompareScreen(self._library.open(message.left), self._library.open(message.right)))

    @on(Failed)
    def _failed(self, message: Failed) -> None:
        self.push_screen(ErrorPage(message.error))

    def action_home(self) -> None:
        """Goes Home; what was started goes on."""
        workspace = self.workspace
        while len(self.screen_stack) > 1 and self.screen is not self._home:
            self.pop_screen()
        if self.screen is not self._home:
            self.push_screen(self._home)
        if workspace is not None and workspace.session.job is None:
            self._drop(workspace.session)

    def action_leave(self) -> None:
        """Leaves a detail or a comparison; from a workspace, goes Home."""
        if isinstance(self.screen, WorkspaceScreen):
            self.action_home()
        else:
            self.pop_screen()

    def action_next_theme(self) -> None:
        """Goes through the themes."""
        at = ROUND.index(self.theme) if self.theme in ROUND else -1
        self.theme = ROUND[(at + 1) % len(ROUND)]

    def action_help(self) -> None:
        """Shows the keys of the screen."""
        if not isinstance(self.screen, HelpPage):
            self.push_screen(HelpPage(keys_of(self.screen)))

    async def action_quit(self) -> None:
        """Closes the app; asks first where a run that was started here is going."""
        if not self._jobs:
            self.exit()
        elif not isinstance(self.screen, Question):
            names = ", ".join(session.title for session in self._jobs)
            lines = [
                f"A run that was started here is going: {names}",
                "It can go on without this window; `surrogateshap tui` attaches to it again.",
                "Stopped, it keeps what it has finished; applying again goes on from there.",
            ]
            answers = {"b": "Go on in the background", "s": "Stop", "n": "Stay"}
            question = Question("Quit while a run is going?", lines, answers, moot=lambda: not self._jobs)
            self.push_screen(question, self._quit)

    def action_help_quit(self) -> None:
        """Control-C quits as `q` does."""
        self.run_worker(self.action_quit())

    def _quit(self, answer: str | None) -> None:
        if answer == "s" and self._jobs:
            self._quitting = True
            for session in self._jobs:
                session.stop()
        elif answer in ("b", "s"):
            self.exit()

    @property
    def _jobs(self) -> list[Session]:
        return [session for session in self.sessions.values() if session.job is not None]

    def _drop(self, session: Session) -> None:
        session.leave()
        self.sessions.pop(session.source.target, None)


def _same_file(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):
        return False


def run(
    target: str | None,
    *,
    store: Path | None = None,
    allow_paths: Sequence[Path] = (),
    allow_plugins: Sequence[str] = (),
) -> int:
    """Opens the app at Home (of a folder, or of the working directory), or on a spec, a saved plan or a run.

    Gives the exit code once it is closed. Raises SurrogateShapError where standard input or output is not a terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) and os.environ.get("TEXTUAL_DRIVER") != _BROWSER:
        raise SurrogateShapError(
            "the terminal UI needs a terminal, and standard input or output is none",
            "use `surrogateshap plan`, `apply` and `show` in scripts",
        )
    folder = Path(target) if target is not None and Path(target).is_dir() else None
    library = ApiLibrary(folder or Path(), store=store, allow_paths=allow_paths, allow_plugins=allow_plugins)
    app = SurrogateShapApp(library, None if folder is not None else target, find())
    app.run()
    return app.return_code or 0
