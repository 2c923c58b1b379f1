"""What Home lists: the specs of a folder and the runs of its stores; and what can be done with them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from surrogateshap import units
from surrogateshap.errors import RunError, SpecError
from surrogateshap.runs import Cleanup, RunSummary
from surrogateshap.text import harmless
from surrogateshap_tui.source import ApiSource, Source

if TYPE_CHECKING:
    from surrogateshap.plan.glance import Glance  # which reads tables, and takes a while to import
    from surrogateshap.record.diff import Diff

_MOST_SPECS = 500


@dataclass(frozen=True)
class Listing:
    """What there is; `note` says why no run is listed, where that is no choice."""

    specs: tuple[str, ...]
    runs: tuple[RunSummary, ...]
    note: str = ""
    spec_of: tuple[str, ...] = ()
    """Of each run, its spec's path as `specs` has it; empty where it is not there, or outside the folder."""

    @property
    def pairs(self) -> tuple[tuple[RunSummary, str], ...]:
        """Each run with its spec's path."""
        return tuple(zip(self.runs, self.spec_of, strict=True))

    def spec(self, run: str) -> str:
        """The path of a run's spec; empty where there is none."""
        return next((spec for one, spec in self.pairs if one.run == run), "")

    def last_run(self, spec: str) -> RunSummary | None:
        """Of a spec."""
        return next((one for one, found in self.pairs if found == spec), None)

    def of(self, pairs: Iterable[tuple[RunSummary, str]]) -> "Listing":
        """With these runs."""
        kept = tuple(pairs)
        return replace(self, runs=tuple(run for run, _ in kept), spec_of=tuple(spec for _, spec in kept))


@dataclass(frozen=True)
class About:
    """What a spec says of itself, in words."""

    name: str = ""
    words: str = ""
    problems: int = 0
    """Found in passing; a plan may find more."""


