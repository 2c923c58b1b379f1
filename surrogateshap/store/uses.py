"""Which objects each run needs, so that those that no run needs can be let go."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from surrogateshap.errors import RunError
from surrogateshap.store.database import Database


class UseTable:
    """The part of a store that knows what each run uses, and the transactions of the other parts.

    Inside `using`, an object counts as used from the first transaction after it was kept or found: the one that names
    a new object in the index, at the latest. So a kill leaves no object that can be found and that nobody uses.
    """

    _database: Database

    def __init__(self) -> None:
        self._user: str | None = None
        self._noted: set[str] = set()
        self._written: set[str] = set()
        self._noting = threading.Lock()

    @contextmanager
    def using(self, run: str) -> Iterator[None]:
        """All objects that this store keeps or finds inside, in whichever thread, are used by the run."""
        if self._user is not None:
            raise ValueError(f"run {self._user!r} uses this store already")
        self._user = run
        try:
            yield
            with self._writing():
                pass
        except BaseException:
            with suppress(RunError), self._writing():  # the first error is the one to be told
                pass
            raise
        finally:
            self._user, self._noted, self._written = None, set(), set()

    def use(self, run: str, digests: Iterable[str]) -> None:
        """Says that the run needs these objects; saying it again changes nothing."""
        with self._database.write() as connection:
            _insert(connection, run, digests)

    def used(self, run: str) -> frozenset[str]:
        """Digests of all objects that the run is known to need."""
        if not self._database.keeps_uses():
            return frozenset()
        return frozenset(digest for (digest,) in self._database.read("SELECT digest FROM uses WHERE run = ?", (run,)))

    def _note(self, digests: Iterable[str]) -> None:
        if self._user is not None:
            with self._noting:
                self._noted.update(digest for digest in digests if digest not in self._written)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that tells what was used before it, too."""
        with self._noting:
            noted = tuple(self._noted)
        with self._database.write() as connection:
            if self._user is not None:
                _insert(connection, self._user, noted)
            yield connection
        with self._noting:
            self._noted.difference_update(noted)
            self._written.update(noted)


def _insert(connection: sqlite3.Connection, run: str, digests: Iterable[str]) -> None:
    connection.executemany("INSERT OR IGNORE INTO uses (run, digest) VALUES (?, ?)", ((run, one) for one in digests))
