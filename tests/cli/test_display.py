import io
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console

from surrogateshap.cli.bars import BarsDisplay
from surrogateshap.cli.display import Display, JsonDisplay, PlainDisplay, left, speed
from surrogateshap.cli.displays import make_display
from surrogateshap.events import (
    DeviceProgress,
    Event,
    RunFinished,
    RunStarted,
    StageProgress,
    StageStarted,
    Warned,
    event_from_json,
)
from tests.cli.fake_api import EVENTS


class Broken(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    times: Iterator[float] = iter([0.0, 4.9, 5.0, 100.0])
    display = PlainDisplay(lambda: next(times))
    for event in EVENTS:
        display.emit(event)
    out, err = capsys.readouterr()
    assert display.failure is None
    assert out == ""
    assert err.splitlines() == [
        "Run r-1 starts: 3 stages",
        "Warning: [bold]careful\ufffd[2J[/] now",
        "Generate [red]\ufffd[2J[/]: started, 200 of 1,000 images there",
        "Generate [red]\ufffd[2J[/]: 900 of 1,000 images, 13.2 images/s, 7.5 s left",
        "Generate [red]\ufffd[2J[/]: finished in 61 s",
        "Encode: was there already",
        "nowhere: 1 of 2",
        "Finished in 62 s",
    ]


def test_plain_progress_comes_every_five_seconds_and_per_stage(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    display = PlainDisplay(lambda: now[0])
    display.emit(EVENTS[0])
    display.emit(StageStarted(stage="a"))
    display.emit(StageStarted(stage="b"))
    for tenth in range(200):
        now[0] = tenth / 10
        display.emit(StageProgress(stage="a", done=tenth, total=1000))
        display.emit(StageProgress(stage="b", done=tenth, total=1000))
    lines = [
        line for line in capsys.readouterr().err.splitlines() if " of 1,000 images" in line and "there" not in line
    ]
    assert [line.split(": ")[1].split()[0] for line in lines] == ["50", "50", "100", "100", "150", "150"]


def test_json_lines_are_flushed_one_by_one() -> None:
    stream = io.StringIO()
    display = JsonDisplay(stream)
    for done, event in enumerate(EVENTS, 1):
        display.emit(event)
        assert stream.getvalue().count("\n") == done
    assert tuple(map(event_from_json, stream.getvalue().splitlines())) == EVENTS


def bars(events: tuple[Event, ...], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False)
    with BarsDisplay(console) as display:
        for event in events:
            display.emit(event)
    assert display.failure is None
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_bars_show_every_stage_and_warnings_above() -> None:
    lines = bars(EVENTS[:4]).splitlines()
    assert lines[0] == "Warning: [bold]careful\ufffd[2J[/] now"
    assert lines[1].startswith("Generate [red]\ufffd[2J[/]")
    assert lines[1].rstrip().endswith("210 of 1,000 images   13.2/s, 60 s left")
    assert lines[2].rstrip().endswith("1,000 of 1,000 images cached")
    assert lines[3].rstrip().endswith("0 of 0 coalitions     cached")
    assert len(lines) == 4


def test_bars_end_full() -> None:
    line = next(line for line in bars(EVENTS).splitlines() if line.startswith("Generate"))
    assert "1,000 of 1,000 images" in line
    assert line.rstrip().endswith("in 61 s")
    assert "━" * 16 in line


def test_bars_fit_in_eighty_columns_and_begin_anew_when_a_run_does() -> None:
    text = bars((EVENTS[0], *EVENTS))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("Encode") == 1


@pytest.mark.parametrize("kind", ["none", "plain", "json"])
def test_a_display_that_fails_never_raises_and_says_so(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Broken())
    monkeypatch.setattr("sys.stdout", Broken())
    display = make_display(kind)
    for event in EVENTS:
        display.emit(event)
    display.say("x")
    assert isinstance(display.failure, BrokenPipeError)


def test_bars_go_on_in_silence_when_their_reader_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Broken())
    with make_display("rich") as display:
        for event in EVENTS:
            display.emit(event)
        display.say("x")
    assert display.failure is None


def test_after_a_failure_nothing_is_tried_again() -> None:
    class Failing(Display):
        tries = 0

        def show(self, event: Event) -> None:
            self.tries += 1
            raise ValueError("odd event")

    display = Failing()
    display.emit(EVENTS[0])
    display.emit(EVENTS[1])
    assert display.tries == 1
    assert str(display.failure) == "odd event"


@pytest.mark.parametrize("kind", ["plain", "rich", "json"])
def test_displays_take_events_from_many_threads(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with make_display(kind) as display:
        display.emit(EVENTS[0])

        def work() -> None:
            for i in range(50):
                display.emit(StageProgress(stage="a", done=i, total=1000, rate=1.0))
                display.emit(Warned(message="w" * 40))
                display.say("s" * 40)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert display.failure is None
    out, err = capsys.readouterr()
    if kind == "json":
        assert len([event_from_json(line) for line in out.splitlines()]) == 401
    else:
        assert err.count(f"Warning: {'w' * 40}\n") == 200
    assert err.count(f"{'s' * 40}\n") == 200


def test_speed_and_time_left() -> None:
    progress = StageProgress(stage="a", done=0, total=100, rate=0.5)
    assert (speed(progress, "images"), left(progress)) == ("0.5 images/s", "3 min left")
    assert left(progress.model_copy(update={"left": 60.0})) == "60 s left in all"
    still = StageProgress(stage="a", done=0, total=100)
    assert (speed(still, "images"), left(still)) == ("", "")
    fast = StageProgress(stage="a", done=100, total=100, rate=123456.7)
    assert (speed(fast, ""), left(fast)) == ("123,457/s", "")


def test_a_resumed_run_and_a_cached_one_are_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    display = PlainDisplay()
    started = EVENTS[0]
    assert isinstance(started, RunStarted)
    display.emit(started.model_copy(update={"resumed": True}))
    display.emit(RunFinished(run="r-1", seconds=0.0, cached=True))
    assert capsys.readouterr().err == "Run r-1 goes on: 3 stages\nAll of it was there already\n"


def test_devices_are_told_now_and_then_and_have_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    display = PlainDisplay(lambda: now[0])
    busy = DeviceProgress(
        device="cuda:0 \x1b[31mH100",
        images=1234,
        rate=13.21,
        seconds=9.0,
        utilisation=0.954,
        memory_bytes=41 << 30,
        memory_total=80 << 30,
    )
    still = DeviceProgress(device="cpu", images=0, rate=0.0, seconds=1.0)
    for second in (0.0, 30.0, 61.0):
        now[0] = second
        display.emit(busy)
    display.emit(still)
    line = "cuda:0 \ufffd[31mH100: 1,234 images, 13/s, 95.4% busy, 44.0 GB of 85.9 GB"
    assert capsys.readouterr().err.splitlines() == [line, line, "cpu: 0 images"]
    shown = bars((EVENTS[0], busy, busy, still), 120)
    assert "13/s, 95.4% busy, 44.0 GB of 85.9 GB" in shown
    assert shown.count("H100") == 1