class Library(Protocol):
    """A folder with specs and stores. All but `open` blocks and is called from worker threads; raises RunError."""

    @property
    def folder(self) -> str:
        """As the user named it."""

    def listing(self) -> Listing:
        """Specs by name, and runs, the one that last began or ended first."""

    def about(self, spec: str) -> About:
        """What a listed spec says; read once, and again when its file changes."""

    def open(self, target: str) -> Source:
        """A spec, a saved plan or a run. Reads nothing yet."""

    def diff(self, old: str, new: str) -> "Diff":
        """What differs between two specs, saved plans or runs."""

    def forget(self, run: str) -> None:
        """Takes a listed run out of its store, with its results."""

    def stop(self, run: str) -> None:
        """Asks the process that applies a listed run to end after the batch in hand."""

    def free(self, *, dry_run: bool) -> tuple[Cleanup, ...]:
        """Deletes what no run of the folder's stores needs, or tells how much that is."""

    def create(self, name: str) -> str:
        """Writes a commented spec into the folder; returns its path."""

    def move(self, folder: str) -> None:
        """Lists another folder from now on."""


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
        self._abouts: dict[str, tuple[int, About]] = {}
        """With the time of the file that it was read from."""

    def listing(self) -> Listing:
        """See Library."""
        from surrogateshap import api

        below = self._root / "specs"
        found = [path for folder in (self._root, below) for path in sorted(folder.glob("*.toml")) if _is_spec(path)]
        runs: dict[str, RunSummary] = {}
        notes = []
        for store in self._folders(found):
            try:
                listed = api.runs(store)
            except RunError as error:
                notes.append(error.message)
                continue
            for run in listed:  # the same spec in two folders makes runs of one name; the newer one is listed
                if run.run not in runs or runs[run.run].updated < run.updated:
                    runs[run.run], self._stores[run.run] = run, store
        ordered = tuple(sorted(runs.values(), key=lambda run: -run.updated))
        specs = tuple(str(path) for path in found[:_MOST_SPECS])
        spec_of = tuple(self._spec_of(run, specs) for run in ordered)
        return Listing(specs, ordered, "" if ordered else "; ".join(notes), spec_of)

    def about(self, spec: str) -> About:
        """See Library."""
        from surrogateshap import api

        try:
            changed = Path(spec).stat().st_mtime_ns
        except OSError:
            return About()
        if spec not in self._abouts or self._abouts[spec][0] != changed:
            try:
                about = _in_words(api.glance(Path(spec), allow_paths=self._allow_paths))
            except SpecError as error:
                about = About(problems=len(error.problems))
            self._abouts[spec] = changed, about
        return self._abouts[spec][1]

    def open(self, target: str) -> Source:
        """See Library."""
        store = self._store or self._stores.get(target)
        return ApiSource(target, store=store, allow_paths=self._allow_paths, allow_plugins=self._allow_plugins)

    def diff(self, old: str, new: str) -> "Diff":
        """See Library."""
        from surrogateshap import api

        old_store, new_store = (self._store or self._stores.get(target) for target in (old, new))
        return api.diff(
            old,
            new,
            store=old_store,
            new_store=new_store,
            allow_paths=self._allow_paths,
            allow_plugins=self._allow_plugins,
        )

    def forget(self, run: str) -> None:
        """See Library."""
        from surrogateshap import api

        api.forget([run], store=self._stores.get(run, self._store))

    def stop(self, run: str) -> None:
        """See Library."""
        from surrogateshap import api

        api.stop(run, store=self._stores.get(run, self._store))

    def free(self, *, dry_run: bool) -> tuple[Cleanup, ...]:
        """See Library."""
        from surrogateshap import api

        stores = self._folders([Path(spec) for spec in self.listing().specs])
        if not stores:
            raise RunError("there is no store here", "One is made where a spec is applied.")
        return tuple(api.gc(store=store, dry_run=dry_run) for store in stores)

    def create(self, name: str) -> str:
        """See Library."""
        from surrogateshap import api

        path = self._root / (name if name.endswith(".toml") else f"{name}.toml")
        shown = harmless(str(path), 1000)
        try:
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(api.template())
        except FileExistsError:
            raise RunError(f"{shown} is there already", "Choose another name.") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise RunError(f"{shown} can't be written: {reason}", "Choose another name.") from None
        return str(path)

    def move(self, folder: str) -> None:
        """See Library."""
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise RunError(f"{harmless(folder)} is not a folder", "Name one that is there.")
        self.folder, self._root = str(path), path

    def _spec_of(self, run: RunSummary, specs: Sequence[str]) -> str:
        """A store may come from a stranger: no spec is followed out of the folders that the user named."""
        named = Path(run.spec_file)
        places = [path.resolve() for path in (self._root, Path(), *self._allow_paths)]
        for path in (named, self._stores[run.run].parent / named.name):
            try:
                real = path.resolve()
                if path.is_file() and any(real.is_relative_to(place) for place in places):
                    return next((spec for spec in specs if Path(spec).samefile(real)), str(path))
            except (OSError, ValueError):
                continue
        return ""

    def _folders(self, specs: Sequence[Path]) -> list[Path]:
        from surrogateshap import api

        if self._store is not None:
            return [self._store]
        beside = dict.fromkeys(api.store_folder(spec, None) for spec in (self._root / "spec.toml", *specs))
        return [folder for folder in beside if folder.is_dir()]


def _is_spec(path: Path) -> bool:
    """Other TOML files lie about, such as pyproject.toml."""
    try:
        if not path.is_file():  # opening a named pipe would wait for ever
            return False
        with path.open("rb") as file:
            return b"spec_version" in file.read(1 << 16)
    except OSError:
        return False


def _in_words(seen: "Glance") -> About:
    groupings = ", ".join(f"{units.count(number)} by {harmless(name, 40)}" for name, number in seen.groupings)
    utilities = len(seen.utilities)
    return About(seen.name, f"{groupings}; {utilities} {'utility' if utilities == 1 else 'utilities'}")
