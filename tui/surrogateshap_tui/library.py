"""What Home lists: the specs of a folder and the runs of its stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from surrogateshap.errors import RunError
from surrogateshap.runs import RunSummary
from surrogateshap_tui.source import ApiSource, Source

_MOST_SPECS = 500


@dataclass(frozen=True)
class Listing:
    """What there is; `note` says why no run is listed, where that is no choice."""

    specs: tuple[str, ...]
    runs: tuple[RunSummary, ...]
    note: str = ""


class Library(Protocol):
    """A folder with specs and stores. `listing` blocks and is called from a worker thread."""

    @property
    def folder(self) -> str:
        """As the user named it."""

    def listing(self) -> Listing:
        """Specs by name, and runs, the one that last began or ended first."""

    def open(self, target: str) -> Source:
        """A spec, a saved plan or a run. Reads nothing yet."""


class ApiLibrary:
    """The library that the `surrogateshap tui` command uses."""

    def __init__(
        self, folder: Path, *, store: Path | None, allow_paths: Sequence[Path] = (), allow_plugins: Sequence[str] = ()
    ) -> None:
        self.folder = str(folder)
        self._root, self._store = folder, store
        self._allow_paths, self._allow_plugins = tuple(allow_paths), tuple(allow_plugins)
        self._stores: dict[str, Path] = {}
        """Where each listed run is kept."""

    def listing(self) -> Listing:
        """See Library."""
        from surrogateshap import api

        below = self._root / "specs"
        found = [path for folder in (self._root, below) for path in sorted(folder.glob("*.toml")) if _is_spec(path)]
        runs: list[RunSummary] = []
        notes = []
        for store in self._folders(found):
            try:
                listed = api.runs(store)
            except RunError as error:
                notes.append(error.message)
                continue
            self._stores.update((run.run, store) for run in listed)
            runs += listed
        runs.sort(key=lambda run: -run.updated)
        return Listing(tuple(str(path) for path in found[:_MOST_SPECS]), tuple(runs), "" if runs else "; ".join(notes))

    def open(self, target: str) -> Source:
        """See Library."""
        store = self._store or self._stores.get(target)
        return ApiSource(target, store=store, allow_paths=self._allow_paths, allow_plugins=self._allow_plugins)

    def _folders(self, specs: Sequence[Path]) -> list[Path]:
        from surrogateshap import api

        if self._store is not None:
            return [self._store]
        beside = dict.fromkeys(api.store_folder(spec, None) for spec in (self._root / "spec.toml", *specs))
        return [folder for folder in beside if folder.is_dir()]


def _is_spec(path: Path) -> bool:
    """Other TOML files lie about, such as pyproject.toml."""
    try:
        with path.open("rb") as file:
            return b"spec_version" in file.read(1 << 16)
    except OSError:
        return False
