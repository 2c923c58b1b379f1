"""The run view: what it shows of devices, intervals, images and ends, and how little it draws anew."""

import io

import numpy as np
import pytest
from canned import FIRST_HALF, GAMES, RUN, CannedSource, make_results, opened, picture, ranking, started
from PIL import Image
from rich.console import Console
from rich.style import Style
from surrogateshap_tui.graphics import kind_of
from surrogateshap_tui.state import RunState, reduce, reduce_all, with_results
from surrogateshap_tui.theme import Palette
from surrogateshap_tui.views.newest import NewestImages
from surrogateshap_tui.views.run_parts import draw_progress, draw_ranking
from surrogateshap_tui.widgets.picture import Picture
from surrogateshap_tui.widgets.pixels import fitting, lines, sheet, strips
from surrogateshap_tui.widgets.thumbnails import Thumbnails
from test_app import begin, ready, screen, state, until

from surrogateshap.errors import RunError
from surrogateshap.events import DeviceProgress, Event, RunFailed, RunInterrupted, StageProgress, Warned

PALETTE = Palette(*(Style() for _ in range(6)))
DEVICES: tuple[Event, ...] = (
    DeviceProgress(
        device="cuda:0 NVIDIA H100 80GB HBM3",
        images=420,
        rate=13.1,
        seconds=32,
        utilisation=0.62,
        memory_bytes=24_100_000_000,
        memory_total=80_000_000_000,
    ),
    DeviceProgress(device="cpu", images=20, rate=0.6, seconds=32),
)
SIZES = pytest.mark.parametrize("size", [(80, 24), (160, 50), (240, 70)], ids=["80x24", "160x50", "240x70"])


