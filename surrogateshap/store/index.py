"""Which object answers which key, and how fast things went."""

import time
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Any

from surrogateshap.store.objects import Objects
from surrogateshap.store.uses import UseTable

_CHUNK = 900  # SQLite takes at least 999 parameters in one statement


class IndexTable(UseTable):
    """The part of a store that finds objects by cache key. A key whose object is gone is as good as absent."""

    objects: Objects

    def lookup(self, keys: Iterable[str]) -> dict[str, str]:
        """Key -> digest of the object that was remembered for it; keys without one are left out."""
        rows = self._there(self._rows("SELECT key, digest FROM artifacts WHERE key IN", keys))
        return dict(rows)

    def remember(self, key: str, digest: str, stage: str) -> None:
        """Names the object by a cache key, in place of any that the key named before."""
        self._note((digest,))  # whoever made it: workers keep objects without asking the store
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO artifacts (key, digest, stage, created) VALUES (?, ?, ?, ?)",
                (key, digest, stage, time.time()),
            )

    def find_images(self, keys: Iterable[str]) -> dict[str, tuple[str, int]]:
        """Key -> (object, slot: row of the image in the object's arrays); unknown keys are left out."""
        rows = self._there(self._rows("SELECT key, digest, slot FROM images WHERE key IN", keys))
        return {key: (digest, slot) for key, digest, slot in rows}

    def add_images(self, digest: str, keys: Sequence[str]) -> None:
        """Says that slot i of the object holds the image of `keys[i]`, for all of them or none."""
        self._note((digest,))
        with self._writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO images (key, digest, slot) VALUES (?, ?, ?)",
                ((key, digest, slot) for slot, key in enumerate(keys)),
            )

    def with_images(self, run: str) -> list[str]:
        """Objects that hold images, or what was made of images, and that the run uses."""
        if not self._database.keeps_uses():
            return []
        rows = self._database.read(
            "SELECT DISTINCT digest FROM images WHERE digest IN (SELECT digest FROM uses WHERE run = ?)", (run,)
        )
        return [digest for (digest,) in rows]

    def add_rate(self, kind: str, subject: str, device: str, units: float, seconds: float) -> None:
        """Keeps a measured speed, in place of the last one of that kind, subject (a model's digest) and device."""
        if not (units > 0 and seconds > 0):
            raise ValueError(f"a rate needs positive units and seconds, not {units} and {seconds}")
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO rates (kind, subject, device, units, seconds, updated) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (kind, subject, device, units, seconds, time.time()),
            )

    def latest_rate(self, kind: str, subject: str) -> tuple[str, float] | None:
        """The device that last measured the speed of a subject, and its units per second."""
        rows = self._database.read(
            "SELECT device, units / seconds FROM rates WHERE kind = ? AND subject = ? ORDER BY updated DESC LIMIT 1",
            (kind, subject),
        )
        return rows[0] if rows else None

    def drop_rows(self, kept: Set[str], *, dry_run: bool) -> int:
        """Takes out all keys of other objects than those `kept`, or only counts them."""
        count = 0
        with self._writing() as connection:
            connection.execute("CREATE TEMP TABLE gone (digest TEXT PRIMARY KEY) WITHOUT ROWID")
            for table in ("artifacts", "images"):
                named = connection.execute(f"SELECT digest, count(*) FROM {table} GROUP BY digest").fetchall()
                gone = {digest: rows for digest, rows in named if digest not in kept}
                count += sum(gone.values())
                if not dry_run:
                    connection.executemany("INSERT OR IGNORE INTO temp.gone VALUES (?)", ((digest,) for digest in gone))
                    connection.execute(f"DELETE FROM {table} WHERE digest IN (SELECT digest FROM temp.gone)")
            connection.execute("DROP TABLE temp.gone")
        return count

    def _rows(self, select: str, keys: Iterable[str]) -> Iterator[Any]:
        wanted = list(keys)
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            yield from self._database.read(f"{select} ({','.join('?' * len(chunk))})", chunk)

    def _there(self, rows: Iterable[Any]) -> Iterator[Any]:
        seen: dict[str, bool] = {}
        for row in rows:
            digest = row[1]
            if digest not in seen:
                seen[digest] = self.objects.has(digest)
            if seen[digest]:
                yield row
        self._note(digest for digest, there in seen.items() if there)
