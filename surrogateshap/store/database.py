"""One SQLite file: connections for each thread, transactions, schema, and errors in the user's words."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from surrogateshap.errors import RunError
from surrogateshap.store.objects import read_only_error
from surrogateshap.text import harmless

SCHEMA_VERSION = 2
_BUSY_SECONDS = 30.0
_USES = "CREATE TABLE uses (run TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (run, digest)) WITHOUT ROWID"
_SCHEMA = f"""
CREATE TABLE artifacts (key TEXT PRIMARY KEY, digest TEXT NOT NULL, stage TEXT NOT NULL, created REAL NOT NULL)
    WITHOUT ROWID;
CREATE TABLE images (key TEXT PRIMARY KEY, digest TEXT NOT NULL, slot INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    run TEXT NOT NULL UNIQUE, name TEXT NOT NULL, plan_id TEXT NOT NULL, spec_digest TEXT NOT NULL,
    spec_file TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
    pid INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, plan TEXT NOT NULL, results TEXT, record TEXT);
CREATE INDEX runs_by_spec ON runs (spec_digest);
CREATE INDEX runs_by_file ON runs (spec_file);
CREATE TABLE events (id INTEGER PRIMARY KEY, run TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL);
CREATE INDEX events_by_run ON events (run, id);
CREATE TABLE rates (
    kind TEXT NOT NULL, subject TEXT NOT NULL, device TEXT NOT NULL, units REAL NOT NULL, seconds REAL NOT NULL,
    updated REAL NOT NULL, PRIMARY KEY (kind, subject, device)) WITHOUT ROWID;
{_USES};
"""
_STEPS = {1: _USES}
"""From each older version to the next."""


class Database:
    """The file `path`. Every (process, thread) has a connection of its own."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self._read_only = read_only
        self._connections: dict[tuple[int, int | None], tuple[sqlite3.Connection, object]] = {}

    def prepare(self) -> None:
        """Makes the tables where there are none or older ones. Raises RunError where a newer version made them."""
        with self.write() as connection:
            found = self._version(connection)
            steps = [_STEPS[version] for version in range(found, SCHEMA_VERSION)] if found else _SCHEMA.split(";")
            for statement in steps:
                connection.execute(statement)
            if steps:
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def prepared(self) -> bool:
        """Whether the tables are there. Raises RunError where a newer version made them."""
        with self._errors():
            return self._version(self._connection()) > 0

    def keeps_uses(self) -> bool:
        """Whether the file tells what runs use; one that is only read may be of an older version that doesn't."""
        with self._errors():
            return self._version(self._connection()) > 1

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of one query. Raises RunError."""
        with self._errors():
            return self._connection().execute(sql, parameters).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it happens, or nothing where an exception leaves it. Raises RunError."""
        if self._read_only:
            raise read_only_error(self.path)
        with self._errors():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def close(self) -> None:
        """Closes this process's connections. One inherited through a fork is left to the process that made it."""
        own = [self._connections.pop(key)[0] for key in list(self._connections) if key[0] == os.getpid()]
        if own and not self._read_only:  # readers elsewhere may keep the WAL alive; what it holds belongs in the file
            with suppress(sqlite3.Error):  # there is no room: then it stays in the WAL, which is as good
                own[0].execute("PRAGMA wal_checkpoint(PASSIVE)")
        for connection in own:
            connection.close()

    def _version(self, connection: sqlite3.Connection) -> int:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise RunError(
                f"{harmless(str(self.path))}: made by a newer surrogateshap (store version {version}, this one reads "
                f"up to {SCHEMA_VERSION})",
                "Upgrade with `pip install --upgrade surrogateshap`, or choose another folder with --store DIR.",
            )
        return version

    def _connection(self) -> sqlite3.Connection:
        key = (os.getpid(), threading.current_thread().ident)
        state = self._state()
        held = self._connections.get(key)
        if held and held[1] == state:
            return held[0]
        if held:
            held[0].close()
        self._drop_dead_threads()
        connection = self._connect_to_read() if self._read_only else self._connect_to_write()
        self._connections[key] = (connection, state)
        return connection

    def _state(self) -> object:
        """What a connection rests on: one that reads a file without its WAL must be renewed when the file changes."""
        if not self._read_only:
            return None
        if self._wal().exists():
            return "wal"
        status = self.path.stat()
        return status.st_mtime_ns, status.st_size

    def _connect_to_write(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:  # this statement doesn't wait for a lock as others do
                if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    connection.close()
                    raise
                time.sleep(0.01)
        # NORMAL may lose the last rows in a power cut, never their consistency: a lost row costs a recomputation.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _connect_to_read(self) -> sqlite3.Connection:
        """Without a WAL nobody is writing: then `immutable` reads without making `-wal` and `-shm` files."""
        if self._wal().exists():
            try:
                return self._open_to_read("mode=ro")
            except sqlite3.OperationalError as error:
                if _primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                    raise
        return self._open_to_read("mode=ro&immutable=1")  # also where read-only media have no room for a WAL's index

    def _open_to_read(self, mode: str) -> sqlite3.Connection:
        address = f"{self.path.absolute().as_uri()}?{mode}"
        connection = sqlite3.connect(
            address, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
        )
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _wal(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def _drop_dead_threads(self) -> None:
        alive = {thread.ident for thread in threading.enumerate()}
        for process, thread in list(self._connections):
            if process == os.getpid() and thread not in alive:
                connection, _ = self._connections.pop((process, thread), (None, None))
                if connection:
                    connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            shown = harmless(str(self.path))
            match _primary_code(error):
                case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                    remedy = "Move this file away: the runs are forgotten then, and computed again when applied."
                case sqlite3.SQLITE_BUSY:
                    remedy = "Another process is writing for long; try again when it is done."
                case _:
                    remedy = "Make room or set permissions, or choose another folder with --store DIR."
            raise RunError(f"{shown}: {error}", remedy) from error


def _primary_code(error: Exception) -> int:
    """SQLite's error code without its extension; 0 where the error has none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
