"""What a session needs from outside, and the door it gets it through."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from surrogateshap.errors import Problem, RunError
from surrogateshap.events import Event, GameInfo
from surrogateshap.plan.model import Plan
from surrogateshap.record.checks import VerifyReport
from surrogateshap.record.comparison import ComparisonReport
from surrogateshap.record.contributor import ContributorData
from surrogateshap.record.results import Results
from surrogateshap.text import harmless
from surrogateshap_tui.jobs import ChildJob, Job
from surrogateshap_tui.made import Made, read_made

if TYPE_CHECKING:
    import numpy as np

RUNNING = "running"
"""The status of a run that some process is executing now."""


@dataclass(frozen=True)
class SpecText:
    """A spec as it stands in its file."""

    path: str
    text: str
    """Empty where it can't be read."""

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """Counted as TOML does."""
        return tuple(self.text.removesuffix("\n").split("\n")) if self.text else ()

    def holds(self, problem: Problem) -> bool:
        """Whether the problem is on a line of it."""
        return problem.file == harmless(self.path, 4096) and 0 < problem.line <= len(self.lines)

    def place(self, problem: Problem) -> str:
        """Where a problem is: the line, and the file where that is another; harmless."""
        if self.holds(problem):
            return f"line {problem.line}"
        return harmless(f"{problem.file}:{problem.line}" if problem.line else problem.file, 500)


class Source(Protocol):
    """One spec, or one run. All methods block and are called from worker threads; all raise SurrogateShapError."""

    @property
    def target(self) -> str:
        """As the user named it."""

    @property
    def run(self) -> str | None:
        """The run's name, where a run was opened; None for a spec."""

    def text(self) -> SpecText | None:
        """The spec's text; None where a run was opened by its name."""

    def plan(self) -> Plan:
        """What applying the spec would do now."""

    def start(self) -> Job:
        """Begins to apply the spec, or goes on with what was interrupted; its events come through `follow`."""

    def results(self) -> Results | None:
        """The results of the finished run; None where there is none."""

    def follow(self, run: str, after: int) -> tuple[Sequence[tuple[int, Event]], str]:
        """The run's events later than number `after`, each with its number, and the run's status."""

    def images(self, run: str, count: int) -> "Sequence[np.ndarray]":
        """The run's newest images, newest first, small: (H, W) or (H, W, 3) uint8."""

    def waits_for(self, run: str) -> str:
        """Name of another run of the same store that some process executes now; empty where there is none."""

    def interrupt(self, run: str) -> None:
        """Asks whichever process applies the run to end after the batch in hand."""

    def verify(self) -> VerifyReport:
        """Checks the finished run's record against the files beside it."""

    def made(self) -> Made:
        """What the finished run's folder says of it."""

    def contributor(self, game: GameInfo, name: str, images: int) -> ContributorData:
        """What a contributor of the finished run is made of, with at most `images` images."""

    def comparisons(self) -> tuple[ComparisonReport, ...]:
        """What other methods said of the finished run, where they were asked; one for each grouping."""


class ApiSource:
    """The source that the `surrogateshap tui` command uses. Raises RunError for a run that doesn't exist."""

    def __init__(
        self, target: str, *, store: Path | None, allow_paths: Sequence[Path], allow_plugins: Sequence[str] = ()
    ) -> None:
        self.target = target
        path = Path(target)
        self.run = None if path.suffix in (".toml", ".json") or path.is_file() else target
        self._spec_file = path
        self._store = store
        self._allow_paths = tuple(allow_paths)
        self._allow_plugins = tuple(allow_plugins)

    def text(self) -> SpecText | None:
        """See Source."""
        from surrogateshap import api

        if self.run is not None:
            return None
        path, text = api.spec_text(Path(self.target), allow_paths=self._allow_paths)
        return SpecText(str(path), text)

    def plan(self) -> Plan:
        """See Source."""
        from surrogateshap import api

        plan = api.plan(
            Path(self.target), store=self._store, allow_paths=self._allow_paths, allow_plugins=self._allow_plugins
        )
        self._spec_file = Path(plan.spec_file)
        return plan

    def start(self) -> Job:
        """See Source."""
        arguments = ["apply", "--yes", "--display", "none"]
        arguments += [f"--store={self._store}"] if self._store is not None else []
        arguments += [f"--allow-path={path}" for path in self._allow_paths]
        arguments += [f"--allow-plugin={name}" for name in self._allow_plugins]
        from surrogateshap import api

        store, began = api.store_folder(self._spec_file, self._store), time.time()

        def find(pid: int) -> str | None:
            return api.run_of_process(pid, store=store, since=began)

        return ChildJob([*arguments, "--", self.target], find)

    def results(self) -> Results | None:
        """See Source."""
        from surrogateshap import api

        try:
            return api.show(self.target, store=self._store)
        except RunError:
            return None

    def follow(self, run: str, after: int) -> tuple[Sequence[tuple[int, Event]], str]:
        """See Source."""
        from surrogateshap import api

        return api.follow(run, store=self._where(), after=after)

    def images(self, run: str, count: int) -> "Sequence[np.ndarray]":
        """See Source."""
        from surrogateshap import api

        return api.newest_images(run, count, store=self._where())

    def waits_for(self, run: str) -> str:
        """See Source."""
        from surrogateshap import api

        others = (one for one in api.runs(store=self._where()) if one.run != run and one.status == RUNNING)
        return next((one.run for one in others), "")

    def interrupt(self, run: str) -> None:
        """See Source."""
        from surrogateshap import api

        api.stop(run, store=self._where())

    def verify(self) -> VerifyReport:
        """See Source."""
        from surrogateshap import api

        return api.verify(api.run_folder(self.target, store=self._store))

    def made(self) -> Made:
        """See Source."""
        from surrogateshap import api

        return read_made(api.run_folder(self.target, store=self._store))

    def comparisons(self) -> tuple[ComparisonReport, ...]:
        """See Source."""
        from surrogateshap import api

        return api.comparisons(self.target, store=self._store)

    def contributor(self, game: GameInfo, name: str, images: int) -> ContributorData:
        """See Source."""
        from surrogateshap import api

        return api.contributor(
            self.target,
            game,
            name,
            store=self._store,
            images=images,
            allow_paths=self._allow_paths,
            allow_plugins=self._allow_plugins,
        )

    def _where(self) -> Path | None:
        """A spec's runs are kept beside it; a run opened by its name is looked for where the command looks."""
        from surrogateshap import api

        return self._store if self.run is not None else api.store_folder(self._spec_file, self._store)