def drawn(what: object, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(what)
    return console.file.getvalue()


def progress(told: RunState, width: int = 80, *, here: bool = False, startable: bool = True, waits: str = "") -> str:
    return drawn(draw_progress(told, "words", here, startable, waits, PALETTE, width), width)


@pytest.mark.parametrize("width", [76, 120])
def test_devices_are_told_in_numbers_and_words_while_a_run_goes_on(width: int) -> None:
    shown = progress(reduce_all(RunState(), (started(), *DEVICES)), width)
    assert "13 images/s" in shown
    assert "62 % busy" in shown
    assert "24.1 GB of 80.0 GB" in shown
    assert "use unknown" in shown
    assert "memory unknown" in shown
    assert max(map(len, shown.splitlines())) <= width


def test_once_a_run_has_ended_devices_tell_what_they_did() -> None:
    shown = progress(reduce_all(RunState(), (started(), *DEVICES, RunInterrupted(run=RUN))))
    assert "Devices, while it ran" in shown
    assert "420 images in 32 s" in shown
    assert "busy" not in shown


def test_a_new_attempt_knows_nothing_of_the_devices_of_the_last() -> None:
    assert not reduce_all(RunState(), (started(), *DEVICES, started(resumed=True))).devices


def test_many_devices_are_summed_up() -> None:
    many = [DeviceProgress(device=f"cuda:{at}", images=9, rate=2.0, seconds=3) for at in range(20)]
    shown = progress(reduce_all(RunState(), (started(), *many)))
    assert "and 12 others  24 images/s" in shown
    assert "words  40 images/s" in shown


def test_what_a_state_means() -> None:
    told = reduce(RunState(), started(resumed=True))
    assert "Resumed: what was finished before is kept" in progress(told)
    failed = reduce(told, RunFailed(run=RUN, message="CUDA out of memory", remedy="Lower execution.batch_size."))
    assert "✗ CUDA out of memory\n  Lower execution.batch_size." in progress(failed)
    assert "kept: a goes on with it" in progress(failed)
    assert "Applying its spec goes on with it" in progress(failed, startable=False)
    assert "! Stopped." in progress(reduce(told, RunInterrupted(run=RUN)))
    planned = RunState(run=RUN)
    assert "Not started: a applies the plan." in progress(planned)
    assert "Starting" in progress(planned, here=True)
    assert "Waits for run other-1, which works in this store" in progress(planned, here=True, waits="other-1")


def test_a_narrow_view_shows_its_newest_warnings_first() -> None:
    told = reduce_all(RunState(), (started(), *(Warned(message=f"warning {at}") for at in range(5))))
    shown = progress(told)
    assert "! warning 3\n! warning 4\n" in shown.replace(" \n", "\n").replace("  ", "")
    assert "warning 2" not in shown
    assert "and 3 older ones, below" in shown


def test_intervals_are_seen_to_shrink() -> None:
    told = reduce_all(
        RunState(), (started(), *(ranking(GAMES[0], provisional=True, images=count) for count in (100, 400, 1600)))
    )
    forming = told.ranking(GAMES[0])
    assert [count for count, _ in forming.widths] == [100, 400, 1600]
    assert [width for _, width in forming.widths] == pytest.approx([1.2, 0.6, 0.3])
    assert "intervals █▄▂ 1.20 → 0.30 wide" in drawn(draw_ranking(told, forming, PALETTE, 80, 5))
    settled = with_results(told, make_results()).ranking(GAMES[0])
    assert settled.widths == forming.widths


async def test_only_what_has_changed_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    source = CannedSource()
    app = opened(source)
    async with app.run_test(size=(160, 50)) as pilot:
        await begin(pilot, app)
        shown: list[str] = []
        show = Picture.show

        def noted(self: Picture, draw: object) -> None:
            shown.append(self.id or "")
            show(self, draw)

        monkeypatch.setattr(Picture, "show", noted)
        source.tell(StageProgress(stage="generate-image", done=600, total=1360, rate=14.2))
        await until(pilot, lambda: state(app).stages[0].done == 600)
        await pilot.pause()
        assert shown == ["status", "run-progress"]


@SIZES
async def test_the_newest_images_are_shown_and_looked_at_in_a_thread(size: tuple[int, int]) -> None:
    app = opened(CannedSource(first=(*FIRST_HALF, *DEVICES)))
    async with app.run_test(size=size) as pilot:
        await begin(pilot, app)
        newest = app.workspace.query_one(NewestImages)
        await until(pilot, lambda: newest.display and newest.query_one(Thumbnails).size.height > 0)
        newest.scroll_visible(animate=False)
        await pilot.pause()
        assert "Newest images" in screen(app)
        assert "▀" in screen(app) or "█" in screen(app)


async def test_images_that_cannot_be_read_are_left_out() -> None:
    source = CannedSource()

    def broken(run: str, count: int) -> list[np.ndarray]:
        raise RunError("gone")

    source.images = broken
    app = opened(source)
    async with app.run_test(size=(160, 50)) as pilot:
        await begin(pilot, app)
        await pilot.pause(0.1)
        assert not app.workspace.query_one(NewestImages).display
        assert state(app).status == "running"


async def test_a_run_that_waits_says_for_which() -> None:
    source = CannedSource(first=())
    source.waiting_for = "digits-other"
    app = opened(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        await pilot.press("a", "y")
        await until(pilot, lambda: "Waits for run digits-other" in screen(app))
        source.tell(*FIRST_HALF)
        await until(pilot, lambda: "Waits for run" not in screen(app) and "448/1,360" in screen(app))


def test_a_sheet_holds_what_fits_and_keeps_proportions() -> None:
    assert [fitting(width, 8) for width in (7, 8, 16, 17, 26)] == [0, 1, 1, 2, 3]
    assert [lines(count, 26, 8, 2) for count in (0, 1, 3, 4, 99)] == [0, 4, 4, 9, 9]
    wide = np.full((10, 40, 3), 200, np.uint8)
    made = sheet([wide, np.zeros((4, 4), np.uint8)], 17, 8, 1, (1, 2))
    assert made.size == (17, 8)
    pixels = np.asarray(made)
    assert (pixels[:2, :8, 3] == 255).all()
    assert (pixels[2:, :9, 3] == 0).all()
    assert (pixels[:, 9:, 3] == 255).all()


def test_half_cells_hold_two_pixels_each() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[0::2], image[1::2] = (255, 0, 0), (0, 0, 255)
    (first, *_) = strips([image], 8, 8, 1, greys=False, dark=True)
    (segment,) = first
    assert segment.text == "▀" * 8
    assert segment.style.color.triplet == (255, 0, 0)
    assert segment.style.bgcolor.triplet == (0, 0, 255)


@pytest.mark.parametrize(("dark", "text"), [(True, "████    "), (False, "    ████")])
def test_without_colours_of_their_own_images_are_greys_that_stand_out(dark: bool, text: str) -> None:
    image = np.zeros((8, 8), np.uint8)
    image[:, :4] = 255
    made = strips([image], 8, 8, 1, greys=True, dark=dark)
    assert [strip.text for strip in made] == [text] * 4


async def test_thumbnails_take_pillows_images_and_no_room_without_any() -> None:
    app = opened(CannedSource())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        thumbnails = Thumbnails()
        await app.screen.mount(thumbnails)
        await pilot.pause()
        assert thumbnails.size.height == 0
        thumbnails.show([Image.fromarray(picture(1)), picture(2)])
        await pilot.pause()
        assert thumbnails.size.height == 8


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "foot-extra"}, "sixel"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "sixel"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/x", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-kitty", "TEXTUAL_DRIVER": "x"}, None),
        ({"TERM": "xterm-kitty", "SURROGATESHAP_GRAPHICS": "cells"}, None),
        ({"TERM": "xterm-256color", "TMUX": "x", "SURROGATESHAP_GRAPHICS": "sixel"}, "sixel"),
    ],
)
def test_terminals_are_known_by_what_they_say(environment: dict[str, str], kind: str | None) -> None:
    assert kind_of(environment) == kind
