"""What watchers of an attempt are told."""

import threading
from pathlib import Path

import pytest

from surrogateshap.events import Event, StageProgress
from surrogateshap.execute.progress import Progress
from surrogateshap.store import Store


def test_an_attempt_that_ends_in_the_middle_tells_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surrogateshap.execute.progress._TICK", float("inf"))
    told: list[Event] = []
    with Store.open(tmp_path / "store") as store:
        progress = Progress("run", store, told.append, threading.Event(), {"generate": 40, "encode": 40})
        for stage in ("generate", "encode"):
            progress.start(stage, 0)
        progress.advance("generate", 16)
        progress.advance("generate", 16)
        progress.advance("encode", 40)  # the end of a stage is told at once
        progress.tell_rest()
        progress.tell_rest()
    counts = [(event.stage, event.done) for event in told if isinstance(event, StageProgress)]
    assert counts == [("encode", 40), ("generate", 32)]
