"""State on disk: content-addressed objects and one SQLite database, whole at whatever moment a process dies."""

from surrogateshap.store.runs import RunRow, RunStatus
from surrogateshap.store.store import Store

__all__ = ["RunRow", "RunStatus", "Store"]
