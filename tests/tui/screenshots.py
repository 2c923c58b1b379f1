"""Writes the README's pictures of the terminal UI, from the canned digits run, into a folder: `make screenshots`."""

import asyncio
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

os.environ |= {"COLORTERM": "truecolor", "TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none"}
os.environ.pop("NO_COLOR", None)

from canned import FIRST_HALF, GAMES, RUN, CannedLibrary, CannedSource, make_results, ranking, summary_of
from surrogateshap_tui.app import SurrogateShapApp
from test_app import begin, ready, state, until
from test_run import DEVICES
from test_snapshots_run import seen
from textual.pilot import Pilot

SIZE = (120, 36)
Steps = Callable[[Pilot[None], SurrogateShapApp], Awaitable[None]]


async def _home(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    await until(pilot, lambda: bool(app.listing.runs) and not app.workers._workers)
    await pilot.pause(0.2)


async def _run(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    await begin(pilot, app)
    await until(pilot, lambda: len(state(app).ranking(GAMES[0]).widths) == 4)
    await seen(pilot, app)


async def _ranking(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    await ready(pilot, app)
    await pilot.press("3", "j")


async def _detail(pilot: Pilot[None], app: SurrogateShapApp) -> None:
    await _ranking(pilot, app)
    await pilot.press("enter")


def _going() -> CannedSource:
    shrunk = tuple(ranking(GAMES[0], provisional=True, images=count) for count in (600, 800, 1000))
    return CannedSource(first=(*FIRST_HALF, *DEVICES, *shrunk))


PICTURES: dict[str, tuple[Callable[[], CannedSource], Steps]] = {
    "home": (CannedSource, _home),
    "plan": (CannedSource, ready),
    "run": (_going, _run),
    "ranking": (lambda: CannedSource(results=make_results()), _ranking),
    "detail": (lambda: CannedSource(results=make_results()), _detail),
}


async def take(name: str) -> str:
    """One picture as SVG that asks for no font from elsewhere."""
    make, steps = PICTURES[name]
    source = make()
    library = CannedLibrary(source, runs=[summary_of(RUN, updated=time.time() - 180)])
    app = SurrogateShapApp(library, None if name == "home" else source.target)
    async with app.run_test(size=SIZE) as pilot:
        await steps(pilot, app)
        await pilot.pause()
        picture = app.export_screenshot(title="surrogateshap", simplify=True)
    picture = re.sub(r"\s*@font-face\s*\{.*?\}\n", "", picture, flags=re.DOTALL)
    # Ids that Rich draws at random would make every picture a new one.
    return re.sub(r"terminal-\d+", f"surrogateshap-{name}", picture)


def main(folder: Path) -> None:
    """Writes all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        (folder / f"tui-{name}.svg").write_text(asyncio.run(take(name)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
