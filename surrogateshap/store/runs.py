"""Runs and what they told their watchers."""

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from surrogateshap.errors import RunError
from surrogateshap.store.lock import lives
from surrogateshap.store.uses import UseTable
from surrogateshap.text import harmless

if TYPE_CHECKING:
    from surrogateshap.events import Event

RunStatus = Literal["running", "done", "failed", "interrupted"]
_COLUMNS = "run, name, plan_id, spec_digest, spec_file, status, pid, created, updated, plan, results, record"
_NEWEST_FIRST = "ORDER BY updated DESC, rowid DESC"


@dataclass(frozen=True)
class RunRow:
    """One run as the store knows it."""

    run: str
    name: str
    plan_id: str
    spec_digest: str
    spec_file: str
    status: RunStatus
    pid: int
    """Of the process that last worked on it."""
    created: float
    """Seconds since the epoch, as `updated`."""
    updated: float
    """When it last began or changed its status."""
    plan: str
    """Digest of the plan's object."""
    results: str | None
    """Digest of an object, as `record`; None until the run is done for the first time."""
    record: str | None

    @property
    def now(self) -> RunStatus:
        """Its status; interrupted where the process that worked on it is gone."""
        return "interrupted" if self.status == "running" and not lives(self.pid) else self.status


class RunTable(UseTable):
    """The part of a store that keeps runs and events."""

    def begin_run(self, run: str, name: str, plan_id: str, spec_digest: str, spec_file: str, plan: str) -> None:
        """Adds the run, or takes it up again, as running in this process."""
        now = time.time()
        with self._writing() as connection:
            connection.execute(
                f"INSERT INTO runs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, NULL, NULL) "
                "ON CONFLICT (run) DO UPDATE SET name = excluded.name, plan_id = excluded.plan_id, "
                "spec_digest = excluded.spec_digest, spec_file = excluded.spec_file, status = 'running', "
                "pid = excluded.pid, updated = excluded.updated, plan = excluded.plan",
                (run, name, plan_id, spec_digest, spec_file, os.getpid(), now, now, plan),
            )

    def finish_run(self, run: str, results_digest: str, record_digest: str | None) -> None:
        """Marks the run as done, with its results. Raises ValueError where there is no such run."""
        self._update(run, "status = 'done', results = ?, record = ?", (results_digest, record_digest))

    def set_status(self, run: str, status: RunStatus) -> None:
        """Raises ValueError where there is no such run."""
        self._update(run, "status = ?", (status,))

    def run(self, prefix: str) -> RunRow | None:
        """The run of that name, or the only one whose name begins so."""
        rows = self._select("WHERE run = ? OR substr(run, 1, ?) = ?", (prefix, len(prefix), prefix)) if prefix else []
        exact = [row for row in rows if row.run == prefix]
        return (exact or rows)[0] if exact or len(rows) == 1 else None

    def runs(self) -> list[RunRow]:
        """All runs, the one that last began or ended first."""
        return self._select("", ())

    def runs_of_file(self, spec_file: str) -> list[RunRow]:
        """Runs of any version of that spec, newest first."""
        return self._select("WHERE spec_file = ?", (spec_file,))

    def runs_of_spec(self, spec_digest: str, done_only: bool = True) -> list[RunRow]:
        """Runs of a spec with exactly that text, newest first."""
        done = " AND status = 'done'" if done_only else ""
        return self._select(f"WHERE spec_digest = ?{done}", (spec_digest,))

    def record_event(self, run: str, event: "Event") -> int:
        """Keeps the event with the time of now, and returns its id: ids grow in the order of recording."""
        stamped = event.model_copy(update={"at": time.time()})
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO events (run, at, body) VALUES (?, ?, ?)", (run, stamped.at, stamped.model_dump_json())
            )
        return cursor.lastrowid or 0

    def events(self, run: str, after: int = 0, limit: int = 10_000) -> "list[tuple[int, Event]]":
        """The first `limit` events of the run whose ids are greater than `after`, oldest first."""
        rows = self._database.read(
            "SELECT id, body FROM events WHERE run = ? AND id > ? ORDER BY id LIMIT ?", (run, after, limit)
        )
        return self._read_events(run, rows)

    def _read_events(self, run: str, rows: list[tuple[int, str]]) -> "list[tuple[int, Event]]":
        from surrogateshap.events import event_from_json

        try:
            return [(number, event_from_json(body)) for number, body in rows]
        except ValueError as error:
            raise RunError(
                f"{harmless(str(self._database.path))}: an event of run {harmless(run)} can't be read",
                "Upgrade with `pip install --upgrade surrogateshap`.",
            ) from error

    def condensed(self, run: str) -> "list[tuple[int, Event]]":
        """All that the run told, oldest first, without rankings and without progress that newer ones replace."""
        replaced = "('stage_progress', 'device_progress')"
        rows = self._database.read(
            "SELECT id, body FROM (SELECT id, body, json_extract(body, '$.kind') AS kind, "
            f"CASE WHEN json_extract(body, '$.kind') IN {replaced} THEN row_number() OVER (PARTITION BY "
            "json_extract(body, '$.kind'), json_extract(body, '$.stage'), json_extract(body, '$.device') "
            "ORDER BY id DESC) ELSE 1 END AS age FROM events WHERE run = ?) "
            "WHERE age = 1 AND kind <> 'ranking_updated' ORDER BY id",
            (run,),
        )
        return self._read_events(run, rows)

    def last_events(self, run: str, count: int) -> "list[tuple[int, Event]]":
        """The last `count` events of the run, oldest first."""
        rows = self._database.read("SELECT id, body FROM events WHERE run = ? ORDER BY id DESC LIMIT ?", (run, count))
        return self._read_events(run, rows[::-1])

    def drop_run(self, run: str) -> None:
        """Takes the run out of the list, with its events and what it is known to use."""
        with self._writing() as connection:
            for table in ("runs", "events", "uses"):
                connection.execute(f"DELETE FROM {table} WHERE run = ?", (run,))

    def _select(self, condition: str, parameters: tuple[object, ...]) -> list[RunRow]:
        rows = self._database.read(f"SELECT {_COLUMNS} FROM runs {condition} {_NEWEST_FIRST}", parameters)
        return [RunRow(*row) for row in rows]

    def _update(self, run: str, assignments: str, parameters: tuple[object, ...]) -> None:
        with self._writing() as connection:
            changed = connection.execute(
                f"UPDATE runs SET {assignments}, updated = ? WHERE run = ?", (*parameters, time.time(), run)
            )
            if not changed.rowcount:
                raise ValueError(f"no run {run!r}")
